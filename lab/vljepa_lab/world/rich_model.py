"""The bodies that only the richer world has, as MJCF: drawer, obstacles and the person's hands."""

from __future__ import annotations

from vljepa_lab.world.mjcf import body as _body
from vljepa_lab.world.mjcf import geom as _geom
from vljepa_lab.world.rich_state import OBSTACLES

CABINET = (0.33, 0.30, 0.46)  # half width, half depth, half height in metres
DRAWER = (0.30, 0.27, 0.155)  # of the drawer's inside; its front stands over it a little
DRAWER_Z = 0.74  # of the drawer's middle
OBSTACLE_HEIGHT = 1.0
_STRIPES = 6
RICH_BODIES = (
    "cabinet",
    "drawer",
    "drawer_front",
    "hand_left",
    "hand_right",
    *(f"obstacle_{kind}" for kind in OBSTACLES),
)


def _cabinet() -> str:
    """The origin of all three is the middle of the front, on the floor; y points to the wall."""
    w, d, h = CABINET
    out = _geom("cabinet_case", "box", f"{w} {d} {h}", f"0 {d} {h}", "t6")
    out += _geom(
        "cabinet_top", "box", f"{w + 0.02} {d + 0.01} .02", f"0 {d} {2 * h + 0.02}", "matte"
    )
    dw, dd, dh = DRAWER
    out += _geom(
        "cabinet_hole", "box", f"{dw} .004 {dh}", f"0 0 {DRAWER_Z}", "matte", ".02 .02 .02 1"
    )
    out += _geom("cabinet_panel", "box", f"{dw} .012 .22", "0 -.008 .32", "matte")
    out += _geom("cabinet_knob", "box", ".09 .015 .016", "0 -.03 .42", "plain", ".85 .85 .85 1")
    box = ""
    for name, size, pos in (
        ("drawer_bottom", f"{dw - 0.02} {dd} .01", f"0 {dd} {DRAWER_Z - dh + 0.03}"),
        ("drawer_left", f".012 {dd} {dh - 0.01}", f"{0.02 - dw} {dd} {DRAWER_Z}"),
        ("drawer_right", f".012 {dd} {dh - 0.01}", f"{dw - 0.02} {dd} {DRAWER_Z}"),
    ):
        box += _geom(name, "box", size, pos, "matte", ".9 .86 .75 1")
    for k, x in enumerate((-0.18, 0.0, 0.18)):  # folded clothes fill it, higher than its front
        size = f".085 {dd - 0.03} {dh - 0.012 - 0.006 * k}"
        box += _geom(f"drawer_content{k}", "box", size, f"{x} {dd} {DRAWER_Z}", "matte")
    front = _geom(
        "drawer_front_plate",
        "box",
        f"{dw} .015 {dh - 0.025}",
        f"0 -.012 {DRAWER_Z - 0.025}",
        "matte",
    )
    front += _geom(
        "drawer_front_knob", "box", ".10 .02 .02", f"0 -.04 {DRAWER_Z}", "plain", ".85 .85 .85 1"
    )
    return _body("cabinet", out) + _body("drawer", box) + _body("drawer_front", front)


def _carton() -> str:
    """A cardboard box on a second one, taped."""
    tape = ".80 .72 .50 1"
    out = _geom("carton_low", "box", ".17 .11 .35", "0 0 .35", "matte", ".62 .44 .26 1")
    out += _geom("carton_high", "box", ".145 .10 .15", "0 0 .85", "matte", ".68 .49 .30 1")
    out += _geom("carton_tape_fixed", "box", ".03 .102 .151", "0 0 .85", "matte", tape)
    out += _geom("carton_label_fixed", "box", ".045 .103 .04", ".085 0 .86", "matte", ".9 .9 .9 1")
    return out


def _barrier() -> str:
    """A board with red and white stripes on two posts."""
    out = ""
    width = 0.56 / _STRIPES
    for k in range(_STRIPES):
        x = (k + 0.5) * width - 0.28
        color = ".88 .10 .08 1" if k % 2 else ".95 .95 .95 1"
        out += _geom(
            f"barrier_stripe{k}_fixed", "box", f"{width / 2} .02 .09", f"{x} 0 .91", "matte", color
        )
    for k, x in enumerate((-0.22, 0.22)):
        out += _geom(
            f"barrier_post{k}_fixed", "box", ".025 .02 .41", f"{x} .03 .41", "plain", ".3 .3 .32 1"
        )
    return out


def _trolley() -> str:
    """A cart with a crate on its upper shelf and a bar to push it."""
    metal = ".72 .74 .78 1"
    out = _geom("trolley_shelf_fixed", "box", ".22 .11 .015", "0 0 .72", "plain", metal)
    out += _geom("trolley_crate", "box", ".16 .09 .1", "0 0 .83", "matte")
    out += _geom("trolley_inside_fixed", "box", ".14 .07 .005", "0 0 .928", "matte", ".3 .3 .32 1")
    for k, x in enumerate((-0.21, 0.21)):
        out += _geom(f"trolley_post{k}_fixed", "cylinder", ".018 .5", f"{x} .09 .5", "plain", metal)
    out += _geom(
        "trolley_bar_fixed",
        "cylinder",
        ".022 .22",
        "0 .09 1",
        "plain",
        ".15 .15 .17 1",
        'euler="0 90 0"',
    )
    return out


def rich_xml() -> str:
    """Bodies of the richer world; they come after all others, which keep their numbers."""
    made = {"carton": _carton(), "barrier": _barrier(), "trolley": _trolley()}
    out = _cabinet()
    for side in ("left", "right"):
        out += _body(f"hand_{side}", _geom(f"hand_{side}_ball", "sphere", ".068", "0 0 0", "matte"))
    return out + "".join(_body(f"obstacle_{kind}", made[kind]) for kind in OBSTACLES)
