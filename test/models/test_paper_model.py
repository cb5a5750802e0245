"""The paper-sized VL-JEPA: conversion, and parity with the published forward pass."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from published_forward import embed_text, predict
from tiny_hub import image, set_field, word_tokenizer
from tiny_paper import TINY_GEMMA, TINY_LLAMA, converted, tiny_best_pt, tiny_vjepa2

from vljepa_lab.convert.trunks import convert_trunks
from vljepa_ros.engines.export import export_parts
from vljepa_ros.engines.onnxruntime_runner import OnnxRuntimeRunner
from vljepa_ros.engines.paper_engine import PaperEngine
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.engines.torch_runner import TorchRunner
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.vl_jepa.convert_open_vljepa import convert_open_vljepa
from vljepa_ros.models.vl_jepa.paper_config import paper_parts
from vljepa_ros.models.vl_jepa.paper_model import load_modules
from vljepa_ros.models.vl_jepa.paper_text import TokenTable

ALL = frozenset({"vision", "predictor", "text"})
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return converted(tmp_path_factory.mktemp("full"))


def engine_of(folder: Path) -> PaperEngine:
    config = load_config(folder)
    runner = TorchRunner(paper_parts(config), PaperEngine.torch_modules(config, ALL), device="cpu")
    return PaperEngine(config, runner, ALL)


@pytest.fixture(scope="module")
def engine(folder: Path) -> PaperEngine:
    return engine_of(folder)


def clip_of(seed: int, frames: int = 8) -> Clip:
    stack = np.stack([image(32, 32, seed * 10 + i) for i in range(frames)])
    return Clip(stack, tuple(range(frames)))


def state_of(folder: Path) -> dict[str, Any]:
    source = folder.parent / "source" / "best.pt"
    return dict(torch.load(source, weights_only=True)["model_state_dict"])


def trunk_tokens(folder: Path, clip: Clip) -> torch.Tensor:
    model = transformers.VJEPA2Model.from_pretrained(folder.parent / "source" / "vjepa2").eval()
    pixels = (clip.frames / 255.0 - MEAN) / STD
    video = torch.tensor(pixels.transpose(0, 3, 1, 2)[None], dtype=torch.float32)
    with torch.no_grad():
        tokens: torch.Tensor = model(
            pixel_values_videos=video, skip_predictor=True
        ).last_hidden_state
    return tokens


def unit(x: torch.Tensor) -> np.ndarray[Any, Any]:
    return np.asarray((x / x.norm(dim=-1, keepdim=True)).detach().numpy())


def ids_of(engine: PaperEngine, text: str, padded: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Padded to a fixed length, as the published code does it."""
    ids = engine._query_ids.ids(text)
    row = torch.full((1, padded), 5)
    row[0, : len(ids)] = torch.tensor(ids)
    mask = torch.zeros((1, padded), dtype=torch.int64)
    mask[0, : len(ids)] = 1
    return row, mask


def test_embedding_equals_the_published_forward(folder: Path, engine: PaperEngine) -> None:
    clip, query = clip_of(1), "what is happening in the video ?"
    visual = trunk_tokens(folder, clip)
    tokens = engine.encode([clip], [None])[0].tokens
    assert tokens.shape == (16, 24)
    np.testing.assert_allclose(tokens, visual[0].numpy(), atol=1e-4)
    state = {k: v for k, v in state_of(folder).items() if k.startswith("predictor.")}
    config = {**TINY_LLAMA, "num_hidden_layers": 2}
    expected = unit(predict(state, config, visual, *ids_of(engine, query, 64)))
    np.testing.assert_allclose(engine.embed([tokens], query), expected, atol=1e-4)


def test_every_token_sees_every_other(engine: PaperEngine) -> None:
    """Without a causal mask, the last query word changes the first visual position and so the
    mean."""
    tokens = engine.encode([clip_of(1)], [None])[0].tokens
    swapped = np.concatenate([tokens[8:], tokens[:8]])
    base = engine.embed([tokens], "red cup")[0]
    assert np.abs(engine.embed([tokens], "cup red")[0] - base).max() > 1e-3
    assert np.abs(engine.embed([swapped], "red cup")[0] - base).max() > 1e-3


def test_rope_scaling_matters(folder: Path, engine: PaperEngine) -> None:
    """A wrong rotary table loads without a word; the parity above must be able to see it."""
    clip = clip_of(1)
    visual = trunk_tokens(folder, clip)
    state = {k: v for k, v in state_of(folder).items() if k.startswith("predictor.")}
    scaling = {**TINY_LLAMA["rope_scaling"], "factor": 1.0}  # type: ignore[dict-item]
    plain = {**TINY_LLAMA, "rope_scaling": scaling}
    seen = engine.embed([visual[0].numpy()], "red cup")
    wrong = unit(predict(state, plain, visual, *ids_of(engine, "red cup", 8)))
    assert np.abs(seen - wrong).max() > 1e-3


def test_texts_equal_transformers(folder: Path, engine: PaperEngine) -> None:
    texts = [
        "a red cup",
        "the door is open , a person walking in the video of the table , no",
        "no",
    ]
    ids, mask = engine._text_ids.padded(texts)
    assert ids.shape[1] > TINY_GEMMA["sliding_window"]  # type: ignore[operator]
    state = {k: v for k, v in state_of(folder).items() if k.startswith("y_encoder.")}
    expected = unit(embed_text(state, TINY_GEMMA, torch.tensor(ids), torch.tensor(mask)))
    np.testing.assert_allclose(engine.encode_text(texts), expected, atol=1e-4)
    np.testing.assert_allclose(engine.encode_text([texts[2]])[0], expected[2], atol=1e-4)


def test_several_queries_share_one_encoder_pass(engine: PaperEngine) -> None:
    calls: list[str] = []
    run = engine._runner.run

    def counted(part: str, inputs: Any) -> Any:
        calls.append(part)
        return run(part, inputs)

    engine._runner.run = counted  # type: ignore[method-assign]
    clips = [clip_of(2), clip_of(3), clip_of(4, frames=4)]
    kept = [e.tokens for e in engine.encode(clips, [None] * 3)]
    answers = [engine.embed(kept, query) for query in ("what is it ?", "red ?", "what is it ?")]
    engine._runner.run = run  # type: ignore[method-assign]
    assert calls == ["vision"] * 2 + ["predictor"] * 6  # two lengths, two batches each
    np.testing.assert_array_equal(answers[0], answers[2])
    alone = engine.embed([kept[2]], "red ?")[0]
    np.testing.assert_allclose(answers[1][2], alone, atol=1e-5)
    queries = ["red ?", "what colour is the cup ?", "red ?"]
    each = [engine.embed([row], query)[0] for row, query in zip(kept, queries, strict=True)]
    np.testing.assert_allclose(engine.embed(kept, queries), each, atol=1e-5)


def test_tokens_stay_on_the_device_as_long_as_they_are_kept(
    folder: Path, engine: PaperEngine
) -> None:
    config = load_config(folder)
    runner = TorchRunner(
        paper_parts(config),
        PaperEngine.torch_modules(config, ALL),
        device="cpu",
        keep=True,
    )
    keeping = PaperEngine(config, runner, ALL)
    clips = [clip_of(2), clip_of(3)]
    kept = [e.tokens for e in keeping.encode(clips, [None] * 2)]
    assert isinstance(runner.stack(kept), torch.Tensor)
    assert isinstance(runner.stack([kept[0], kept[0].copy()]), np.ndarray)
    expected = engine.embed([e.tokens for e in engine.encode(clips, [None] * 2)], "red ?")
    np.testing.assert_allclose(keeping.embed(kept, "red ?"), expected, atol=1e-5)
    np.testing.assert_allclose(keeping.embed([kept[1]], "red ?"), expected[1:], atol=1e-5)
    held = len(runner._kept)
    del kept[0]
    assert len(runner._kept) == held - 1


def test_images_and_odd_clips_keep_their_newest_frame(engine: PaperEngine) -> None:
    still = clip_of(5, frames=1)
    twice = Clip(np.repeat(still.frames, 2, axis=0), (0, 1))
    one, two = (engine.encode([c], [None])[0].tokens for c in (still, twice))
    np.testing.assert_array_equal(one, two)
    odd = clip_of(6, frames=3)
    changed = Clip(odd.frames.copy(), odd.stamps)
    changed.frames[2] = 255 - changed.frames[2]
    a, b = (engine.encode([c], [None])[0].tokens for c in (odd, changed))
    assert np.abs(a - b).max() > 1e-3


def test_score_ranks_candidates(engine: PaperEngine) -> None:
    tokens = engine.encode([clip_of(7)], [None])[0].tokens
    scores = engine.score(tokens, "what colour is the cup ?", ["red", "blue"])
    answer = engine.embed([tokens], "what colour is the cup ?")[0]
    np.testing.assert_allclose(scores, engine.encode_text(["red", "blue"]) @ answer, atol=1e-6)


@pytest.mark.check
@pytest.mark.timeout(600)  # an export takes its time on a busy machine
def test_onnx_runtime_equals_torch(folder: Path, engine: PaperEngine, tmp_path: Path) -> None:
    config = load_config(folder)
    specs = paper_parts(config)
    sizes = {"batch": 2, "frames": 8, "tokens": 16, "query": 5, "length": 6}
    graphs = export_parts(specs, PaperEngine.torch_modules(config, ALL), tmp_path, sizes=sizes)
    exported = PaperEngine(config, OnnxRuntimeRunner(specs, graphs, threads=1), ALL)
    for clips in ([clip_of(1)], [clip_of(8), clip_of(9), clip_of(10)]):
        ours = exported.encode(clips, [None] * len(clips))
        theirs = engine.encode(clips, [None] * len(clips))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a.tokens, b.tokens, atol=1e-4)
        for query in ("red cup", "what is happening in the video ?"):
            np.testing.assert_allclose(
                exported.embed([e.tokens for e in ours], query),
                engine.embed([e.tokens for e in theirs], query),
                atol=1e-4,
            )
    texts = ["a cup", "a person walking in the video of the table is not there , no , yes"]
    np.testing.assert_allclose(exported.encode_text(texts), engine.encode_text(texts), atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_checkpoints_keep_their_bits(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = converted(tmp_path, dtype)
    table = TokenTable.load(load_config(folder).path("token_table"))
    expected = state_of(folder)["predictor.embed_tokens.weight"].float().numpy()
    np.testing.assert_array_equal(table.rows(np.arange(64)), expected)
    engine = engine_of(folder)
    assert np.isfinite(engine.encode_text(["a cup"])).all()


def test_the_folder_needs_no_pickle_and_records_licences(folder: Path) -> None:
    config = load_config(folder)
    config.verify()
    names = {path.suffix for path in folder.iterdir()}
    assert names <= {".json", ".safetensors", ".md"}
    assert "Llama 3.2" in config.licence
    assert "Gemma" in config.licence
    assert config.frame_interval * config.clip_frames == 8.0


def test_token_ids_without_tokenizers(tmp_path: Path, engine: PaperEngine) -> None:
    bare = engine_of(converted(tmp_path, tokenizers=False))
    tokens = engine.encode([clip_of(1)], [None])[0].tokens
    ids = engine._query_ids.ids("red cup")
    given = bare.embed([tokens], "ids: " + " ".join(map(str, ids)))
    np.testing.assert_allclose(given, engine.embed([tokens], "red cup"), atol=1e-6)
    with pytest.raises(ModelError, match=r"has no query_tokenizer: give token ids as 'ids: 12"):
        bare.embed([tokens], "red cup")
    with pytest.raises(ModelError, match="allowed after 'ids:': numbers"):
        bare.embed([tokens], "ids: a")
    with pytest.raises(ModelError, match=r"token id 64 is outside .* allowed: 0..63"):
        bare.embed([tokens], "ids: 64")


def test_checkpoints_that_do_not_fit_are_named(tmp_path: Path) -> None:
    best = tiny_best_pt(tmp_path / "s")
    trunk = tiny_vjepa2(tmp_path / "v")
    options: dict[str, Any] = {
        "predictor_config": tmp_path / "s/llama",
        "y_encoder_config": tmp_path / "s/gemma",
    }
    raw = torch.load(best, weights_only=True)
    broken = dict(raw["model_state_dict"])
    broken.pop("predictor.layers.1.mlp.up_proj.weight")
    broken["y_encoder.projector.weight"] = torch.zeros(16, 25)
    torch.save({"model_state_dict": broken}, tmp_path / "a.pt")
    with pytest.raises(ModelError, match=r"missing: layers.1.mlp.up_proj.weight"):
        convert_open_vljepa(tmp_path / "a.pt", tmp_path / "o", trunk, **options)
    assert not (tmp_path / "o").exists()
    torch.save({"weights": broken}, tmp_path / "b.pt")
    with pytest.raises(ModelError, match="holds weights; expected model_state_dict"):
        convert_open_vljepa(tmp_path / "b.pt", tmp_path / "o", trunk, **options)
    (tmp_path / "c.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        convert_open_vljepa(tmp_path / "c.pt", tmp_path / "o", trunk, **options)
    with pytest.raises(ModelError, match=r"says hidden_size 2048"):
        convert_open_vljepa(best, tmp_path / "o", trunk)
    with pytest.raises(ModelError, match=r"model_type is 'llama', allowed: vjepa2"):
        convert_open_vljepa(best, tmp_path / "o", tmp_path / "s/llama", **options)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("")
    with pytest.raises(ModelError, match="is not empty"):
        convert_open_vljepa(best, tmp_path / "full", trunk, **options)


def test_a_pickle_with_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"model_state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match="cannot be read as weights"):
        convert_open_vljepa(tmp_path / "evil.pt", tmp_path / "o", tmp_path)
    assert not (tmp_path / "ran").exists()


def test_image_sizes_and_damage_are_named(folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / "m"))
    set_field(copy, "config.json", input_size=48)
    with pytest.raises(ModelError, match="input_size is 48, its X-Encoder takes 32 only"):
        engine_of(copy)
    set_field(copy, "config.json", input_size=32, architecture={"form": "full", "predictor": {}})
    with pytest.raises(ModelError, match="architecture lacks x_encoder, y_encoder"):
        engine_of(copy)
    copy = Path(shutil.copytree(folder, tmp_path / "n"))
    raw = json.loads((copy / "config.json").read_text())
    raw["architecture"]["predictor"]["num_hidden_layers"] = 3
    (copy / "config.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match=r"missing: layers\.2\."):
        engine_of(copy)


def test_the_papers_starting_point(tmp_path: Path) -> None:
    """The last layers of Llama, their table and their norm; only the projections are new."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**{**TINY_LLAMA, "num_hidden_layers": 4})  # type: ignore[arg-type]
    llama = transformers.LlamaForCausalLM(config)
    llama.save_pretrained(tmp_path / "llama")
    gemma = transformers.Gemma3TextModel(transformers.Gemma3TextConfig(**TINY_GEMMA))  # type: ignore[arg-type]
    gemma.save_pretrained(tmp_path / "gemma")
    for name in ("llama", "gemma"):
        word_tokenizer(["<pad>", "<unk>"], "").save(str(tmp_path / name / "tokenizer.json"))
    sources = (tiny_vjepa2(tmp_path / "v"), tmp_path / "llama", tmp_path / "gemma")
    folder = convert_trunks(tmp_path / "start", *sources, layers=2, dim=16)
    modules = load_modules(load_config(folder), ALL)
    own = modules["predictor"].state_dict()
    for key, value in llama.model.layers[2].state_dict().items():
        torch.testing.assert_close(own[f"layers.0.{key}"], value)
    torch.testing.assert_close(own["norm.weight"], llama.model.norm.weight.detach())
    engine = engine_of(folder)
    tokens = engine.encode([clip_of(1)], [None])[0].tokens
    assert np.isfinite(engine.score(tokens, "what ?", ["red", "blue"])).all()
    assert engine.generate(engine.embed([tokens], "what ?"))[0].text in engine.known_texts()[0]
    with pytest.raises(ModelError, match=r"layers is 5, allowed: 1\.\.4"):
        convert_trunks(tmp_path / "other", *sources, layers=5)
    with pytest.raises(ModelError, match=r"model_type is 'llama', allowed: gemma3_text"):
        convert_trunks(tmp_path / "other", sources[0], sources[1], sources[1])


def test_building_modules_leaves_the_configuration_as_it_was() -> None:
    """transformers 5 writes `rope_theta` into a nested `rope_scaling`: the cache key changed."""
    from copy import deepcopy

    from vljepa_ros.models.vl_jepa.paper_model import PaperPredictor

    config = {
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "vocab_size": 8,
        "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2,
        "head_dim": 8, "rope_theta": 500000.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
    }  # fmt: skip
    before = deepcopy(config)
    PaperPredictor(config, 16, 8)
    assert config == before
