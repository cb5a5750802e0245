"""Rendered scenes are kept in a folder named after what has a part in them."""

from __future__ import annotations

import re
from pathlib import Path

import vljepa_lab.world
from vljepa_lab.evaluation.quality.scenes import ASKING


def test_nothing_that_renders_a_scene_uses_what_only_asks() -> None:
    """Else its cache would outlive a change of what it shows."""
    asking = "|".join(name.removesuffix(".py") for name in ASKING)
    for file in Path(vljepa_lab.world.__file__).parent.glob("*.py"):
        if file.name not in ASKING:
            found = re.search(rf"vljepa_lab\.world(\.| import )({asking})\b", file.read_text())
            assert found is None, f"{file.name} imports {found}"
