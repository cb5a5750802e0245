"""Engines that compile or record: few shapes, whatever is asked, and the same results."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_hub import image
from tiny_paper import converted

from vljepa_ros.engines.load import warm_up
from vljepa_ros.engines.paper_engine import PaperEngine
from vljepa_ros.engines.part_runner import padded_length, padded_rows
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.engines.torch_runner import TorchRunner
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.vl_jepa.paper_config import paper_parts

# Compiling takes its time on a busy machine.
pytestmark = pytest.mark.timeout(600)

ALL = frozenset({"vision", "predictor", "text"})


@given(st.integers(1, 300), st.none() | st.integers(1, 300))
def test_batches_are_filled_up_to_few_sizes(rows: int, largest: int | None) -> None:
    size = padded_rows(rows, largest)
    assert size >= rows
    if largest is None:
        assert size.bit_count() == 1
        assert size < 2 * rows
    elif rows <= largest:
        assert size <= largest


@given(st.integers(1, 512), st.integers(1, 512))
def test_lengths_are_filled_up_to_few_sizes(length: int, longest: int) -> None:
    full = padded_length(length, longest)
    assert full >= length
    if length <= longest:
        assert full <= longest
        assert full == longest or (full >= 16 and full.bit_count() == 1)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ModelConfig:
    return load_config(converted(tmp_path_factory.mktemp("full")))


@pytest.mark.check
def test_questions_of_all_lengths_share_a_graph(config: ModelConfig) -> None:
    graphs: list[Any] = []

    def backend(module: Any, inputs: Any) -> Any:
        graphs.append(module)
        return module.forward

    runner = TorchRunner(
        paper_parts(config), PaperEngine.torch_modules(config, ALL), device="cpu", compiled=True,
        backend=backend,
    )  # fmt: skip
    assert runner.fixed_shapes
    assert runner.info.engine == "torch-compiled"
    compiled = PaperEngine(config, runner, ALL)
    eager = PaperEngine(
        config,
        TorchRunner(paper_parts(config), PaperEngine.torch_modules(config, ALL), device="cpu"),
        ALL,
    )
    clips = [Clip(np.stack([image(32, 32, s * 9 + i) for i in range(8)]), tuple(range(8)))
             for s in range(4)]  # fmt: skip
    warm_up(compiled)
    warm = len(graphs)
    assert warm == 3  # one for each part
    tokens = [compiled.encode([clip], [None])[0].tokens for clip in clips]
    for query in ("red", "red cup ?", "what is happening in the video of the red cup ?"):
        np.testing.assert_allclose(
            compiled.embed(tokens[:1], query), eager.embed(tokens[:1], query), atol=1e-5
        )
    for text in ("a cup", "a person walking in the video"):
        np.testing.assert_allclose(
            compiled.encode_text([text]), eager.encode_text([text]), atol=1e-5
        )
    assert len(graphs) == warm, "a shape that the warm-up has not seen"
    # Three cameras are four rows; a fourth costs nothing more.
    three = compiled.embed(tokens[:3], "red")
    np.testing.assert_allclose(three, eager.embed(tokens[:3], "red"), atol=1e-5)
    assert len(graphs) == warm + 1
    np.testing.assert_allclose(compiled.embed(tokens, "red"), eager.embed(tokens, "red"), atol=1e-5)
    assert len(graphs) == warm + 1


def test_rows_that_were_filled_up_are_kept_without_the_filling(config: ModelConfig) -> None:
    runner = TorchRunner(
        paper_parts(config), PaperEngine.torch_modules(config, ALL), device="cpu", compiled=True,
        backend="eager", keep=True,
    )  # fmt: skip
    engine = PaperEngine(config, runner, ALL)
    clip = Clip(np.stack([image(32, 32, i) for i in range(8)]), tuple(range(8)))
    kept = [e.tokens for e in engine.encode([clip] * 3, [None] * 3)]
    assert isinstance(runner.stack(kept), torch.Tensor)
    assert engine.embed(kept, "red").shape == (3, 16)


@pytest.mark.parametrize("part", ["vision", "predictor"])
def test_a_model_without_memory_takes_smaller_batches(part: str, config: ModelConfig) -> None:
    """torch raises in the real model, as it does on a full GPU; two clips fit."""
    modules = PaperEngine.torch_modules(config, ALL)
    runner = TorchRunner(paper_parts(config), modules, device="cpu")
    engine = PaperEngine(config, runner, ALL)
    clips = [Clip(np.stack([image(32, 32, s * 9 + i) for i in range(2)]), (0, 1)) for s in range(5)]
    expected = [e.tokens for e in engine.encode(clips, [None] * 5)]
    answers = engine.embed(expected, "red cup")
    seen: list[int] = []

    def full(module: Any, args: Any, inputs: dict[str, torch.Tensor]) -> None:
        rows = len(next(iter(inputs.values())))
        if rows > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        seen.append(rows)

    modules[part].register_forward_pre_hook(full, with_kwargs=True)
    tokens = [e.tokens for e in engine.encode(clips, [None] * 5)]
    np.testing.assert_allclose(np.stack(tokens), np.stack(expected), atol=1e-5)
    np.testing.assert_allclose(engine.embed(tokens, "red cup"), answers, atol=1e-5)
    assert seen == [2, 2, 1]
