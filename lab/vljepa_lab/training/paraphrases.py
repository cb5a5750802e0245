"""Texts alone: wordings of one meaning are pulled together, those of others pushed apart.

The pictures teach the Y-Encoder's head only the wordings that happen to be drawn, most of them with
few others of their meaning beside them. This loss sees many wordings of every event and state at
each step, on the frozen trunk's cached outputs, for a few milliseconds. Needs torch.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from vljepa_lab.training.distributed import device_of
from vljepa_lab.training.question_sampling import parent, states_of
from vljepa_lab.training.text_trunk import TextTable
from vljepa_lab.world.captions import (
    event_key,
    event_text,
    event_texts,
    object_names,
    state_text,
    state_texts,
)
from vljepa_lab.world.records import ACTIONS, OBJECT_ACTIONS
from vljepa_lab.world.wordings import LEAD_INS
from vljepa_ros.models.vl_jepa.nano_heads import TextHead


class Paraphrases:
    """Pooled trunk embeddings of many texts with their meanings, and batches of them.

    Args:
        table: computes the embeddings (a minute for all of them, once).
        named: texts of events that name their object.
        most: so many wordings of a meaning at most (0 all).
        noise: spread added to the embeddings, as a share of their own; dropped: share of their
            dimensions that are left out.
    """

    def __init__(
        self,
        table: TextTable,
        seed: int = 0,
        named: int = 2000,
        noise: float = 0.7,
        dropped: float = 0.1,
        most: int = 0,
    ) -> None:
        rng = random.Random(f"paraphrases {seed}")
        self._plain = meanings(rng, most)
        self._named = named_meanings(rng, min(named, 10 * most) if most else named)
        table.add_answers([text for texts in self._plain.values() for text in texts])
        table.add_answers([text for texts in self._named.values() for text in texts])
        self._table, self._noise, self._dropped = table, noise, dropped

    def loss(
        self, head: TextHead, scale: Tensor, rng: random.Random, each: int = 4, named: int = 24
    ) -> Tensor:
        """Loss, a scalar: `each` texts of plain meanings, two of `named` ones with an object."""
        drawn = sorted(self._named.items())
        rows = draw_wordings(self._plain, each, rng)
        rows += draw_wordings(dict(rng.sample(drawn, min(named, len(drawn)))), 2, rng)
        pooled = self._table.answers([text for _, text in rows]).to(device_of(head))
        spread = pooled.norm(dim=1, keepdim=True) / pooled.shape[1] ** 0.5
        pooled = pooled + torch.randn_like(pooled) * spread * self._noise
        pooled = functional.dropout(pooled, self._dropped)
        return contrastive_loss(head(pooled), [key for key, _ in rows], scale)


def draw_wordings(
    meanings: Mapping[str, list[str]], each: int, rng: random.Random
) -> list[tuple[str, str]]:
    """(meaning, text) of `each` texts of every meaning, of all where there are fewer."""
    return [
        (key, text)
        for key, texts in meanings.items()
        for text in rng.sample(texts, min(each, len(texts)))
    ]


def contrastive_loss(vectors: Tensor, meanings: Sequence[str], scale: Tensor) -> Tensor:
    """Multi-positive InfoNCE of vectors [N, D] among themselves.

    meanings [N]: keys, equal for equal meaning; one that says the same as another with less detail
    (`parent`) is neither right nor wrong for it.
    """
    number: dict[str, int] = {}
    keys = torch.tensor([number.setdefault(key, len(number)) for key in meanings])
    parents = torch.tensor([number.get(parent(key), -1) for key in meanings])
    keys, parents = keys.to(vectors.device), parents.to(vectors.device)
    logits = scale * vectors @ vectors.T
    same = keys[:, None] == keys[None]
    self_ = torch.eye(len(keys), dtype=torch.bool, device=vectors.device)
    related = (parents[:, None] == keys[None]) | (keys[:, None] == parents[None])
    logits = logits.masked_fill(self_ | related, -1e4)
    right = logits.masked_fill(~same | self_, -1e4)
    return (torch.logsumexp(logits, 1) - torch.logsumexp(right, 1)).mean()


def meanings(rng: random.Random, most: int = 0) -> dict[str, list[str]]:
    """Key of each action and state -> its wordings for training, plain and with a lead-in.

    At most `most` of them; 0: all.
    """
    plain = {key: state_texts(key, "wide") for key in states_of()}
    plain |= {event_key(kind): event_texts(kind, which="wide") for kind in ACTIONS}
    by_key = {}
    for key, texts in plain.items():
        some = texts[:most] if most else texts
        led = [rng.choice(LEAD_INS).format(s=text) for text in some]
        by_key[key] = list(dict.fromkeys([*some, *led]))
    return by_key


def named_meanings(rng: random.Random, draws: int) -> dict[str, list[str]]:
    """Key of events with an object, and of what is held -> two wordings or more.

    At most `draws` keys.
    """
    by_key: dict[str, list[str]] = defaultdict(list)
    names = object_names("train")
    kinds = (*OBJECT_ACTIONS, "held")
    for _ in range(draws):
        kind, name = rng.choice(kinds), rng.choice(names)
        if kind == "held":
            key, options = f"{kind}:{name}", state_texts(f"{kind}:{name}", "wide")
        else:
            key, options = event_key(kind, name), event_texts(kind, name, "wide")
        by_key[key] += rng.sample(options, 2)
    return dict(by_key)


def text_ceiling(head: TextHead, table: TextTable) -> dict[str, float]:
    """How often a canonical text is nearest to a wording of its own, among one of each meaning.

    For events and for states, in the wordings kept for this check: what the text side would allow
    with perfect vision.
    """
    texts: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
        "action": {kind: (event_text(kind), event_texts(kind, which="check")) for kind in ACTIONS},
        "state": {key: (state_text(key), state_texts(key, "check")) for key in states_of()},
    }
    shares = {}
    for name, of in texts.items():
        canonical = [text for text, _ in of.values()]
        options = [wordings for _, wordings in of.values()]
        groups = [list(range(len(of)))] if name == "action" else _groups(list(of))
        table.add_answers([*canonical, *(text for some in options for text in some)])
        device, rng, right = device_of(head), random.Random(0), []
        with torch.no_grad():
            goals = head(table.answers(canonical).to(device)).cpu()
            for _ in range(60):
                drawn = [rng.choice(some) for some in options]
                similar = goals @ head(table.answers(drawn).to(device)).cpu().T
                for group in groups:
                    block = similar[group][:, group]
                    right += (block.argmax(1) == torch.arange(len(group))).tolist()
        shares[name] = round(sum(right) / len(right), 3)
    return shares


def _groups(keys: list[str]) -> list[list[int]]:
    """Places of the keys of one question each: door, lights, person, held."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        groups[key.partition(":")[0]].append(place)
    return [places for places in groups.values() if len(places) > 1]
