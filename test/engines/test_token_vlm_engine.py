"""Qwen2.5-VL and InstructBLIP against transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from tiny_hub import image, set_field
from tiny_token_vlms import tiny_instructblip, tiny_qwen

from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.engines.token_vlm_engine import TokenVlmEngine
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.preprocessing import normalise_frames, preprocess
from vljepa_ros.models.token_vlm.qwen import _AFTER, _BEFORE, video_patches

QUESTION = "what is happening in the video ?"


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TokenVlmEngine]:
    folder = tiny_qwen(tmp_path_factory.mktemp("vlm") / "tiny-qwen")
    engine = load_engine(folder, "torch:fp32@cpu")
    assert isinstance(engine, TokenVlmEngine)
    return folder, engine


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TokenVlmEngine]:
    folder = tiny_instructblip(tmp_path_factory.mktemp("vlm") / "tiny-instructblip")
    engine = load_engine(folder, "auto@cpu")
    assert isinstance(engine, TokenVlmEngine)
    return folder, engine


def clip_of(size: int, frames: int = 4, seed: int = 0) -> Clip:
    stack = np.stack([image(size, size, seed + i) for i in range(frames)])
    return Clip(stack, tuple(range(frames)))


def qwen_inputs(engine: TokenVlmEngine, clip: Clip, answer: list[int]) -> dict[str, Any]:
    """Everything at once, as transformers takes it."""
    model: Any = engine._loaded
    pixels = normalise_frames(clip.frames, engine.config.preprocessing)
    before, after = model.tokenizer.ids(_BEFORE), model.tokenizer.ids(_AFTER.format(QUESTION))
    count = 2 * 2 * 2
    ids = [*before, *[5] * count, *after, *answer]
    kinds = [0] * len(before) + [2] * count + [0] * (len(after) + len(answer))
    return {
        "input_ids": torch.tensor([ids]),
        "mm_token_type_ids": torch.tensor([kinds]),
        "pixel_values_videos": torch.from_numpy(video_patches(pixels, 14, 2, 2)),
        "video_grid_thw": torch.tensor([[2, 4, 4]]),
        "second_per_grid_ts": torch.tensor([1.0]),
    }


def log_likelihood(logits: torch.Tensor, answer: list[int]) -> float:
    steps = torch.log_softmax(logits[-len(answer) - 1 : -1].float(), dim=-1)
    return float(sum(steps[i, token] for i, token in enumerate(answer)))


def test_qwens_patches_equal_the_hub_processor() -> None:
    processor = transformers.Qwen2VLImageProcessorPil(
        patch_size=14, merge_size=2, min_pixels=56 * 56, max_pixels=56 * 56
    )
    source = image(56, 56)
    expected = processor(images=Image.fromarray(source), return_tensors="np")
    spec = {"mean": processor.image_mean, "std": processor.image_std}
    pixels = normalise_frames(np.stack([source, source]), spec)
    seen = video_patches(pixels, 14, 2, 2)
    assert expected["image_grid_thw"].tolist() == [[1, 4, 4]]
    np.testing.assert_allclose(seen, expected["pixel_values"], atol=1e-5)


def test_qwen_scores_equal_transformers(qwen: tuple[Path, TokenVlmEngine]) -> None:
    folder, engine = qwen
    clip = clip_of(56)
    tokens = engine.encode([clip], [None])[0].tokens
    assert tokens.shape == (8, 32)
    reference = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
    texts = ["a person walking", "the door is open", "no"]
    expected = []
    for text in texts:
        answer = [*engine._loaded.tokenizer.ids(text), engine._loaded.end]
        with torch.no_grad():
            logits = reference(**qwen_inputs(engine, clip, answer)).logits[0]
        expected.append(log_likelihood(logits, answer))
    np.testing.assert_allclose(engine.score(tokens, QUESTION, texts), expected, atol=1e-4)


def test_qwen_writes_what_transformers_writes(qwen: tuple[Path, TokenVlmEngine]) -> None:
    folder, engine = qwen
    clip = clip_of(56, seed=9)
    reference = transformers.Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
    inputs = qwen_inputs(engine, clip, [])
    with torch.no_grad():
        ids = reference.generate(**inputs, max_new_tokens=6, do_sample=False, eos_token_id=2)
    new = ids[0, inputs["input_ids"].shape[1] :].tolist()
    expected = engine._loaded.tokenizer.text([i for i in new if i != 2])
    said = engine.caption([engine.encode([clip], [None])[0].tokens], QUESTION, longest=6)[0]
    assert said.text == expected
    assert said.decoded
    assert 0.0 < said.confidence < 1.0


def test_instructblip_equals_transformers(blip: tuple[Path, TokenVlmEngine]) -> None:
    folder, engine = blip
    clip = clip_of(28, frames=2)
    tokens = engine.encode([clip], [None])[0].tokens
    reference = transformers.InstructBlipForConditionalGeneration.from_pretrained(folder).eval()
    model: Any = engine._loaded
    pixels = torch.from_numpy(normalise_frames(clip.frames[-1:], engine.config.preprocessing))
    asked = torch.tensor([model._instruction.ids(QUESTION, special=True)])
    prompt = [63] * 4 + model.tokenizer.ids(QUESTION, special=True)
    texts = ["a red cup on the table", "no"]
    expected = []
    for text in texts:
        answer = [*model.tokenizer.ids(text), model.end]
        with torch.no_grad():
            logits = reference(
                pixel_values=pixels,
                qformer_input_ids=asked,
                input_ids=torch.tensor([prompt + answer]),
            ).logits[0]
        expected.append(log_likelihood(logits, answer))
    np.testing.assert_allclose(engine.score(tokens, QUESTION, texts), expected, atol=1e-4)
    said = engine.caption([tokens], QUESTION, longest=5)[0]
    with torch.no_grad():
        ids = reference.generate(
            pixel_values=pixels, qformer_input_ids=asked, input_ids=torch.tensor([prompt]),
            max_new_tokens=5, do_sample=False,
        )[0].tolist()  # fmt: skip
    new = ids[len(prompt) :] if ids[: len(prompt)] == prompt else ids
    assert said.text == model.tokenizer.text([i for i in new if i != model.end])


def test_images_equal_the_hub_processor(blip: tuple[Path, TokenVlmEngine]) -> None:
    folder, engine = blip
    processor = transformers.AutoImageProcessor.from_pretrained(folder, use_fast=False)
    source = image(50, 70)
    expected = processor(images=Image.fromarray(source), return_tensors="np")["pixel_values"][0]
    spec = engine.config.preprocessing
    seen = normalise_frames(preprocess(source, spec)[None], spec)[0]
    std = np.asarray(spec["std"])[:, None, None]
    assert np.abs((seen - expected) * std).max() <= 1.0 / 255.0 + 1e-6


def test_many_candidates_keep_their_order(qwen: tuple[Path, TokenVlmEngine]) -> None:
    engine = qwen[1]
    tokens = engine.encode([clip_of(56)], [None])[0].tokens
    words = ["cup", "door", "red cup", "blue person walking", "table", "a robot arm moving"]
    texts = [f"{a} {b}" for a in words for b in words[:4]]
    together = engine.score(tokens, QUESTION, texts)
    assert len(together) == 24
    for i in (0, 17, 23):  # on both sides of a chunk's border
        alone = engine.score(tokens, QUESTION, [texts[i]])
        np.testing.assert_allclose(alone, together[i : i + 1], atol=1e-4)
    assert engine.score(tokens, QUESTION, []).shape == (0,)
    likely = engine.score(tokens, QUESTION, ["cup", "cup door"])
    assert (likely <= 0).all()


def test_one_vision_pass_serves_all_questions(qwen: tuple[Path, TokenVlmEngine]) -> None:
    engine = qwen[1]
    seen: list[int] = []
    model: Any = engine._loaded
    encode_image = model.encode_image

    def counted(frames: Any) -> Any:
        seen.append(len(frames))
        return encode_image(frames)

    model.encode_image = counted
    tokens = engine.encode([clip_of(56)], [None])[0].tokens
    first = engine.score(tokens, QUESTION, ["red", "blue"])
    engine.caption([tokens], "describe", longest=2)
    np.testing.assert_allclose(engine.score(tokens, QUESTION, ["red", "blue"]), first, atol=1e-6)
    model.encode_image = encode_image
    assert seen == [4]


def test_capabilities_are_honest(qwen: tuple[Path, TokenVlmEngine]) -> None:
    engine = qwen[1]
    assert engine.capabilities == {"score", "caption"}
    for call in (
        lambda: engine.embed([], ""),
        lambda: engine.encode_text([""]),
        lambda: engine.generate(np.zeros((1, 32), np.float32)),
    ):
        with pytest.raises(
            ModelError, match=r"is a token VLM and cannot .* it can: caption, score"
        ):
            call()
    assert engine.config.calibration.logit_scale == 1.0


def test_wrong_input_is_named(qwen: tuple[Path, TokenVlmEngine], tmp_path: Path) -> None:
    folder, engine = qwen
    with pytest.raises(ModelError, match=r"takes uint8 \[frames, 56, 56, 3\]"):
        engine.encode([clip_of(28)], [None])
    with pytest.raises(ModelError, match="this family has no such engine; allowed: auto, torch"):
        load_engine(folder, "onnxruntime")
    import shutil

    copy = Path(shutil.copytree(folder, tmp_path / "q"))
    set_field(copy, "vljepa.json", input_size=60)
    with pytest.raises(ModelError, match="input_size is 60, allowed: multiples of 28"):
        load_engine(copy, "torch:fp32@cpu")
    assert load_config(copy).preprocessing["size"] == 60
