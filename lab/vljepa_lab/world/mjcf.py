"""Single elements of MuJoCo's model language, as text."""

from __future__ import annotations


def geom(
    name: str,
    kind: str,
    size: str,
    pos: str,
    material: str = "plain",
    rgba: str = "1 1 1 1",
    extra: str = "",
) -> str:
    """A geom that nothing collides with."""
    return (
        f'<geom name="{name}" type="{kind}" size="{size}" pos="{pos}" material="{material}" '
        f'rgba="{rgba}" contype="0" conaffinity="0" {extra}/>'
    )


def body(name: str, inner: str) -> str:
    """A body that is posed from outside; below the floor until then."""
    return f'<body name="{name}" mocap="true" pos="0 0 -5">{inner}</body>'
