"""The MuJoCo model of the room, one for all scenes: what varies is written in at run time."""

from __future__ import annotations

from vljepa_lab.world.assets import OBJECT_SCALE, TEXTURE_SIZE, meshes
from vljepa_lab.world.records import SHAPES

SLOTS = 2  # bodies of each shape: at most so many objects of a shape in a scene
TEXTURES = 24  # in one texture set, drawn by `make_texture`
DECOR = {"pane": 3, "view": 3, "frame": 3, "bar": 6, "box": 12, "post": 12, "round": 16}
"""Kind of furniture geom -> how many of them wait in the pool of a furnished room."""
BLOBS = 5  # soft discs under the objects, where true shadows are off: as many as objects
TABLE_Z, TABLE_Y = 0.72, 0.2  # metres: height of the table's top, its middle towards the wall
TABLE_HALF = (0.60, 0.40)  # metres: half its extent along x and y
DOOR_WIDTH, DOOR_HEIGHT = 0.70, 1.62  # metres
_Sizes = tuple[float, ...]
_CORNERS = ((-1, -1), (1, -1), (-1, 1), (1, 1))


def _geom(
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


def _body(name: str, *geoms: str) -> str:
    """A body that is posed from outside; below the floor until then."""
    return f'<body name="{name}" mocap="true" pos="0 0 -5">{"".join(geoms)}</body>'


def slot_name(shape: str, slot: int) -> str:
    """Name of the body that plays the `slot`-th object of a shape."""
    return f"object_{shape.replace(' ', '_')}_{slot}"


def _scaled(*values: float) -> str:
    return " ".join(f"{v * OBJECT_SCALE:.5f}" for v in values)


def _object(shape: str, slot: int) -> str:
    """Geoms named `..._fixed` keep their own colour, all others take the object's."""
    name = slot_name(shape, slot)

    def part(end: str, kind: str, size: _Sizes, pos: _Sizes, *look: str) -> str:
        return _geom(name + end, kind, _scaled(*size), _scaled(*pos), *look)

    if shape == "box":
        geoms = [part("", "box", (0.042, 0.042, 0.042), (0, 0, 0.042))]
    elif shape == "ball":
        geoms = [part("", "sphere", (0.044,), (0, 0, 0.044))]
    elif shape == "can":
        geoms = [
            part("", "cylinder", (0.036, 0.054), (0, 0, 0.054)),
            part(
                "_top_fixed", "cylinder", (0.031, 0.002), (0, 0, 0.1085), "plain", ".75 .75 .75 1"
            ),
        ]
    elif shape == "book":
        pages = ("matte", ".93 .92 .85 1")
        geoms = [
            part("", "box", (0.068, 0.05, 0.018), (0, 0, 0.018)),
            part("_pages_fixed", "box", (0.066, 0.051, 0.013), (0.003, 0, 0.018), *pages),
        ]
    elif shape == "toy car":
        rubber = ("matte", ".05 .05 .05 1", 'euler="90 0 0"')
        geoms = [
            part("", "box", (0.068, 0.033, 0.015), (0, 0, 0.028)),
            part("_roof", "box", (0.034, 0.03, 0.013), (-0.008, 0, 0.053)),
        ]
        for i, (x, y) in enumerate(_CORNERS):
            place = (x * 0.04, y * 0.033, 0.016)
            geoms.append(part(f"_wheel{i}_fixed", "cylinder", (0.016, 0.008), place, *rubber))
    else:
        geoms = [_geom(name, "mesh", "1", "0 0 0").replace('size="1"', f'mesh="{shape}"')]
    return _body(name, *geoms)


def _mesh(name: str) -> str:
    vertices, faces = meshes()[name]
    v = " ".join(f"{x * OBJECT_SCALE:.4f}" for p in vertices for x in p)
    f = " ".join(str(i) for t in faces for i in t)
    return f'<mesh name="{name}" inertia="shell" vertex="{v}" face="{f}"/>'


def _room() -> str:
    """Geoms whose place the scene sets: walls, table, furniture, door frame, pools of decor."""
    tx, ty = TABLE_HALF
    opening = f"{DOOR_WIDTH / 2} .01 {DOOR_HEIGHT / 2}"
    post = f".04 .04 {DOOR_HEIGHT / 2}"
    geoms = [
        _geom("floor", "plane", "5 5 .1", "0 0 0", "t0"),
        _geom("wall_back", "box", "4 .05 1.5", "0 2.1 1.5", "t1"),
        _geom("wall_left", "box", ".05 4 1.5", "-2.6 0 1.5", "t1"),
        _geom("wall_right", "box", ".05 4 1.5", "2.6 0 1.5", "t1"),
        _geom("table", "box", f"{tx} {ty} .02", f"0 {TABLE_Y} {TABLE_Z - 0.02}", "t2"),
    ]
    for i, (x, y) in enumerate(_CORNERS):
        pos = f"{x * tx * 0.93:.3f} {TABLE_Y + y * ty * 0.9:.3f} .34"
        geoms.append(_geom(f"leg{i}", "box", ".025 .025 .34", pos, "matte", ".3 .25 .2 1"))
    geoms += [
        _geom("shelf", "box", ".3 .12 .6", "0 2 .6", "t3"),
        _geom("picture", "box", ".25 .02 .2", "0 2 .6", "t3"),
        _geom("plant_pot", "box", ".14 .15 .15", "0 2 .6", "t3"),
        _geom("plant", "ellipsoid", ".26 .26 .42", "0 2 .7", "matte", ".12 .4 .14 1"),
        _geom("window", "box", ".35 .02 .3", "0 2 1.3", "lamp", ".75 .85 .95 1"),
        _geom("opening", "box", opening, "0 2 .8", "matte", ".03 .03 .04 1"),
        _geom("frame_left", "box", post, "0 2 .8", "matte"),
        _geom("frame_right", "box", post, "0 2 .8", "matte"),
        _geom("frame_top", "box", f"{DOOR_WIDTH / 2 + 0.08} .04 .04", "0 2 1.6", "matte"),
    ]
    for kind, count in DECOR.items():
        form = {"post": "cylinder", "round": "ellipsoid"}.get(kind, "box")
        material = "lamp" if kind in ("pane", "view") else "matte"
        for number in range(count):
            geoms.append(_geom(f"decor_{kind}_{number}", form, ".1 .1 .1", "0 1.9 .6", material))
    return "".join(geoms)


def _actors() -> str:
    """Bodies that move: door, lamp, person, arm and gripper."""
    w, h = DOOR_WIDTH, DOOR_HEIGHT
    leaf = (f"{w / 2} .02 {h / 2}", f"{w / 2} 0 {h / 2}")
    out = _body(
        "door",
        _geom("door_leaf", "box", *leaf, "t5"),
        _geom("door_knob", "sphere", ".045", f"{w - 0.08} -.05 {h / 2}", "plain", ".85 .75 .3 1"),
    )
    out += _body(
        "lamp",
        _geom("lamp_cord", "cylinder", ".008 .3", "0 0 .38", "matte", ".15 .15 .15 1"),
        _geom("lamp_bulb", "sphere", ".09", "0 0 0", "lamp", "1 .95 .7 1"),
    )
    out += _body(
        "person",
        _geom("person_body", "capsule", ".16 .22", "0 0 1.12", "matte"),
        _geom("person_head", "sphere", ".115", "0 0 1.56", "matte"),
        _geom("person_hair", "sphere", ".117", "0 .03 1.59", "matte"),
    )
    for side in ("left", "right"):
        leg = _geom(f"leg_{side}_limb", "capsule", ".08 .34", "0 0 -.42", "matte")
        arm = _geom(f"arm_{side}_limb", "capsule", ".055 .24", "0 0 -.28", "matte")
        out += _body(f"leg_{side}", leg) + _body(f"arm_{side}", arm)
    out += _body(
        "palm",
        _geom("palm_plate", "box", ".05 .17 .03", "0 0 .17", "plain", ".42 .42 .46 1"),
        _geom("wrist", "cylinder", ".05 .08", "0 0 .26", "plain", ".75 .75 .78 1"),
    )
    for side in ("left", "right"):
        name, size = f"finger_{side}_bar", ".025 .014 .085"
        out += _body(f"finger_{side}", _geom(name, "box", size, "0 0 .07", "plain", ".2 .2 .22 1"))
    for k in range(BLOBS):
        disc = ("ellipsoid", ".1 .1 .001", "0 0 0", "matte", "0 0 0 .3")
        out += _body(f"blob_{k}", _geom(f"blob_{k}_disc", *disc))
    out += _body("forearm", _geom("forearm_bar", "capsule", ".045 .3", "0 0 0"))
    return out + _body("upper_arm", _geom("upper_arm_bar", "capsule", ".055 .3", "0 0 0"))


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
