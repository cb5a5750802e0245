"""The processor file of a hub folder: obeyed as transformers obeys it, or refused by field."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.models.config import ModelError
from vljepa_ros.models.hub_processor import hub_preprocessing, read_processor
from vljepa_ros.models.preprocessing import normalise_frames, preprocess

FILE = Path("preprocessor_config.json")
OBEYED: dict[str, Any] = {
    "size": [{"shortest_edge": 32}, {"shortest_edge": 40}, {"height": 32, "width": 32}, 40],
    "do_center_crop": [True, None],
    "crop_size": [{"height": 32, "width": 32}, 32],
    "do_rescale": [True, False, None],
    "rescale_factor": [1 / 255, 1 / 127.5],
    "do_normalize": [True, False, None],
    "image_mean": [[0.5, 0.5, 0.5], [0.48, 0.45, 0.4]],
    "image_std": [[0.5, 0.5, 0.5], [0.26, 0.3, 0.27]],
    "resample": [1, 2, 3],
}


@given(st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in OBEYED.items()}))
@settings(max_examples=40, deadline=None)
def test_clips_fields_are_obeyed_as_transformers_does(raw: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    from PIL import Image

    raw = {"size": {"shortest_edge": 32}, "crop_size": 32, **raw}
    given_fields = {name: value for name, value in raw.items() if value is not None}
    processor = transformers.CLIPImageProcessorPil(**given_fields)
    source = np.random.default_rng(0).integers(0, 256, (45, 61, 3)).astype(np.uint8)
    expected = processor(images=Image.fromarray(source), return_tensors="np")["pixel_values"][0]
    made = hub_preprocessing(raw, FILE, "clip", 32)
    seen = normalise_frames(preprocess(source, made)[None], made)[0]
    unit = np.asarray(made["scale"]) / np.asarray(made["std"], np.float32)[:, None, None]
    assert np.abs((seen - expected) / unit).max() <= 1.0 + 1e-3  # in levels of 255


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        ("clip", {"do_resize": False}, "do_resize is False, allowed: true"),
        ("clip", {"do_center_crop": False}, "do_center_crop is False, allowed: true where size"),
        ("clip", {"do_center_crop": "no"}, "do_center_crop is 'no', allowed: true or false"),
        ("clip", {"crop_size": 24}, "crop_size is 24, allowed: 32"),
        ("clip", {"size": {"height": 32, "width": 48}}, "size is {'height': 32, 'width': 48}"),
        ("clip", {"size": {"longest_edge": 32}}, "size is {'longest_edge': 32}, allowed"),
        ("clip", {"size": "32"}, "size is '32', allowed: 32 pixels"),
        ("clip", {"resample": 0}, r"resample is 0, allowed: 1 \(Lanczos\)"),
        ("clip", {"rescale_factor": 0}, "rescale_factor is 0, allowed: a number above 0"),
        ("clip", {"image_mean": [0.5, 0.5]}, r"image_mean is \[0.5, 0.5\], allowed: three"),
        ("clip", {"image_std": [0.5, 0, 0.5]}, "image_std is .* allowed: three numbers above 0"),
        ("clip", {"do_flip_channel_order": True}, "do_flip_channel_order is True, allowed: false"),
        ("siglip", {"do_pad": True}, "do_pad is True, allowed: false: it is not done here"),
        ("siglip", {"size": 48}, "size is 48, allowed: 32"),
        ("siglip", {"crop_pct": 0.9}, "crop_pct is 0.9, allowed: null"),
        ("siglip", {"size": {"shortest_edge": 32}}, "do_center_crop is None, allowed: true where"),
    ],
)
def test_what_cannot_be_obeyed_is_refused_by_name(
    kind: str, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(ModelError, match=f"'{FILE}': {says}"):
        hub_preprocessing(fields, FILE, kind, 32)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*OBEYED, "do_resize", "do_pad", "crop_pct", "x"]), JSON))
@settings(max_examples=200, deadline=None)
def test_whatever_stands_there_is_obeyed_or_refused(raw: dict[str, Any]) -> None:
    for kind in ("clip", "siglip", "siglip2", "qwen2_5_vl", "instructblip"):
        with suppress(ModelError):
            made = hub_preprocessing(raw, FILE, kind, 32, resizes=kind != "qwen2_5_vl")
            assert preprocess(np.zeros((50, 70, 3), np.uint8), made).shape == (32, 32, 3)


def test_the_file_is_found_where_transformers_looks(tmp_path: Path) -> None:
    assert read_processor(tmp_path) is None
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 1}))
    assert read_processor(tmp_path) == ({"size": 1}, tmp_path / "preprocessor_config.json")
    nested = tmp_path / "processor_config.json"
    nested.write_text(json.dumps({"processor_class": "CLIPProcessor"}))
    assert read_processor(tmp_path) == ({"size": 1}, tmp_path / "preprocessor_config.json")
    nested.write_text(json.dumps({"image_processor": {"size": 2}}))
    assert read_processor(tmp_path) == ({"size": 2}, nested)
    nested.write_text(json.dumps({"image_processor": [1]}))
    with pytest.raises(ModelError, match="image_processor is"):
        read_processor(tmp_path)
