"""Inputs of a dual encoder: its parts as graphs, and texts as prompts, statements and ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.files import JsonObject
from vljepa_ros.models.config import ModelConfig, ModelError, read_json
from vljepa_ros.models.dual_encoder.perception_encoder_config import PERCEPTION_ENCODER
from vljepa_ros.models.parts import Part, Tensor
from vljepa_ros.models.tokenizer import encode_ids, load_tokenizer, pad_ids

# Short, general templates; the mean of several wordings is steadier than one (CLIP, section 3.1.4).
TEMPLATES = ("{}", "a photo of {}.", "an image of {}.", "a video of {}.")

_VERB = r"(is|are|was|were|does|do|did|has|have|can)"


def expand(text: str, templates: Sequence[str] = TEMPLATES) -> list[str]:
    """The wordings of one text, one for each template.

    Raises:
        ValueError: A template without `{}`.
    """
    for template in templates:
        if "{}" not in template:
            raise ValueError(
                f"a prompt template needs '{{}}' for the text, this has none: {template!r}"
            )
    return [template.replace("{}", text) for template in templates]


def as_statement(question: str, candidate: str) -> str:
    """A declarative sentence that is true of an image if `candidate` answers `question`.

    A dual encoder cannot read a question; it can only say how well a sentence fits an image. The
    rules cover the usual wordings in English; anything else becomes "question? candidate". Yes and
    no are answered without it, see `perception.yes_no`.

    >>> as_statement("What colour is the cup?", "red")
    'the colour of the cup is red'
    """
    asked = question.strip().rstrip("?. ").lower()
    answer = candidate.strip().rstrip(".")
    if not asked:
        return answer
    for pattern, form in _OPEN:
        match = re.fullmatch(pattern, asked)
        if match:
            return form.format(*match.groups(), answer=answer)
    return f"{asked}? {answer}"


_OPEN: tuple[tuple[str, str], ...] = (
    (r"how many (.+?)(?: are there| do you see| can be seen)?", "there are {answer} {0}"),
    (r"wh(?:at|ich) colou?r (?:is|are|has) (.+)", "the colour of {0} is {answer}"),
    (r"what is (?:happening|going on)(?: in .+| here)?", "{answer}"),
    (r"what (?:do|can) you see(?: .+)?", "{answer}"),
    (r"where (is|are) (.+)", "{1} {0} {answer}"),
    (r"who (is|are) (.+)", "{answer} {0} {1}"),
    (r"what (is|are) (.+) (doing|holding|carrying)", "{1} {0} {2} {answer}"),
    (r"wh(?:at|ich) (\w+) (is|are) (.+)", "the {0} {answer} {1} {2}"),
    (rf"(?:what|which) {_VERB} (.+)", "{1} {0} {answer}"),
)


def dual_encoder_parts(config: ModelConfig) -> tuple[Part, ...]:
    """The parts `vision` and `text`; features are not normalised yet."""
    size = config.input_size
    frames = Tensor("frames", ("batch", size, size, 3), "uint8")
    ids = [Tensor("input_ids", ("batch", text_length(config) or "length"), "int64")]
    if uses_text_mask(config):
        ids.append(Tensor("attention_mask", ids[0].dims, "int64"))
    features = (Tensor("features", ("batch", config.dim)),)
    return (
        Part("vision", (frames,), features),
        Part("text", tuple(ids), features),
    )


def patch_size(config: ModelConfig) -> int:
    """Edge of a patch in pixels where the tower takes patches (SigLIP 2 NaFlex), else 0."""
    if config.architecture.get("model_type") != "siglip2":
        return 0
    return int(config.architecture.get("vision_config", {}).get("patch_size", 16))


def text_length(config: ModelConfig) -> int:
    """The fixed number of tokens of a text, 0 where it may vary (CLIP, BERT)."""
    if _takes_any_length(config):
        return 0
    text = config.architecture.get("text_config", {})
    return int(text.get("max_position_embeddings", 64))


def uses_text_mask(config: ModelConfig) -> bool:
    """Whether padding is masked: in BERT, and where the model's tokenizer says so."""
    if _is_bert(config):
        return True
    if _ends_with_its_greatest_id(config):
        return False
    return "attention_mask" in _tokenizer_config(config.folder).get("model_input_names", ())


def longest_text(config: ModelConfig) -> int:
    """Most tokens of a text: the rows of the text tower's position table."""
    if config.architecture.get("model_type") == PERCEPTION_ENCODER:
        return int(config.architecture["model_cfg"]["text_cfg"].get("context_length", 77))
    text = config.architecture.get("text_config", {})
    return int(text.get("max_position_embeddings", 64 if text_length(config) else 77))


def _words(config: ModelConfig) -> int:
    """Rows of the text tower's token table, 0 where the configuration does not say."""
    if config.architecture.get("model_type") == PERCEPTION_ENCODER:
        return int(config.architecture["model_cfg"]["text_cfg"].get("vocab_size", 0))
    return int(config.architecture.get("text_config", {}).get("vocab_size", 0))


def _ends_with_its_greatest_id(config: ModelConfig) -> bool:
    """Whether the text tower is causal and read at the end-of-text token, the greatest id.

    No position then attends to the padding behind it, and a text may have any length.
    """
    return config.architecture.get("model_type") in ("clip", PERCEPTION_ENCODER)


def _is_bert(config: ModelConfig) -> bool:
    """Whether texts are read by a sentence encoder, whose attention skips padding."""
    return config.architecture.get("text_config", {}).get("model_type") == "bert"


def _takes_any_length(config: ModelConfig) -> bool:
    return _ends_with_its_greatest_id(config) or _is_bert(config)


def _tokenizer_config(folder: Path) -> JsonObject:
    file = folder / "tokenizer_config.json"
    return read_json(file) if file.is_file() else {}


class DualEncoderTokenizer:
    """Turns texts into padded ids.

    CLIP pads to the longest text of a call, because its pooled token is the first end-of-text and
    its attention is causal, and so does BERT, which masks padding; SigLIP was trained on texts
    padded to a fixed length that are not masked, so another length would give another embedding.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Read the `tokenizer.json` of the text tower.

        Raises:
            ModelError: No such file, or not a tokenizer.
        """
        file = config.path("tokenizer")
        if not file.is_file():
            raise ModelError(
                f"'{file}' is missing: a model that embeds texts needs its tokenizer.json"
            )
        self._words = _words(config)
        self._tokenizer = load_tokenizer(file, words=self._words)
        self._longest = longest_text(config)
        raw = _tokenizer_config(config.folder)
        token = raw.get("pad_token")
        token = token.get("content") if isinstance(token, dict) else token
        pad = self._tokenizer.token_to_id(token) if isinstance(token, str) else None
        if pad is None:
            pad = config.architecture.get("text_config", {}).get("pad_token_id") or 0
        self._pad_id = int(pad)
        self._pad_left = raw.get("padding_side", "right") == "left"
        # SigLIP saw lower case only; CLIP's tokenizer lowers by itself.
        self._lowercase = not _ends_with_its_greatest_id(config)
        self._length = 0 if _takes_any_length(config) else self._longest

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids and mask (1: token, 0: padding), each [len(texts), L] int64."""
        return pad_ids(self.ids(texts), self._length, self._pad_id, self._pad_left)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, special ones included.

        Raises:
            TextError: More than the text tower takes.
        """
        texts = [text.lower() for text in texts] if self._lowercase else list(texts)
        return encode_ids(self._tokenizer, texts, self._longest, self._words)
