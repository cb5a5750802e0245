from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from tiny_hub import image

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.dual_encoder.inputs import patch_size
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.preprocessing import normalise_frames, preprocess, resize_antialiased
from vljepa_ros.models.resize import resize_area
from vljepa_ros.models.torch_preprocessing import PixelInput


class Shown(torch.nn.Module):
    """A tower that gives back what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.own = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return pixel_values


def pixels_of(
    config: ModelConfig, frames: NDArray[np.uint8], dtype: torch.dtype = torch.float32
) -> NDArray[np.float32]:
    """What the config's tower would be given for frames."""
    step = PixelInput(Shown().to(dtype), config.preprocessing, "pixel_values", patch_size(config))
    return np.asarray(step(torch.from_numpy(frames)).float())


FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@settings(max_examples=40, deadline=None)
@given(
    st.integers(3, 90),
    st.integers(3, 90),
    st.integers(3, 60),
    st.integers(3, 60),
    st.sampled_from(sorted(FILTERS)),
)
def test_resize_equals_pillow(h: int, w: int, height: int, width: int, name: str) -> None:
    """Each direction alone, and both across first: Pillow may choose the other order."""
    source = image(h, w, seed=h * 100 + w)
    across = np.asarray(Image.fromarray(source).resize((width, h), FILTERS[name]))
    assert np.array_equal(resize_antialiased(source, h, width, name), across)
    down = np.asarray(Image.fromarray(across).resize((width, height), FILTERS[name]))
    assert np.array_equal(resize_antialiased(source, height, width, name), down)


@pytest.mark.parametrize("size", [(48, 64), (64, 48), (37, 91), (32, 32), (120, 47)])
@pytest.mark.parametrize("fixture", ["clip_folder", "siglip_folder"])
def test_input_equals_the_hub_processor(
    fixture: str, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(fixture)
    config = load_config(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder, use_fast=False)
    source = image(*size)
    expected = processor(images=Image.fromarray(source), return_tensors="np")["pixel_values"]
    seen = pixels_of(config, preprocess(source, config.preprocessing)[None])
    # In units of the image's own 0..1, that is before the division by the standard deviation.
    std = np.asarray(config.preprocessing["std"])[:, None, None]
    assert np.abs((seen - expected) * std).max() <= 1.0 / 255.0 + 1e-6


def test_patches_equal_the_hub_processor(naflex_folder: Path) -> None:
    config = load_config(naflex_folder)
    processor = transformers.AutoImageProcessor.from_pretrained(naflex_folder, use_fast=False)
    source = image(75, 75)
    expected = processor(images=Image.fromarray(source), return_tensors="np")
    assert expected["spatial_shapes"].tolist() == [[4, 4]]
    seen = pixels_of(config, preprocess(source, config.preprocessing)[None])
    assert np.abs(seen - expected["pixel_values"]).max() * 0.5 <= 1.0 / 255.0 + 1e-6


def test_frames_are_normalised_in_fp32_on_the_device(clip_folder: Path) -> None:
    """Also for a clip [B, T, S, S, 3], and before a tower in half precision takes over."""
    config = load_config(clip_folder)
    frames = np.stack([image(32, 32, 1), image(32, 32, 2)])
    expected = normalise_frames(frames, config.preprocessing)
    np.testing.assert_allclose(pixels_of(config, frames), expected, atol=1e-6)
    np.testing.assert_allclose(pixels_of(config, frames[None])[0], expected, atol=1e-6)
    half = pixels_of(config, frames, torch.bfloat16)
    np.testing.assert_array_equal(half, torch.from_numpy(expected).bfloat16().float())


def test_wrong_images_are_named() -> None:
    spec = {"resize": "exact", "size": 8}
    with pytest.raises(ModelError, match=r"\[H, W, 3\] uint8"):
        preprocess(np.zeros((8, 8), np.uint8), spec)
    with pytest.raises(ModelError, match="allowed: bilinear, bicubic, lanczos"):
        preprocess(image(9, 9), {**spec, "interpolation": "nearest"})
    with pytest.raises(ModelError, match="allowed: shortest_edge, exact, none"):
        preprocess(image(9, 9), {**spec, "resize": "longest"})
    with pytest.raises(ModelError, match="does not fit"):
        preprocess(image(9, 9), {"resize": "none", "size": 9, "crop": 10})


@pytest.mark.parametrize("size", [(48, 64), (120, 47), (33, 32)])
@pytest.mark.parametrize("how", ["exact", "shortest_edge"])
@pytest.mark.parametrize("name", sorted(FILTERS))
def test_torch_resizes_as_numpy_does(size: tuple[int, int], how: str, name: str) -> None:
    """The way that a GPU takes, on the CPU: at most one level apart."""
    spec = {"resize": how, "size": 32, "crop": 32, "interpolation": name}
    source = image(*size)[..., ::-1]  # a view, as cameras with bgr8 give it
    here = preprocess(source, spec).astype(int)
    there = preprocess(source, {**spec, "device": "cpu"}).astype(int)
    assert there.shape == here.shape == (32, 32, 3)
    assert np.abs(there - here).max() <= 1
    assert (there != here).mean() < 0.01


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 24), st.booleans(), st.integers(0, 9))
def test_averaging_in_halves_is_averaging(
    height: int, width: int, size: int, swap: bool, seed: int
) -> None:
    ramp = np.add.outer(np.arange(height), np.arange(width))[..., None] * (1.2, 0.7, 0.4)
    noise = np.random.default_rng(seed).integers(0, 4, ramp.shape)
    image = (ramp + noise).astype(np.uint8)
    got = preprocess(
        image[..., ::-1] if swap else image,
        {"resize": "exact", "size": size, "interpolation": "area"},
    )
    want = resize_area(image, size, size).astype(int)
    assert got.shape == (size, size, 3)
    assert np.abs(got.astype(int) - (want[..., ::-1] if swap else want)).max() <= 2
