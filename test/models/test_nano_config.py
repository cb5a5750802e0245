from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from vljepa_ros.models.config import ModelError
from vljepa_ros.models.vl_jepa.nano_config import Architecture, FrameSizes, PredictorSizes


def test_an_architecture_survives_json() -> None:
    made = Architecture(dim=64, frame=FrameSizes(widths=(8, 16)), predictor=PredictorSizes(depth=2))
    assert Architecture.from_dict(json.loads(json.dumps(asdict(made)))) == made
    assert Architecture.from_dict({}) == Architecture()


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"wings": {}}, "unknown wings; allowed: dim, frame"),
        ({"dim": "wide"}, "dim must be an integer, not 'wide'"),
        ({"frame": {"legs": 4}}, r"architecture.frame: unknown legs; allowed: input_size"),
        ({"window": 3}, "architecture.window must be an object, not int"),
        (
            {"predictor": {"visual_attention": "psychic"}},
            "'psychic', allowed: joint, prefix, cross",
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(raw: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Architecture.from_dict(raw)
