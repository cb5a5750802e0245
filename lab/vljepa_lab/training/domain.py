"""`vljepa train domain`: fit the description of a model's domain, `domain.safetensors`.

For models of the simulated world. A small network learns to tell the visual tokens of its clips
from those of pictures that are none (`domain_clips`); no photograph is used. Validation scenes say
where its score is 0: there, with the evidence of a stream (`perception/domain.py`), hardly any of
their time is marked. Only that file and its entries in `config.json` are written: weights, graphs
and model_id stay. Needs torch.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor, nn
from torch.nn import functional

from vljepa_lab.training.augmentation import distract
from vljepa_lab.training.calibrate_folder import run_parsed, say
from vljepa_lab.training.domain_clips import FRAMES, disturbed, rearranged, strange
from vljepa_lab.training.model_folder_writer import sha256_of
from vljepa_lab.world.dataset import Plan, generate, open_shards
from vljepa_lab.world.records import INTERVAL, Record
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.files import atomic_write
from vljepa_ros.perception.domain import MOST, PART, Domain, DomainWatch

Tokens = NDArray[np.float16]
Frames = NDArray[np.uint8]

FILE = "domain.safetensors"
CELL, HIDDEN = 16, 48  # widths of the layers
_SCENE_FRAMES = 10
_PER_SCENE = 6  # clips, the first of which is not disturbed
_DISTRACTED = 0.4  # share of the clips with unknown things in the background
_OUTSIDE, _STRANGE = 3500, 0.75  # clips out of the domain, and the share that shows no world at all
_DISTURBED = 0.7  # share of them that is seen through another camera, too
_SEEDS = {"train": 11, "train_furnished": 12, "outside": 77, "validation": 3}
_EPOCHS, _BATCH, _RATE, _DECAY, _DROPOUT, _SURE = 15, 128, 2e-3, 1e-2, 0.3, 0.98
_MARKED = 0.001  # share of the time of validation streams that may be marked


def scene_plans(data: Path) -> list[Plan]:
    """What is rendered into `data`: for training, then for validation.

    `gate`: rooms of kinds that no training scene has, of no test's seeds.
    """
    plans = (
        ("train", "train", 300, 0, False),
        ("train_furnished", "train", 300, 100_000, True),
        ("gate", "test_a", 100, 900_000, False),
        ("val_furnished", "train", 100, 190_000, True),
    )
    return [
        Plan(split, scenes, data / folder, frames=_SCENE_FRAMES, first=first, furnished=furnished)
        for folder, split, scenes, first, furnished in plans
    ]


def fit_domain(engine: Engine, data: Path) -> Domain:
    """Fit a description; the same engine and scenes give the same one.

    Args:
        engine: a model of the simulated world, with clips of FRAMES frames.
        data: has the scenes of `scene_plans`.

    Raises:
        FileNotFoundError: there are no scenes.
    """
    known = [*_known_clips(data, "train"), *_known_clips(data, "train_furnished")]
    say(f"{len(known)} clips of the domain; encoding")
    inside = _encoded(engine, known)
    say(f"{_OUTSIDE} clips out of it; drawing and encoding")
    domain = fit_network(inside, _encoded(engine, _other_clips(known)))
    say("validation")
    streams = [
        [domain.score(tokens) for tokens in stream] for stream in validation_streams(engine, data)
    ]
    return shifted(domain, streams)


def _known_clips(data: Path, folder: str) -> Iterator[Frames]:
    rng, source = np.random.default_rng(_SEEDS[folder]), random.Random(_SEEDS[folder])
    for frames, record in _scenes(data / folder):
        for number in range(_PER_SCENE):
            start = int(rng.integers(0, len(frames) - FRAMES + 1))
            clip = frames[start : start + FRAMES]
            if source.random() < _DISTRACTED:
                clip = distract(clip, record.states[start : start + FRAMES], source)
            yield disturbed(clip, rng) if number else clip


def _other_clips(known: Sequence[Frames]) -> Iterator[Frames]:
    rng = np.random.default_rng(_SEEDS["outside"])
    for _ in range(_OUTSIDE):
        clip = strange(rng) if rng.random() < _STRANGE else rearranged(rng, known)
        yield disturbed(clip, rng) if rng.random() < _DISTURBED else clip


def validation_streams(engine: Engine, data: Path) -> Iterator[list[NDArray[np.float32]]]:
    """Visual tokens [N, D] of each clip of each scene for validation, as it is and disturbed."""
    rng = np.random.default_rng(_SEEDS["validation"])
    for folder in ("gate", "val_furnished"):
        for frames, _ in _scenes(data / folder):
            for shown in (frames, disturbed(frames, rng)):
                yield list(stream_tokens(engine, shown))


def marked_share(streams: Sequence[Sequence[float]], shift: float = 0.0) -> float:
    """Share of the clips of some streams, INTERVAL apart, that are marked as out of the domain."""
    marks = []
    for scores in streams:
        watch = DomainWatch()
        for index, score in enumerate(scores):
            stamps = tuple(round((index + i) * INTERVAL * 1e9) for i in range(FRAMES))
            marks.append(not watch.observe(stamps, score + shift))
    return float(np.mean(marks))


def shifted(domain: Domain, streams: Sequence[Sequence[float]]) -> Domain:
    """With the lowest scores at which no more than _MARKED of these streams is marked."""
    low, high = -4 * MOST, 4 * MOST
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if marked_share(streams, middle) <= _MARKED else (middle, high)
    say(f"score shifted by {high:.2f}; marked of validation: {marked_share(streams, high):.4f}")
    weight, bias = domain.out
    return Domain(domain.cell, domain.hidden, (weight, bias + np.float32(high)))


def _scenes(folder: Path) -> Iterator[tuple[Frames, Record]]:
    given = False
    for videos, lines in open_shards(folder):
        for frames, line in zip(videos, lines, strict=True):
            given = True
            yield np.asarray(frames), Record.from_dict(line)
    if not given:
        raise FileNotFoundError(f"no scenes in {folder}: shard_*.npy are expected")


def stream_tokens(engine: Engine, frames: Frames) -> Iterator[NDArray[np.float32]]:
    """Visual tokens [N, D] of each clip of a scene, as a camera sees one after the other."""
    state = None
    for end in range(FRAMES, len(frames) + 1):
        clip = Clip(frames[end - FRAMES : end], tuple(range(end - FRAMES, end)))
        (one,) = engine.encode([clip], [state])
        state = one.state
        yield one.tokens


def _encoded(engine: Engine, clips: Iterator[Frames] | Sequence[Frames]) -> Tokens:
    """Visual tokens [clips, N, D]."""
    rest, found = iter(clips), []
    while batch := [Clip(frames, tuple(range(FRAMES))) for frames in islice(rest, 32)]:
        for one in engine.encode(batch, [None] * len(batch)):
            found.append(one.tokens.astype(np.float16))
    return np.stack(found)


class _Network(nn.Module):
    """`Domain` with dropout, on tokens that are scaled first."""

    def __init__(self, tokens: Tensor) -> None:
        super().__init__()
        self.mean, self.spread = tokens.mean((0, 1)), tokens.std((0, 1))
        self.cell = nn.Linear(tokens.shape[2], CELL)
        self.hidden = nn.Linear(tokens.shape[1] * CELL, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, D] -> [B]."""
        x = functional.relu(self.cell((tokens - self.mean) / self.spread)).flatten(1)
        x = functional.dropout(x, _DROPOUT, self.training)
        x = functional.dropout(functional.relu(self.hidden(x)), _DROPOUT, self.training)
        return torch.as_tensor(self.out(x))[:, 0]

    def domain(self) -> Domain:
        """The same without the scaling, which the first layer takes over; rounded to fp16."""
        weight = self.cell.weight / self.spread
        layers = [(weight, self.cell.bias - weight @ self.mean)]
        layers += [(layer.weight, layer.bias) for layer in (self.hidden, self.out)]
        halves = [[x.detach().half().float().numpy() for x in (w.T, b)] for w, b in layers]
        cell, hidden, out = ((w.copy(), b) for w, b in halves)
        return Domain(cell, hidden, out)


def fit_network(inside: Tokens, outside: Tokens) -> Domain:
    """Learn to tell [clips, N, D] tokens of the domain from others."""
    torch.manual_seed(0)
    tokens = torch.from_numpy(np.concatenate([inside, outside]))
    truth = torch.cat([torch.full((len(inside),), _SURE), torch.full((len(outside),), 1 - _SURE)])
    weight = torch.where(truth > 0.5, 1.0, len(inside) / len(outside))
    network = _Network(tokens.float())
    optimizer = torch.optim.AdamW(network.parameters(), _RATE, weight_decay=_DECAY)
    steps = _EPOCHS * (len(tokens) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(_EPOCHS):
        losses = []
        for rows in torch.split(torch.randperm(len(tokens)), _BATCH)[: len(tokens) // _BATCH]:
            logits = network(tokens[rows].float())
            loss = functional.binary_cross_entropy_with_logits(logits, truth[rows], weight[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            losses.append(float(loss.detach()))
        say(f"epoch {epoch + 1}: loss {np.mean(losses):.3f}")
    return network.eval().domain()


def write_domain(domain: Domain, folder: Path) -> None:
    """Write the description into a model folder and name it in its `config.json`."""
    arrays: dict[str, NDArray[np.float32]] = {}
    for name, (weight, bias) in vars(domain).items():
        arrays |= {f"{name}.weight": weight, f"{name}.bias": bias}
    halves = {name: array.astype(np.float16) for name, array in arrays.items()}
    with atomic_write(folder / FILE) as out:
        out.write(save(halves))
    file = folder / "config.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    raw["files"][PART] = FILE
    raw["sha256"][FILE] = sha256_of(folder / FILE)
    with atomic_write(file, "w") as out:
        out.write(json.dumps(raw, indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> int:
    """`vljepa train domain`."""
    parser = argparse.ArgumentParser(prog="vljepa train domain", description=__doc__)
    parser.add_argument("--model", default="nano", metavar="NAME_OR_FOLDER", help="default: nano")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="scenes; missing ones are rendered"
    )

    def work(args: argparse.Namespace, folder: Path) -> None:
        for plan in scene_plans(args.data):
            generate(plan)
        engine = load_engine(folder, threads=1, parts=frozenset({"vision"}))
        write_domain(fit_domain(engine, args.data), folder)
        engine.close()
        print(folder / FILE)

    return run_parsed(parser, argv, work)
