"""The Y-Encoder on texts alone: what it changes, what it leaves, what a later phase finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from vljepa_lab.training.distributed import DistributedContext
from vljepa_lab.training.loop import RunContext
from vljepa_lab.training.text_side import (
    TextConfig,
    load_text_side,
    train_text_side,
    tuned_parameters,
)
from vljepa_lab.training.text_trunk import rounded_trunk
from vljepa_ros.models.vl_jepa.nano_config import Architecture, TextSizes
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA
from vljepa_ros.models.vl_jepa.nano_text import TextTokenizer
from vljepa_ros.resources import model_dir

TOKENIZER = model_dir("nano") / "tokenizer.json"


def small_model() -> VLJEPA:
    torch.manual_seed(0)
    words = Tokenizer.from_file(str(TOKENIZER)).get_vocab_size()
    sizes = TextSizes(words=words, depth=2, dim=48, heads=2, hidden=48)
    model = VLJEPA(Architecture(text=sizes))
    for parameter in model.text_trunk.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    return model


@pytest.mark.timeout(300)
def test_the_upper_layers_alone_change_and_are_stored_as_they_are_shipped(tmp_path: Path) -> None:
    model, tokenizer = small_model(), TextTokenizer(TOKENIZER)
    trunk = model.text_trunk
    before = {name: value.clone() for name, value in trunk.state_dict().items()}

    context = RunContext(tmp_path, DistributedContext.here("cpu"))
    config = TextConfig(minutes=0.05, layers=1, layer_factor=1.0, rate=3e-3, noise=0.0)
    assert not load_text_side(model, context)
    train_text_side(model, tokenizer, config, context)
    changed = {name for name, value in trunk.state_dict().items() if (value != before[name]).any()}
    assert changed
    assert all(name.startswith("layers.1.") for name in changed)
    assert not any(parameter.requires_grad for parameter in trunk.parameters())
    assert tuned_parameters(model, config) == sum(p.numel() for p in trunk.layers[1].parameters())

    later = small_model()
    assert load_text_side(later, context)
    stored = later.text_trunk.state_dict()
    for name, value in rounded_trunk(stored).items():
        torch.testing.assert_close(value, stored[name])
    head, other = model.text_head.state_dict(), later.text_head.state_dict()
    assert all(torch.equal(head[name], other[name]) for name in head)
