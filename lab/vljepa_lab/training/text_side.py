"""The first phase of learning: the Y-Encoder on texts alone, its upper layers included.

MiniLM keeps opposites close ("lifts it", "lowers it"), and a head on its pooled output can only
pull apart what the words of training say. So the upper layers learn at a low rate, beside the head
at a high one, which wordings mean the same: of events, of states, and of questions, whose token
embeddings are what the Predictor reads. After it the trunk is rounded as it will be stored, and
frozen. Needs torch.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_lab.training.loop import (
    Phase,
    PhaseConfig,
    RunContext,
    load_checkpoint,
    load_into,
)
from vljepa_lab.training.paraphrases import (
    contrastive_loss,
    draw_wordings,
    meanings,
    named_meanings,
    text_ceiling,
)
from vljepa_lab.training.text_trunk import TextTable, padded, rounded_trunk
from vljepa_lab.world.candidates import NUMBERS
from vljepa_lab.world.captions import event_texts, noun, object_names
from vljepa_lab.world.polar import OPPOSITE, draw_polar
from vljepa_lab.world.records import ACTIONS, OBJECT_ACTIONS
from vljepa_lab.world.wordings import wordings
from vljepa_ros.models.tokenizer import pad_ids
from vljepa_ros.models.vl_jepa.nano_heads import TextTrunk
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA
from vljepa_ros.models.vl_jepa.nano_text import TextTokenizer

_QUESTION_DIM = 128
_ASKS = {
    "door_yes": "door:open",
    "lights_yes": "lights:on",
    "person_yes": "person:yes",
    "holding_anything_yes": "held",
    "exists_yes": "exists:yes",
}  # form of a question -> the statement it asks for; a question for its opposite is another meaning
_POLAR_DRAWN = 600
_OPEN = ("side:which", "side:which right", "open:person", "open:holding_anything")
_SCALE = 24.0  # where the logit scale of the later phases ends


@dataclass(frozen=True)
class TextConfig(PhaseConfig):
    """Settings of the text phase.

    Attributes:
        layers: of the trunk, from the top.
        layer_factor: their learning rate, as a share of `rate`, the head's.
        each: wordings of a meaning in a step.
        named: meanings with an object.
        noise: on what the lower layers give, as a share of its spread.
        dropped: share of the pooled output that is left out.
    """

    minutes: float = 12.0
    layers: int = 3
    rate: float = 1e-3
    layer_factor: float = 0.05
    each: int = 3
    named: int = 8
    noise: float = 0.1
    dropped: float = 0.1
    warmup: int = 20
    save_every: float = 4.0


class _Upper:
    """The trunk in two parts: what the fixed lower layers give, kept, and the upper ones."""

    def __init__(self, trunk: TextTrunk, tokenizer: TextTokenizer, layers: int) -> None:
        self._trunk, self._tokenizer = trunk, tokenizer
        self._fixed, self._tuned = trunk.layers[:-layers], trunk.layers[-layers:]
        self._kept: dict[str, Tensor] = {}

    def lower(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """[B, L, dim] float32 and validity [B, L]."""
        new = [text for text in dict.fromkeys(texts) if text not in self._kept]
        if new:
            ids = self._tokenizer.ids(new)
            device = self._trunk.positions.device
            tokens, valid = (torch.from_numpy(a).to(device) for a in pad_ids(ids))
            with torch.no_grad():
                x = self._trunk.norm(
                    self._trunk.words(tokens) + self._trunk.positions[: tokens.shape[1]]
                )
                for layer in self._fixed:
                    x = layer(x, valid.bool()[:, None, None, :])
            self._kept.update(
                (text, x[i, : len(ids[i])].half().cpu()) for i, text in enumerate(new)
            )
        return padded([self._kept[text] for text in texts])

    def pooled(self, texts: list[str], noise: float) -> Tensor:
        """[B, dim], norm 1, through the upper layers with noise on what they are given."""
        device = self._trunk.positions.device
        x, valid = (t.to(device) for t in self.lower(texts))
        x = x + torch.randn_like(x) * noise * x.std()
        for layer in self._tuned:
            x = layer(x, valid.bool()[:, None, None, :])
        weight = valid[..., None]
        return functional.normalize((x * weight).sum(1) / weight.sum(1), dim=-1)


def _question_texts(rng: random.Random) -> dict[str, list[str]]:
    """Form of a question -> wordings of it, with random objects."""
    names = object_names("train")

    def filled(text: str, article: str) -> str:
        x, y = rng.sample(names, 2)
        kind = rng.choice([kind for kind in ACTIONS if kind not in OBJECT_ACTIONS])
        return text.format(
            x=noun(x, article), y=noun(y), c=y.split()[0], n=rng.choice(NUMBERS[1:]),
            s=rng.choice(event_texts(kind, which="wide")), z=x,
        )  # fmt: skip

    asked = {
        form: [filled(text, "a" if form == "exists_yes" else "the") for text in texts]
        for form, texts in wordings("questions", "wide").items()
    }
    for form, statement in _ASKS.items():
        asked[statement] = asked.pop(form)
    for statement, opposite in OPPOSITE.items():
        texts = asked.setdefault(statement, [])
        for _ in range(_POLAR_DRAWN):
            text, yes = draw_polar(statement, rng, rng.choice(names))
            (texts if yes else asked.setdefault(opposite, [])).append(text)
    written = {**wordings("asked", "polar")}
    written |= {key: wordings("statements", "polar")[key] for key in _OPEN}
    for key, phrased in written.items():
        article = "a" if key.startswith("exists") else "the"
        asked.setdefault(key, []).extend(filled(text, article) for text in phrased)
    return {key: list(dict.fromkeys(texts)) for key, texts in asked.items()}


def train_text_side(
    model: VLJEPA,
    tokenizer: TextTokenizer,
    config: TextConfig,
    context: RunContext,
    seed: int = 0,
) -> None:
    """Train the trunk's upper layers and the head; resumes from and ends with `text.pt`.

    Accuracy on the wordings of the check is printed where a checkpoint is written.
    """
    machine, trunk = context.machine, model.text_trunk
    upper = _Upper(trunk, tokenizer, config.layers)
    tuned = nn.ModuleList(trunk.layers[-config.layers :])
    tuned.requires_grad_(True)
    questions = nn.Linear(model.architecture.text.dim, _QUESTION_DIM)
    parts = {"text_trunk": trunk, "text_head": model.text_head, "questions": questions}
    groups = [(tuned, config.layer_factor), (model.text_head, 1.0), (questions, 1.0)]
    phase = Phase("text", context, config, parts, groups)
    try:
        if phase.begin():
            return
        rng = random.Random(f"text {seed} {machine.rank} {phase.budget.spent}")
        plain, named = meanings(rng), named_meanings(rng, 400)
        forms = _question_texts(rng)
        scale = torch.tensor(_SCALE)

        def saved() -> None:
            shares = text_ceiling(model.text_head, TextTable(trunk, tokenizer))
            print("text, wordings of the check:", shares, flush=True)

        for _ in phase.steps(saved, ready=lambda: None):
            answers = draw_wordings(plain, config.each, rng)
            answers += draw_wordings(dict(rng.sample(sorted(named.items()), config.named)), 2, rng)
            queries = draw_wordings(forms, config.each, rng)
            pooled = upper.pooled([text for _, text in answers + queries], config.noise)
            pooled = functional.dropout(pooled, config.dropped)
            vectors = model.text_head(pooled[: len(answers)])
            answer_part = contrastive_loss(vectors, [key for key, _ in answers], scale)
            vectors = functional.normalize(questions(pooled[len(answers) :]), dim=-1)
            query_part = contrastive_loss(vectors, [key for key, _ in queries], scale)
            phase.descend(answer_part + query_part)
            phase.progress.add(len(answers), {"answers": answer_part, "questions": query_part})
    finally:
        tuned.requires_grad_(False)
        trunk.to("cpu")  # where all later texts are embedded


def load_text_side(model: VLJEPA, context: RunContext) -> bool:
    """Take over what a finished phase left in the run; False where there is none.

    The trunk is rounded to what is stored.
    """
    saved = load_checkpoint(context.folder / "text.pt")
    if saved is None or not saved["done"]:
        return False
    load_into(saved, {"text_trunk": model.text_trunk, "text_head": model.text_head})
    model.text_trunk.to("cpu").load_state_dict(rounded_trunk(model.text_trunk.state_dict()))
    return True


def tuned_parameters(model: VLJEPA, config: TextConfig) -> int:
    """How many parameters of the trunk the phase changes."""
    return sum(p.numel() for layer in model.text_trunk.layers[-config.layers :]
               for p in layer.parameters())  # fmt: skip
