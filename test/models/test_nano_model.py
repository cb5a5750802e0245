from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from vljepa_lab.training.graph_writer import pack, rounded  # noqa: E402
from vljepa_lab.training.model_folder_writer import trainable_parameters  # noqa: E402
from vljepa_ros.models.config import ModelError  # noqa: E402
from vljepa_ros.models.vl_jepa.nano_config import (  # noqa: E402
    Architecture,
    FrameSizes,
    PredictorSizes,
    TextSizes,
    WindowSizes,
    YDecoderSizes,
)
from vljepa_ros.models.vl_jepa.nano_heads import DecoderPrefill, DecoderStep, YDecoder  # noqa: E402
from vljepa_ros.models.vl_jepa.nano_model import (  # noqa: E402
    VLJEPA,
    Predictor,
)
from vljepa_ros.models.vl_jepa.nano_weights import load_model, unpack  # noqa: E402

TINY = Architecture(
    dim=16,
    frame=FrameSizes(input_size=32, widths=(8, 8), dim=16, heads=2),
    window=WindowSizes(dim=16, depth=1, heads=2),
    text=TextSizes(words=40, dim=24, depth=1, heads=2, hidden=32, head_hidden=16),
    predictor=PredictorSizes(dim=16, depth=2, heads=2),
    y_decoder=YDecoderSizes(words=30, dim=16, depth=2, heads=2, prefix=2),
)
MODES = ("joint", "prefix", "cross")


@pytest.fixture(scope="module")
def model() -> VLJEPA:
    torch.manual_seed(0)
    return VLJEPA(TINY).eval()


def predictor(mode: str, slots: int = 2) -> Predictor:
    torch.manual_seed(1)
    sizes = PredictorSizes(dim=16, depth=3, heads=2, visual_attention=mode, slots=slots)
    made = Predictor(sizes, 12, 10, 8, 16).eval()
    if slots:  # as after training: it starts at zero
        torch.nn.init.normal_(made.combine[2].weight, std=0.2)
    return made


def test_the_parts_fit_each_other(model: VLJEPA) -> None:
    clips = torch.randint(0, 256, (2, 4, 32, 32, 3), dtype=torch.uint8)
    features = model.frame(clips.flatten(0, 1)).unflatten(0, (2, 4))
    assert features.shape == (2, 4, 4, 16)
    tokens = model.window(features)
    hidden, pooled = model.text_trunk(
        torch.ones(2, 5, dtype=torch.long), torch.ones(2, 5, dtype=torch.long)
    )
    answer = model.predictor(tokens, hidden, torch.ones(2, 5))
    text = model.text_head(pooled)
    assert answer.shape == text.shape == (2, 16)
    for vectors in (answer, text, pooled):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))


def test_nano_stays_small() -> None:
    assert trainable_parameters(VLJEPA(Architecture())) <= 8_000_000


def test_the_trunk_is_frozen(model: VLJEPA) -> None:
    assert not any(p.requires_grad for p in model.text_trunk.parameters())


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("slots", [0, 2])
def test_padding_of_a_query_changes_nothing(mode: str, slots: int) -> None:
    part = predictor(mode, slots)
    visual, query = torch.randn(2, 16, 12), torch.randn(2, 5, 10)
    padded = torch.cat([query, torch.randn(2, 3, 10)], 1)
    valid = torch.cat([torch.ones(2, 5), torch.zeros(2, 3)], 1)
    torch.testing.assert_close(
        part(visual, padded, valid), part(visual, query, torch.ones(2, 5)), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("mode", MODES)
def test_questions_about_one_clip_share_its_tokens(mode: str) -> None:
    part = predictor(mode)
    visual, query, valid = torch.randn(2, 16, 12), torch.randn(6, 4, 10), torch.ones(6, 4)
    shared, where = part.predict(visual, query, valid, torch.arange(len(query)) // 3)
    alone, alone_where = part.predict(visual.repeat_interleave(3, 0), query, valid)
    torch.testing.assert_close(shared, alone, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(where, alone_where, atol=1e-5, rtol=1e-4)
    assert where.shape == (6, 2, 17)


@pytest.mark.parametrize("mode", MODES)
def test_the_answer_depends_on_the_clip_and_on_the_question(mode: str) -> None:
    part = predictor(mode)
    visual, query, valid = torch.randn(2, 16, 12), torch.randn(2, 4, 10), torch.ones(2, 4)
    answer = part(visual, query, valid)
    assert (answer - part(visual.flip(0), query, valid)).abs().max() > 1e-4
    assert (answer - part(visual, query.flip(0), valid)).abs().max() > 1e-4


@pytest.mark.parametrize(("mode", "mixed"), [("joint", True), ("prefix", False)])
def test_visual_tokens_see_the_query_in_joint_attention_only(mode: str, mixed: bool) -> None:
    part = predictor(mode)
    outputs: list[torch.Tensor] = []
    part.blocks[0].register_forward_hook(lambda *call: outputs.append(call[2]))
    visual, query, valid = torch.randn(1, 16, 12), torch.randn(1, 4, 10), torch.ones(1, 4)
    part(visual, query, valid)
    query[:, -1] += 1
    part(visual, query, valid)
    before, after = (output[:, :16] for output in outputs)
    assert bool((before - after).abs().max() > 1e-6) is mixed


def test_the_cache_of_the_decoder_computes_what_the_whole_text_does() -> None:
    torch.manual_seed(2)
    decoder = YDecoder(TINY.y_decoder, 16).eval()
    embedding, ids = torch.randn(3, 16), torch.randint(2, 30, (3, 6))
    whole = decoder(embedding, ids)
    logits, cache = DecoderPrefill(decoder)(embedding)
    torch.testing.assert_close(logits, whole[:, 0], atol=1e-5, rtol=1e-4)
    for position in range(5):
        logits, cache = DecoderStep(decoder)(ids[:, position], torch.tensor([position]), cache)
        torch.testing.assert_close(logits, whole[:, position + 1], atol=1e-5, rtol=1e-4)
    assert cache.shape == (2, 2, 3, 2, 2 + 5, 8)


def test_the_decoder_does_not_look_ahead() -> None:
    decoder = YDecoder(TINY.y_decoder, 16).eval()
    embedding, ids = torch.randn(1, 16), torch.randint(2, 30, (1, 6))
    changed = ids.clone()
    changed[:, 3] = (changed[:, 3] - 1) % 28 + 2
    torch.testing.assert_close(decoder(embedding, ids)[:, :4], decoder(embedding, changed)[:, :4])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 30), st.floats(1e-3, 10))
def test_rounding_to_what_is_stored_is_done_once(seed: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    state = {
        "text_trunk.words.weight": torch.randn(5, 8, generator=generator) * spread,
        "window.merge.weight": torch.randn(4, 8, generator=generator) * spread,
        "window.merge.bias": torch.randn(4, generator=generator),
    }
    once = rounded(state)
    twice = rounded(once)
    for name, value in state.items():
        torch.testing.assert_close(once[name], twice[name], rtol=1e-6, atol=0)
        limit = value.abs().amax(-1, keepdim=True) / (254 if "trunk" in name else 1024)
        assert ((once[name] - value).abs() <= limit * 1.01).all()
    stored = pack(state)
    assert stored["text_trunk.words.weight"].dtype == torch.int8
    assert stored["window.merge.weight"].dtype == torch.float16
    assert set(unpack(stored)) == set(state)


def test_the_weights_file_gives_the_model_back(model: VLJEPA, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(pack(model.state_dict()), file)
    loaded = load_model(file, TINY)
    clips = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8)
    torch.testing.assert_close(loaded.frame(clips), model.frame(clips), atol=0.05, rtol=0.05)
    with pytest.raises(ModelError, match="does not fit the architecture"):
        load_model(file, Architecture())
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelError, match="does not fit"):
        load_model(file, TINY)
