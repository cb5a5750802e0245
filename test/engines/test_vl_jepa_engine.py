from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from vljepa_ros.engines.greedy_decode import generate_greedily
from vljepa_ros.engines.load import load_engine, shipped_graphs
from vljepa_ros.engines.onnxruntime_runner import OnnxRuntimeRunner
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.tokenizer import TextError, pad_ids
from vljepa_ros.models.vl_jepa.nano_config import nano_parts
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords, TextTokenizer
from vljepa_ros.models.vl_jepa.nano_weights import load_model

# The export of the tiny model takes long where other processes have the cores.
pytestmark = pytest.mark.timeout(600)

HALF = 500_000_000


@pytest.fixture(scope="module")
def engine(tiny):
    found = load_engine(tiny.folder)
    yield found
    found.close()


def make_clip(seed: int, first: int = 0) -> Clip:
    """Frame k of a stream is drawn from (seed, k), so that shifted clips share frames."""
    frames = [
        np.random.default_rng([seed, k]).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        for k in range(first, first + 4)
    ]
    return Clip(np.stack(frames), tuple(k * HALF for k in range(first, first + 4)))


def test_graphs_compute_what_the_weights_file_says(tiny, engine) -> None:
    model = load_model(tiny.folder / "model.safetensors", tiny.model.architecture)
    clip = make_clip(1)
    encoded = engine.encode([clip], [None])[0]
    with torch.no_grad():
        features = model.frame(torch.from_numpy(clip.frames))
        tokens = model.window(features[None])
        ids, valid = pad_ids(
            TextTokenizer(tiny.folder / "tokenizer.json").ids(["does the door open?"])
        )
        hidden, _ = model.text_trunk(torch.tensor(ids), torch.tensor(valid))
        expected = model.predictor(tokens, hidden, torch.tensor(valid))
    np.testing.assert_allclose(encoded.tokens, tokens[0], atol=1e-4)
    answer = engine.embed([encoded.tokens], "does the door open?")
    np.testing.assert_allclose(answer, expected, atol=1e-4)
    assert np.linalg.norm(answer[0]) == pytest.approx(1, abs=1e-5)


def test_a_stream_computes_what_separate_clips_do(engine) -> None:
    state = None
    for first in range(5):
        clip = make_clip(2, first)
        (streamed,) = engine.encode([clip], [state])
        (alone,) = engine.encode([clip], [None])
        np.testing.assert_allclose(streamed.tokens, alone.tokens, atol=1e-5)
        state = streamed.state


def test_a_stream_passes_only_new_frames(engine, monkeypatch) -> None:
    passed = []
    run = OnnxRuntimeRunner.run

    def counted(self, name, inputs):
        if name == "frame":
            passed.append(len(inputs["frames"]))
        return run(self, name, inputs)

    monkeypatch.setattr(OnnxRuntimeRunner, "run", counted)
    (first,) = engine.encode([make_clip(3, 0)], [None])
    (second,) = engine.encode([make_clip(3, 1)], [first.state])
    engine.encode([make_clip(3, 1)], [second.state])
    assert passed == [4, 1]


def test_a_batch_keeps_streams_with_equal_stamps_apart(engine) -> None:
    clips = [make_clip(4), make_clip(5)]
    together = engine.encode(clips, [None, None])
    for clip, one in zip(clips, together, strict=True):
        (alone,) = engine.encode([clip], [None])
        np.testing.assert_allclose(one.tokens, alone.tokens, atol=1e-5)
    both = engine.embed([one.tokens for one in together], "who?")
    single = engine.embed([together[1].tokens], "who?")
    np.testing.assert_allclose(both[1:], single, atol=1e-5)


def test_each_row_of_a_batch_may_have_a_query_of_its_own(tiny, engine, monkeypatch) -> None:
    fresh = load_engine(tiny.folder)
    tokens = [one.tokens for one in engine.encode([make_clip(8), make_clip(9)], [None, None])]
    queries = ["who?", "is the door that the robot looks at open?", "", "who?", "x" * 300]
    rows = [tokens[i % 2] for i in range(5)]
    passed = []
    run = OnnxRuntimeRunner.run

    def counted(self, name, inputs):
        passed.append((name, *(len(inputs[own]) for own in ("tokens", "query") if own in inputs)))
        return run(self, name, inputs)

    monkeypatch.setattr(OnnxRuntimeRunner, "run", counted)
    together = fresh.embed(rows, queries)
    assert passed == [("text_trunk",), ("predictor", 2, 5)], "a clip's tokens pass once"
    fresh.close()
    for row, query, answer in zip(rows, queries, together, strict=True):
        np.testing.assert_allclose(engine.embed([row], query)[0], answer, atol=1e-5)


@pytest.mark.parametrize(
    "frames", [np.zeros((4, 16, 16, 3), np.uint8), np.zeros((3, 32, 32, 3), np.uint8)]
)
def test_a_clip_of_another_shape_is_refused_with_the_right_one(engine, frames) -> None:
    with pytest.raises(ValueError, match=r"takes uint8 \[4, 32, 32, 3\]"):
        engine.encode([Clip(frames, tuple(range(len(frames))))], [None])


def test_texts_do_not_depend_on_their_company(engine, tiny) -> None:
    fresh = load_engine(tiny.folder, parts=frozenset({"text"}))
    texts = ["a red mug", "the door opens", "a red mug", "x" * 60, "?"]
    together = fresh.encode_text(texts)
    assert together.shape == (5, 16)
    np.testing.assert_array_equal(together[0], together[2])
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_allclose(engine.encode_text([text])[0], vector, atol=1e-5)
    assert fresh.encode_text([]).shape == (0, 16)
    assert fresh.capabilities == {"encode_text"}
    fresh.close()


def test_texts_that_the_model_cannot_tell_apart_are_refused(engine) -> None:
    long = "the door opens " * 30
    for query, texts in (("?", [f"{long}now", f"{long}later"]), (long, ["no", "yes"])):
        with pytest.raises(TextError, match=r"has \d+ tokens, allowed: 64 with .*'the door opens"):
            engine.check_texts(query, texts)
    with pytest.raises(TextError, match="allowed: 64"):
        engine.encode_text([long])
    with pytest.raises(TextError, match="'門が開' and '門が閉' are the same tokens"):
        engine.check_texts("?", ["a red mug", "門が開", "門が閉"])
    engine.check_texts("?", ["no", "yes"])


def test_text_is_encoded_once(engine, monkeypatch) -> None:
    engine.encode_text(["the door closes"])
    monkeypatch.setattr(OnnxRuntimeRunner, "run", lambda *_: pytest.fail("encoded again"))
    assert engine.encode_text(["the door closes", "the door closes"]).shape == (2, 16)


def test_scores_are_cosines_with_the_answer(engine) -> None:
    (clip,) = engine.encode([make_clip(6)], [None])
    candidates = ["yes", "no", "yes"]
    scores = engine.score(clip.tokens, "is the door open?", candidates)
    answer = engine.embed([clip.tokens], "is the door open?")[0]
    np.testing.assert_allclose(scores, engine.encode_text(candidates) @ answer, atol=1e-6)
    assert scores[0] == pytest.approx(scores[2], abs=1e-6)
    assert engine.score(clip.tokens, "who?", []).shape == (0,)


def test_ten_thousand_candidates_are_scored(engine) -> None:
    (clip,) = engine.encode([make_clip(7)], [None])
    scores = engine.score(clip.tokens, "who?", [f"mug {i}" for i in range(10_000)])
    assert scores.shape == (10_000,)
    assert np.isfinite(scores).all()


def test_generation_says_whether_the_decoder_wrote_it(engine) -> None:
    embeddings = engine.encode_text(["the door opens", "a red mug"])
    known = engine.known_texts()[0]
    for one in engine.generate(embeddings):
        assert 0 <= one.confidence <= 1
        # Random weights never reach the confidence from which the decoder is believed.
        assert not one.decoded
        assert one.text in known
    assert engine.generate(np.zeros((0, 16), np.float32)) == []


def test_the_cached_decoder_writes_what_the_whole_one_does(tiny, engine) -> None:
    from vljepa_lab.training.decoder import decode_greedily

    config = engine.config
    words = DecoderWords.load(config.path("decoder_words"))
    parts = nano_parts(tiny.model.architecture)
    runner = OnnxRuntimeRunner(parts, shipped_graphs(config, parts), threads=1)
    model = load_model(tiny.folder / "model.safetensors", tiny.model.architecture)
    embeddings = engine.encode_text(["the door opens", "no", "a red mug"])
    cached = generate_greedily(runner, words, embeddings, longest=24)
    whole = decode_greedily(model, words, torch.from_numpy(embeddings))
    assert [text for text, _ in cached] == [text for text, _ in whole]


def test_a_decoder_alone_has_no_eyes(tiny) -> None:
    decoder = load_engine(tiny.folder, parts=frozenset({"text", "decoder"}))
    assert decoder.capabilities == {"encode_text", "generate"}
    with pytest.raises(ModelError, match="not loaded; loaded"):
        decoder.encode([make_clip(8)], [None])
    with pytest.raises(ModelError, match="allowed: decoder, predictor, text, vision"):
        load_engine(tiny.folder, parts=frozenset({"ears"}))
    decoder.close()


def test_the_default_path_needs_neither_torch_nor_transformers(tiny) -> None:
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from vljepa_ros.engines.load import load_engine\n"
        "from vljepa_ros.engines.protocol import Clip\n"
        "engine = load_engine(Path(sys.argv[1]))\n"
        "clip = Clip(np.zeros((4, 32, 32, 3), np.uint8), (0, 1, 2, 3))\n"
        "(found,) = engine.encode([clip], [None])\n"
        "engine.generate(engine.embed([found.tokens], 'who?'))\n"
        "print(sorted({'torch', 'transformers', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny.folder)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
