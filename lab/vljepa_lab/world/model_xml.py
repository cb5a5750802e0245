"""The MuJoCo model of the room, one for all scenes: what varies is written in at run time."""

from __future__ import annotations

from vljepa_lab.world.assets import OBJECT_SCALE, TEXTURE_SIZE, meshes
from vljepa_lab.world.mjcf import body as _body
from vljepa_lab.world.mjcf import geom as _geom
from vljepa_lab.world.records import SHAPES

SLOTS = 2  # bodies of each shape: at most so many objects of a shape in a scene
TEXTURES = 24
DECOR = {"pane": 3, "view": 3, "frame": 3, "bar": 6, "box": 12, "post": 12, "round": 16}
BLOBS = 5  # soft discs under the objects, where true shadows are off
TABLE_Z = 0.72
TABLE_Y = 0.2
TABLE_HALF = (0.60, 0.40)
DOOR_WIDTH, DOOR_HEIGHT = 0.70, 1.62
_S = OBJECT_SCALE


def slot_name(shape: str, slot: int) -> str:
    """Name of the body that plays the `slot`-th object of a shape."""
    return f"object_{shape.replace(' ', '_')}_{slot}"


def _scaled(*values: float) -> str:
    return " ".join(f"{v * _S:.5f}" for v in values)


def _object(shape: str, slot: int) -> str:
    """Geoms named `..._fixed` keep their own colour, all others take the object's."""
    n = slot_name(shape, slot)
    if shape == "box":
        inner = _geom(n, "box", _scaled(0.042, 0.042, 0.042), _scaled(0, 0, 0.042))
    elif shape == "ball":
        inner = _geom(n, "sphere", _scaled(0.044), _scaled(0, 0, 0.044))
    elif shape == "can":
        inner = _geom(n, "cylinder", _scaled(0.036, 0.054), _scaled(0, 0, 0.054))
        inner += _geom(
            n + "_top_fixed",
            "cylinder",
            _scaled(0.031, 0.002),
            _scaled(0, 0, 0.1085),
            "plain",
            ".75 .75 .75 1",
        )
    elif shape == "book":
        inner = _geom(n, "box", _scaled(0.068, 0.05, 0.018), _scaled(0, 0, 0.018))
        inner += _geom(
            n + "_pages_fixed",
            "box",
            _scaled(0.066, 0.051, 0.013),
            _scaled(0.003, 0, 0.018),
            "matte",
            ".93 .92 .85 1",
        )
    elif shape == "toy car":
        inner = _geom(n, "box", _scaled(0.068, 0.033, 0.015), _scaled(0, 0, 0.028))
        inner += _geom(n + "_roof", "box", _scaled(0.034, 0.03, 0.013), _scaled(-0.008, 0, 0.053))
        for i, (x, y) in enumerate(
            ((-0.04, -0.033), (0.04, -0.033), (-0.04, 0.033), (0.04, 0.033))
        ):
            inner += _geom(
                f"{n}_wheel{i}_fixed",
                "cylinder",
                _scaled(0.016, 0.008),
                _scaled(x, y, 0.016),
                "matte",
                ".05 .05 .05 1",
                'euler="90 0 0"',
            )
    else:
        inner = _geom(n, "mesh", "1", "0 0 0").replace('size="1"', f'mesh="{shape}"')
    return _body(n, inner)


def _mesh(name: str) -> str:
    vertices, faces = meshes()[name]
    v = " ".join(f"{x * _S:.4f}" for p in vertices for x in p)
    f = " ".join(str(i) for t in faces for i in t)
    return f'<mesh name="{name}" inertia="shell" vertex="{v}" face="{f}"/>'


def _room() -> str:
    """Geoms whose place the scene sets: walls, table, furniture, door frame."""
    tx, ty = TABLE_HALF
    out = _geom("floor", "plane", "5 5 .1", "0 0 0", "t0")
    out += _geom("wall_back", "box", "4 .05 1.5", "0 2.1 1.5", "t1")
    out += _geom("wall_left", "box", ".05 4 1.5", "-2.6 0 1.5", "t1")
    out += _geom("wall_right", "box", ".05 4 1.5", "2.6 0 1.5", "t1")
    out += _geom("table", "box", f"{tx} {ty} .02", f"0 {TABLE_Y} {TABLE_Z - 0.02}", "t2")
    for i, (x, y) in enumerate(((-tx, -ty), (tx, -ty), (-tx, ty), (tx, ty))):
        pos = f"{x * 0.93:.3f} {TABLE_Y + y * 0.9:.3f} .34"
        out += _geom(f"leg{i}", "box", ".025 .025 .34", pos, "matte", ".3 .25 .2 1")
    for name, size in (
        ("shelf", ".3 .12 .6"),
        ("picture", ".25 .02 .2"),
        ("plant_pot", ".14 .15 .15"),
    ):
        out += _geom(name, "box", size, "0 2 .6", "t3")
    out += _geom("plant", "ellipsoid", ".26 .26 .42", "0 2 .7", "matte", ".12 .4 .14 1")
    out += _geom("window", "box", ".35 .02 .3", "0 2 1.3", "lamp", ".75 .85 .95 1")
    out += _geom(
        "opening",
        "box",
        f"{DOOR_WIDTH / 2} .01 {DOOR_HEIGHT / 2}",
        "0 2 .8",
        "matte",
        ".03 .03 .04 1",
    )
    out += _geom("frame_left", "box", f".04 .04 {DOOR_HEIGHT / 2}", "0 2 .8", "matte")
    out += _geom("frame_right", "box", f".04 .04 {DOOR_HEIGHT / 2}", "0 2 .8", "matte")
    out += _geom("frame_top", "box", f"{DOOR_WIDTH / 2 + 0.08} .04 .04", "0 2 1.6", "matte")
    return out + _decor()


def _decor() -> str:
    """Geoms that only furnished training rooms show, in pools: `decor`."""
    out = ""
    for kind, count in DECOR.items():
        form = {"post": "cylinder", "round": "ellipsoid"}.get(kind, "box")
        material = "lamp" if kind in ("pane", "view") else "matte"
        for number in range(count):
            out += _geom(f"decor_{kind}_{number}", form, ".1 .1 .1", "0 1.9 .6", material)
    return out


def _actors() -> str:
    """Bodies that move: door, lamp, person, arm and gripper."""
    w, h = DOOR_WIDTH, DOOR_HEIGHT
    out = _body(
        "door",
        _geom("door_leaf", "box", f"{w / 2} .02 {h / 2}", f"{w / 2} 0 {h / 2}", "t5")
        + _geom("door_knob", "sphere", ".045", f"{w - 0.08} -.05 {h / 2}", "plain", ".85 .75 .3 1"),
    )
    out += _body(
        "lamp",
        _geom("lamp_cord", "cylinder", ".008 .3", "0 0 .38", "matte", ".15 .15 .15 1")
        + _geom("lamp_bulb", "sphere", ".09", "0 0 0", "lamp", "1 .95 .7 1"),
    )
    out += _body(
        "person",
        _geom("person_body", "capsule", ".16 .22", "0 0 1.12", "matte")
        + _geom("person_head", "sphere", ".115", "0 0 1.56", "matte")
        + _geom("person_hair", "sphere", ".117", "0 .03 1.59", "matte"),
    )
    for side in ("left", "right"):
        out += _body(
            f"leg_{side}", _geom(f"leg_{side}_limb", "capsule", ".08 .34", "0 0 -.42", "matte")
        )
        out += _body(
            f"arm_{side}", _geom(f"arm_{side}_limb", "capsule", ".055 .24", "0 0 -.28", "matte")
        )
    out += _body(
        "palm",
        _geom("palm_plate", "box", ".05 .17 .03", "0 0 .17", "plain", ".42 .42 .46 1")
        + _geom("wrist", "cylinder", ".05 .08", "0 0 .26", "plain", ".75 .75 .78 1"),
    )
    for side in ("left", "right"):
        out += _body(
            f"finger_{side}",
            _geom(f"finger_{side}_bar", "box", ".025 .014 .085", "0 0 .07", "plain", ".2 .2 .22 1"),
        )
    for k in range(BLOBS):
        out += _body(
            f"blob_{k}",
            _geom(f"blob_{k}_disc", "ellipsoid", ".1 .1 .001", "0 0 0", "matte", "0 0 0 .3"),
        )
    out += _body("forearm", _geom("forearm_bar", "capsule", ".045 .3", "0 0 0"))
    out += _body("upper_arm", _geom("upper_arm_bar", "capsule", ".055 .3", "0 0 0"))
    return out


def build_xml(shadow_size: int = 256, width: int = 640, height: int = 480) -> str:
    """The MJCF text; width x height is the largest image that can be rendered."""
    side = TEXTURE_SIZE
    textures = "".join(
        f'<texture name="t{i}" type="2d" builtin="flat" rgb1=".5 .5 .5" '
        f'width="{side}" height="{side}"/>'
        f'<material name="t{i}" texture="t{i}" texrepeat="2 2" texuniform="true" specular=".05"/>'
        for i in range(TEXTURES)
    )
    objects = "".join(_object(shape, slot) for shape in SHAPES for slot in range(SLOTS))
    return (
        "<mujoco><visual>"
        f'<global offwidth="{width}" offheight="{height}"/>'
        f'<quality shadowsize="{shadow_size}" offsamples="0" numslices="16" numstacks="10"/>'
        '<map znear="0.05" zfar="12"/></visual>'
        f"<asset>{textures}"
        '<material name="plain" specular=".3" shininess=".4"/>'
        '<material name="matte" specular=".02"/>'
        '<material name="lamp" emission="1"/>'
        f"{''.join(_mesh(name) for name in meshes())}</asset><worldbody>"
        '<light name="key" pos="0 -0.5 2.6" dir="0 .3 -1" castshadow="true" specular=".2 .2 .2"/>'
        '<light name="fill" pos="-1 -1 2.2" dir=".4 .5 -1" castshadow="false" specular="0 0 0"/>'
        f"{_room()}{_actors()}{objects}"
        '<camera name="camera" pos="0 -1.2 1.3" fovy="60"/></worldbody></mujoco>'
    )
