"""What every engine shares: shapes and profiles, the parity gate, batches that do not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.engines.parity import compare_values, example_inputs, gate
from vljepa_ros.engines.part_runner import OutOfMemoryError, PartRunner
from vljepa_ros.engines.protocol import EngineInfo
from vljepa_ros.engines.shapes import (
    Profile,
    default_profiles,
    select_profile,
    tensor_range,
)
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part, Tensor, check_inputs

PART = Part(
    "predictor",
    (Tensor("tokens", ("batch", "tokens", 4)), Tensor("mask", ("batch", "query"), "int64")),
    (Tensor("embedding", ("batch", 2)),),
)
DOUBLE = Part("double", (Tensor("x", ("batch",)),), (Tensor("y", ("batch",)),))


def inputs(batch: int, tokens: int = 3, query: int = 2) -> dict[str, Any]:
    return {
        "tokens": np.zeros((batch, tokens, 4), np.float32),
        "mask": np.ones((batch, query), np.int64),
    }


def test_inputs_are_checked() -> None:
    assert check_inputs(PART, inputs(2)) == {"batch": 2, "tokens": 3, "query": 2}
    wrong = inputs(2)
    wrong["mask"] = wrong["mask"][:1]
    with pytest.raises(ModelError, match="'mask' has shape 1 x 2, allowed: batch x query"):
        check_inputs(PART, wrong)
    with pytest.raises(ModelError, match="'tokens' is float64, allowed: float32"):
        check_inputs(PART, {**inputs(1), "tokens": np.zeros((1, 3, 4))})
    with pytest.raises(ModelError, match="takes mask, tokens; got tokens"):
        check_inputs(PART, {"tokens": np.zeros((1, 3, 4), np.float32)})


def test_profiles() -> None:
    ranges = {"tokens": (3, 3, 3), "query": (1, 8, 64)}
    profiles = default_profiles(PART, ranges, batches=(8, 1))
    assert [str(p) for p in profiles] == [
        "batch 1..1 (1), tokens 3..3 (3), query 1..64 (8)",
        "batch 2..8 (8), tokens 3..3 (3), query 1..64 (8)",
    ]
    assert select_profile("p", profiles, {"batch": 1, "tokens": 3, "query": 64}) == 0
    assert select_profile("p", profiles, {"batch": 5, "tokens": 3, "query": 1}) == 1
    with pytest.raises(ModelError, match=r"built for batch 1..1 .*; got batch 9, tokens 3"):
        select_profile("p", profiles, {"batch": 9, "tokens": 3, "query": 1})
    assert tensor_range(PART.inputs[0], profiles[1]) == ((2, 3, 4), (8, 3, 4), (8, 3, 4))
    with pytest.raises(ModelError, match="needs a range for query"):
        default_profiles(PART, {"tokens": (1, 1, 1)})
    with pytest.raises(ModelError, match="allowed: 1 <= least <= best <= greatest"):
        Profile((("batch", (2, 1, 3)),))


class Doubler(PartRunner):
    """A device that holds `fits` rows, and takes `largest` at once."""

    def __init__(self, fits: int, largest: int | None) -> None:
        super().__init__([DOUBLE], EngineInfo("test", "cpu", "fp32"), fixed_shapes=False)
        self.fits, self.largest = fits, largest
        self.sizes: list[int] = []

    def close(self) -> None:
        """Nothing to free."""

    def _largest_batch(self, part: Part, sizes: Mapping[str, int]) -> int | None:
        return self.largest

    def _run(self, part: Part, inputs: Any, rows: int, largest: int | None) -> dict[str, Any]:
        assert rows == len(inputs["x"])
        if rows > self.fits:
            raise OutOfMemoryError("2 GiB wanted")
        self.sizes.append(rows)
        return {"y": inputs["x"] * 2}


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 40), fits=st.integers(1, 40), largest=st.none() | st.integers(1, 16))
def test_a_batch_that_does_not_fit_is_halved(rows: int, fits: int, largest: int | None) -> None:
    runner = Doubler(fits, largest)
    x = np.arange(rows, dtype=np.float32)
    np.testing.assert_array_equal(runner.run("double", {"x": x})["y"], x * 2)
    assert sum(runner.sizes) == rows
    assert max(runner.sizes) <= min(fits, largest or fits)


def test_a_device_without_memory_for_one_row() -> None:
    with pytest.raises(ModelError, match="no memory for one input: 2 GiB wanted; use a smaller"):
        Doubler(0, None).run("double", {"x": np.zeros(4, np.float32)})


def test_the_gate_refuses_what_differs() -> None:
    rng = np.random.default_rng(0)
    exact = rng.standard_normal((5, 16)).astype(np.float32)
    near = exact + 1e-6 * rng.standard_normal((5, 16)).astype(np.float32)
    gate([compare_values("a", exact, near)], "fp32")
    far = exact.copy()
    far[3] += 0.3 * rng.standard_normal(16).astype(np.float32)  # one bad row is enough
    with pytest.raises(ModelError, match=r"refused: cosine .* a 0.9.*allowed for bf16: at least"):
        gate([compare_values("a", exact, near), compare_values("a", exact, far)], "bf16")
    broken = near.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ModelError, match=r"a -1.000000"):
        gate([compare_values("a", exact, broken)], "fp16")
    with pytest.raises(ModelError, match=r"output is \[5, 15\], the reference's \[5, 16\]"):
        compare_values("a", exact, exact[:, :15])


def test_example_inputs_are_fixed() -> None:
    sizes = {"batch": 2, "tokens": 3, "query": 4}
    first, second = example_inputs(PART, sizes), example_inputs(PART, sizes)
    assert check_inputs(PART, first) == sizes
    np.testing.assert_array_equal(first["tokens"], second["tokens"])
    with pytest.raises(ModelError, match="needs a size for query"):
        example_inputs(PART, {"batch": 1, "tokens": 1})


def test_torch_without_memory_takes_smaller_batches() -> None:
    torch = pytest.importorskip("torch")
    from vljepa_ros.engines.torch_runner import TorchRunner

    class Hungry(torch.nn.Module):
        """Fits two rows."""

        fits = 2

        def forward(self, tokens: Any, mask: Any) -> Any:
            if len(tokens) > self.fits:
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
            return tokens.sum(dim=1)[:, :2] + mask.sum(dim=1, keepdim=True)

    module = Hungry()
    runner = TorchRunner([PART], {"predictor": module}, device="cpu")
    given = {**inputs(5), "tokens": np.arange(60, dtype=np.float32).reshape(5, 3, 4)}
    expected = given["tokens"].sum(axis=1)[:, :2] + 2
    np.testing.assert_allclose(runner.run("predictor", given)["embedding"], expected)
    module.fits = 0
    with pytest.raises(ModelError, match="no memory for one input: CUDA out of memory"):
        runner.run("predictor", given)
    module.fits = 5  # the runner lives on
    np.testing.assert_allclose(runner.run("predictor", given)["embedding"], expected)
    with pytest.raises(ModelError, match="CUDA graphs need a CUDA device, this is cpu"):
        TorchRunner([PART], {"predictor": module}, device="cpu", cuda_graphs=True)
