"""What a run of `vljepa train nano` begins with: its text trunk, and the newest checkpoint before a
phase. Needs torch.
"""

from __future__ import annotations

import torch
from tokenizers import Tokenizer

from vljepa_lab.training.loop import load_checkpoint
from vljepa_lab.training.nano_config import TRAINED, NanoConfig
from vljepa_lab.training.nano_words import world_words
from vljepa_lab.training.trunk import build_trunk
from vljepa_ros.models.vl_jepa.nano_config import TextSizes


def make_trunk(config: NanoConfig) -> None:
    """Built once for a run, so that embeddings kept on the disk stay valid."""
    run = config.run
    if not (run / "trunk.pt").is_file():
        tokenizer, _, state = build_trunk(world_words())
        tokenizer.save(str(run / "tokenizer.json"))
        torch.save(state, run / "trunk.pt")


def load_trunk(config: NanoConfig) -> tuple[Tokenizer, TextSizes, dict[str, torch.Tensor]]:
    """What `make_trunk` made: tokenizer, sizes and parameters."""
    run = config.run
    state = torch.load(run / "trunk.pt", weights_only=True)
    sizes = TextSizes(words=len(state["words.weight"]), positions=len(state["positions"]))
    return Tokenizer.from_file(str(run / "tokenizer.json")), sizes, state


def newest(config: NanoConfig, before: str) -> str:
    """The newest finished phase that `before` can start from."""
    for phase in TRAINED[TRAINED.index(before) + 1 :]:
        if (config.run / f"{phase}.pt").is_file():
            return phase
    if config.start is not None:
        # Where phases of another run are to be continued, their checkpoint becomes part of this.
        file = config.run / "start.pt"
        if not file.is_file():
            content = torch.load(config.start, map_location="cpu", weights_only=True)
            text = load_checkpoint(config.run / "text.pt")
            if text is not None:  # its head belongs to the trunk that was trained with it
                content["parts"]["text_head"] = text["parts"]["text_head"]
            torch.save(content, file)
        return "start"
    return "joint"
