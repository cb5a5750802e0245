"""The embedded model for real pictures, as the package brings it."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.tokenizer import TextError
from vljepa_ros.perception.frames import model_input
from vljepa_ros.resources import model_dir

LANGUAGE, DETECTOR, VISUAL = slice(0, 384), slice(384, 464), slice(464, 592)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine(model_dir("everyday"), threads=1)


def embed(engine: Engine, *images: np.ndarray) -> np.ndarray:
    size, how = engine.config.input_size, engine.config.preprocessing
    clips = [Clip(model_input(image, size, preprocessing=how)[None], (0,)) for image in images]
    encoded = engine.encode(clips, [None] * len(clips))
    return engine.embed([one.tokens for one in encoded], engine.config.default_query)


def test_it_fits_into_a_checkout_and_names_its_sources() -> None:
    folder = model_dir("everyday")
    assert sum(file.stat().st_size for file in folder.rglob("*")) <= 42 * 2**20
    card = (folder / "README.md").read_text()
    for source in ("EfficientNet-Lite0", "NanoDet-g", "all-MiniLM-L6-v2", "WordNet 3.0", "COCO"):
        assert source in card
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in (
        folder / "WORDNET-LICENCE"
    ).read_text().replace("\n", " ")


def test_it_runs_without_torch() -> None:
    code = (
        "import sys; from vljepa_ros.engines.load import load_engine;"
        "from vljepa_ros.resources import model_dir;"
        "found = load_engine(model_dir('everyday')).info;"
        "assert found.engine == 'onnxruntime' and 'torch' not in sys.modules, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_picture_has_three_parts_of_equal_weight(engine: Engine) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, 48, 64, 3), dtype=np.uint8)
    pictures = [*noise, np.zeros((1, 1, 3), np.uint8)]
    rows = embed(engine, *pictures)
    assert rows.shape == (3, engine.config.dim) == (3, 592)
    assert engine.config.visual_dim == 128
    for part in (LANGUAGE, DETECTOR, VISUAL):
        np.testing.assert_allclose(np.linalg.norm(rows[:, part], axis=1), 3**-0.5, rtol=1e-4)
    alone = np.concatenate([embed(engine, picture) for picture in pictures])
    np.testing.assert_allclose(rows, alone, atol=1e-5)


def test_texts_lie_in_the_language_part_whatever_stands_beside_them(engine: Engine) -> None:
    texts = ["a cup", "a pneumatic wheelbarrow with a very long name " * 3, "an unusual zither"]
    rows = engine.encode_text(texts)
    np.testing.assert_allclose(np.linalg.norm(rows[:, LANGUAGE], axis=1), 1.0, rtol=1e-5)
    assert not rows[:, 384:].any()
    assert (rows @ rows.T)[np.triu_indices(3, 1)].max() < 0.9
    fresh = load_engine(model_dir("everyday"), threads=1, parts=frozenset({"text"}))
    np.testing.assert_allclose(fresh.encode_text(texts[:1])[0], rows[0], atol=1e-5)
    with pytest.raises(TextError, match="tokens, allowed: 64"):
        engine.encode_text(["word " * 80])


def test_other_engines_say_what_is_allowed() -> None:
    folder = model_dir("everyday")
    with pytest.raises(ModelError, match=r"no such engine; allowed: auto, onnxruntime"):
        load_engine(folder, "torch")
    export = pytest.importorskip("vljepa_ros.engines.export")
    with pytest.raises(ModelError, match="has its graphs in its folder"):
        export.export_model(load_config(folder), None)


def test_photographs_are_named(engine: Engine) -> None:
    samples = pytest.importorskip("sklearn.datasets").load_sample_images()
    rows = embed(engine, *samples.images)  # a temple by a lake, a dahlia
    labels = ["a building", "flowers", "a dog", "a kitchen", "a person", "a car"]
    best = (rows @ engine.encode_text(labels).T).argmax(1)
    assert [labels[i] for i in best] == ["a building", "flowers"]
    inside, outside = engine.encode_text(["indoors", "outdoors"])
    assert rows[0] @ (outside - inside) > 0.05
