from __future__ import annotations

import numpy as np

from vljepa_lab.evaluation.quality.captions import decode_stream, events_detected, shipped_detector
from vljepa_lab.world.records import Event
from vljepa_ros.engines.protocol import Generated
from vljepa_ros.models.folder import load_config
from vljepa_ros.perception.change.anchor_drift import AnchorDriftConfig
from vljepa_ros.perception.vocabulary import same_text
from vljepa_ros.resources import share_dir

WORDS = ("all is quiet", "the door opens")
CONFIG = AnchorDriftConfig(threshold=0.3, smoothing=0.0, settle=0.0, min_gap=0.0)


def stream(change_at: int, length: int = 20) -> tuple[list[float], np.ndarray, list[list[str]]]:
    """Two states, at right angles; stamps 0.5 s apart."""
    state = [int(t >= change_at) for t in range(length)]
    return (
        [0.5 * t for t in range(length)],
        np.eye(2, dtype=np.float32)[state],
        [[WORDS[s]] for s in state],
    )


def generate(embeddings: np.ndarray) -> list[Generated]:
    return [Generated(WORDS[int(e.argmax())].upper() + ".", 0.9, True) for e in embeddings]


def test_a_perfect_model_is_right_but_for_the_time_that_confirming_takes():
    right, shown, _ = decode_stream(*stream(8), generate, CONFIG)
    assert right[:8] == [True] * 8
    assert right[11:] == [True] * 9
    distinct = list(dict.fromkeys(shown))
    assert [same_text(t, [w]) for t, w in zip(distinct, WORDS, strict=True)] == [True, True]


def test_the_gate_is_set_as_the_decoder_node_is():
    model = load_config(share_dir() / "models" / "nano")
    detection = shipped_detector(model)
    assert detection.clip == model.frame_interval * (model.clip_frames - 1)
    text = (share_dir() / "config" / "selective_decoder.yaml").read_text()
    assert detection.threshold == model.change_threshold
    for name in ("settle", "smoothing", "release", "min_gap"):
        assert f"{name}: {getattr(detection, name)}\n" in text


def test_a_gate_that_never_opens_keeps_the_first_text():
    right, shown, _ = decode_stream(*stream(8), generate, AnchorDriftConfig(threshold=2.0))
    assert right == [True] * 8 + [False] * 12
    assert len(set(shown)) == 1


def test_images_without_a_truth_are_not_judged():
    stamps, embeddings, valid = stream(8)
    valid[3] = []
    right, shown, _ = decode_stream(stamps, embeddings, valid, generate, CONFIG)
    assert (len(right), len(shown)) == (19, 20)


def test_an_event_is_named_rightly_when_its_name_is_in_force_in_time():
    stamps = [0.5 * t for t in range(20)]
    shown = ["nothing is happening"] * 10 + ["the door opens"] * 10
    opens, shut = Event("door opens", "", 3.0, 4.0), Event("door closes", "", 3.0, 4.0)
    early, cut = Event("door opens", "", 0.5, 1.0), Event("door opens", "", 8.0, 12.0)
    assert events_detected(stamps, shown, [opens, shut, early, cut]) == [True, False, False]
    ball = Event("roll", "red ball", 5.0, 6.0)
    assert events_detected(stamps, ["an object rolls across the table"] * 20, [ball]) == [True]
