"""Hostile files and texts, one by one: what comes of each, and that it touched nothing.

    python test/soak/security.py CHECK FOLDER

runs one check in this process. `FOLDER/inside` is where the product may write, `FOLDER/outside` is
what the content aims at; `watch` sees every file that Python opens to write, every program it
starts and every connection it makes. A check returns what came of it; an exception is a
fault.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import resource
import shutil
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from vljepa_ros.resources import share_dir  # the package first: it limits OpenCV's own reading

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support")]
CANARY = "keep.txt"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
HARMLESS = ("/dev/", "/proc/self/", "/dev/shm/")
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>'\"&[/b][red]\x1b]0;pwned\x07"
Check = Callable[[Path], str]


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self._target}",)


_OWN = [0]


@contextlib.contextmanager
def own_hands() -> Iterator[None]:
    """What the check itself prepares is not looked at."""
    _OWN[0] += 1
    try:
        yield
    finally:
        _OWN[0] -= 1


def watch(allowed: Path) -> list[str]:
    """From now on, what this process does outside of a folder."""
    seen: list[str] = []

    def inside(path: Any) -> bool:
        if not isinstance(path, (str, bytes)):
            return True  # a descriptor, opened before
        full = os.path.realpath(os.fsdecode(path))
        return full.startswith((f"{allowed}/", *HARMLESS))

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if _OWN[0]:
            return
        if event == "open":
            path, mode, flags = args
            writes = bool(flags & WRITES) if mode is None else bool(set(str(mode)) & set("wax+"))
            if writes and not inside(path):
                seen.append(f"writes {path!r}")
        elif event in (
            "os.remove",
            "os.rename",
            "os.mkdir",
            "os.symlink",
            "os.link",
            "os.truncate",
        ):
            if not all(inside(one) for one in args[:2] if isinstance(one, (str, bytes))):
                seen.append(f"{event} {args!r:.120}")
        elif event in ("os.system", "os.exec", "os.posix_spawn", "os.fork", "subprocess.Popen"):
            seen.append(f"starts {args!r:.120}")
        elif event in ("socket.connect", "socket.getaddrinfo") and "127.0.0.1" not in repr(args):
            seen.append(f"{event} {args!r:.120}")

    sys.addaudithook(hook)
    return seen


@contextlib.contextmanager
def refused(*kinds: type[Exception]) -> Iterator[list[str]]:
    """The block must end with one of the documented exceptions."""
    said: list[str] = []
    try:
        yield said
    except kinds as error:
        said.append(" ".join(str(error).split())[:160])
    else:
        raise AssertionError("it was not refused")


# ---- YAML, JSON, pickles


def yaml_objects(folder: Path) -> str:
    """`!!python/object` in every file of YAML that is read."""
    from vljepa_ros.models.catalogue import read_catalogue
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.perception.bags.reading import BagError, BagReader
    from vljepa_ros.perception.checking.truth import TruthError, read_truth
    from vljepa_ros.resources import choose_model
    from vljepa_ros.ros.builtin.arguments import RosArgumentError, read_parameter_file

    file = folder / "inside" / "metadata.yaml"
    call = f'!!python/object/apply:os.system ["touch {folder}/outside/x"]'
    file.write_text(f"/**: {{ros__parameters: {{a: {call}}}}}\na: [[1, 2]]\nb: {call}\n")
    with refused(RosArgumentError):
        read_parameter_file(file)
    with refused(ModelError):
        read_catalogue(file)
    with refused(TruthError):
        read_truth(file)
    choose_model("auto", "demo", [file])
    shutil.copy(storage(folder), folder / "inside" / "bag.db3")
    with contextlib.suppress(BagError), BagReader(folder / "inside") as reader:
        return f"refused four times; the bag is read without it: {reader.notes[0]}"
    return "refused"


def yaml_bombs(folder: Path) -> str:
    """Aliases that stand for 10^9 values, and for themselves."""
    from vljepa_ros.perception.checking.truth import TruthError, read_truth
    from vljepa_ros.ros.builtin.arguments import RosArgumentError, read_parameter_file

    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    file = folder / "inside" / "a.yaml"
    for text in ("\n".join(lines), "a: &a [*a]", "a: &a {b: *a}", "[" * 100_000, "a: {" * 100_000):
        file.write_text(text)
        with refused(RosArgumentError):
            read_parameter_file(file)
        with refused(TruthError):
            read_truth(file)
    return "refused ten times"


def pickles(folder: Path) -> str:
    """Pickles as weights, under every name, and as a checkpoint to be converted."""
    import torch

    from vljepa_ros.engines.load import load_engine
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.models.vl_jepa.convert_open_vljepa import _read_checkpoint

    model = hub_folder(folder)
    evil = pickle.dumps(Payload(folder / "outside" / "x"))
    for name in ("pytorch_model.bin", "model.pt", "model.ckpt", "model.safetensors", "x.npy"):
        (model / name).write_bytes(evil)
        with refused(ModelError):
            load_engine(model, "torch:fp32@cpu")
    checkpoint = folder / "inside" / "best.pt"
    checkpoint.write_bytes(evil)
    with refused(ModelError):
        _read_checkpoint(checkpoint)
    torch.save({"model_state_dict": Payload(folder / "outside" / "x")}, checkpoint)
    with refused(ModelError) as said:
        _read_checkpoint(checkpoint)
    return f"refused seven times; the last: {said[0]}"


def remote_code(folder: Path) -> str:
    """A hub folder that names classes of its own (`auto_map`), with the file that holds them."""
    from vljepa_ros.engines.load import load_engine
    from vljepa_ros.models.config import ModelError

    model = hub_folder(folder)
    raw = json.loads((model / "config.json").read_text())
    names = {"AutoConfig": "evil.Evil", "AutoModel": "evil.Evil"}
    (model / "config.json").write_text(json.dumps(raw | {"auto_map": names}))
    code = f"import os\nos.system('touch {folder}/outside/x')\nclass Evil: pass\n"
    for name in ("evil.py", "modeling_clip.py", "sitecustomize.py", "__init__.py"):
        (model / name).write_text(code)
    (model / "model.safetensors").unlink(missing_ok=True)
    with refused(ModelError) as said:
        load_engine(model, "torch:fp32@cpu")
    return f"refused: {said[0]}"


# ---- graphs


def external_data(folder: Path) -> str:
    """ONNX graphs whose weights lie outside of the model folder, by every kind of path."""
    import onnxruntime
    from onnx import TensorProto, helper

    from vljepa_ros.engines.onnxruntime_runner import open_session
    from vljepa_ros.models.config import ModelError

    inside, outside = folder / "inside" / "model", folder / "outside" / "weights.bin"
    inside.mkdir()
    with own_hands():
        outside.write_bytes(struct.pack("<4f", 1, 2, 3, 4))
    outcomes = []
    for place in ("../../outside/weights.bin", str(outside), "./a/../../../outside/weights.bin"):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", place), ("offset", "0"), ("length", "16")):
            tensor.external_data.add(key=key, value=value)
        shape = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in "xy"]
        node = helper.make_node("Add", ["x", "w"], ["y"])
        graph = helper.make_graph([node], "g", shape[:1], shape[1:], [tensor])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        model.ir_version = 9
        (inside / "g.onnx").write_bytes(model.SerializeToString())
        options = onnxruntime.SessionOptions()
        with refused(ModelError) as said:
            open_session(inside / "g.onnx", options, [("CPUExecutionProvider", {})])
        outcomes.append(said[0])
    return f"refused three times; the last: {outcomes[-1]}"


def files_outside(folder: Path) -> str:
    """A model folder that names graphs, weights and hashes outside of itself."""
    from vljepa_ros.engines.load import load_engine
    from vljepa_ros.models.config import ModelError

    own = Path(shutil.copytree(share_dir() / "models" / "everyday", folder / "inside" / "model"))
    raw = json.loads((own / "config.json").read_text())
    with own_hands():
        shutil.copy(own / raw["files"]["vision"], folder / "outside" / "vision.onnx")
    for place in ("../../outside/vision.onnx", str(folder / "outside" / "vision.onnx")):
        changed = raw | {"files": raw["files"] | {"vision": place}}
        (own / "config.json").write_text(json.dumps(changed))
        with refused(ModelError):
            load_engine(own)
        digests = raw | {"sha256": {place: "0" * 64}}
        (own / "config.json").write_text(json.dumps(digests))
        with refused(ModelError) as said:
            load_engine(own)
    return f"refused four times; the last: {said[0]}"


# ---- pictures


def picture_bombs(folder: Path) -> str:
    """Kilobytes that claim to be gigapixels, as messages, and in a folder of images."""
    import cv2
    import fuzz_images
    import numpy as np

    from vljepa_ros.perception.frames import picture_to_rgb
    from vljepa_ros.perception.image_encodings import FrameError

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    side = 60_000
    packed = zlib.compressobj()
    rows = b"".join(packed.compress(bytes(1 + side)) for _ in range(2000)) + packed.flush()
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    png += chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(200 << 20)))
    text = chunk(b"zTXt", b"x\0\0" + zlib.compress(bytes(200 << 20)))
    _, small = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))
    padded = bytes(small[:33]) + profile + text + bytes(small[33:])
    _, jpeg = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))
    large = bytearray(jpeg.tobytes())
    at = large.index(b"\xff\xc0") + 5
    large[at : at + 4] = b"\xff\xff\xff\xff"
    bmp = struct.pack(
        "<2sIHHIIiiHHIIiiII", b"BM", 1078, 0, 0, 1078, 40, 30_000, 30_000, 1, 8, 1, *[0] * 5
    )
    bmp += bytes(1024) + b"\0\1"
    tiff = b"II*\0\x08\0\0\0\x0a\0" + b"".join(
        struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in (
            *((256, 30_000), (257, 30_000), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1)),
            *((278, 30_000), (279, 900_000_000), (284, 1)),
        )
    )
    webp = b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0\x2f\xff\xff\xff\x0f" + bytes(20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    outcomes = []
    for data in (png, padded, bytes(large), bmp, tiff + bytes(4), webp):
        outcomes.append(fuzz_images.outcome(SimpleNamespace(format="png", data=data)))
        try:
            picture_to_rgb(data, "bomb")
            outcomes.append("shown")
        except FrameError:
            outcomes.append("refused")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
    assert grown < 512, f"{grown} MiB for kilobytes: {outcomes}"
    return f"{', '.join(outcomes)}; {grown} MiB at most"


def model_names(folder: Path) -> str:
    """Paths as names of models, memories, labels, cameras and owners."""
    from vljepa_ros.models.config import ModelError
    from vljepa_ros.perception.lesson import Lesson, Recording
    from vljepa_ros.perception.taught_store import TaughtStore
    from vljepa_ros.resources import kept_by, model_dir

    for name in ("../../outside", "..", "nano/../../outside", "\0", "x" * 5000, "~root/x"):
        with contextlib.suppress(ModelError, ValueError):
            found = model_dir(name)
            assert found.is_dir(), name
    store = TaughtStore(folder / "inside" / "taught")
    for name in ("../../outside/x", "/etc/x", "..", "a\0b", "\x1b[2J", "x" * 128):
        with contextlib.suppress(Exception):
            store.put(Lesson(name, "other", "m-1", (Recording("../x", False, ()),)))
        assert store.path_of(name).parent == store.folder
    os.environ["ROS_HOME"] = str(folder / "inside")
    assert kept_by("/../../outside/x", ".state").parent == folder / "inside" / "vljepa_ros"
    return "each file lies in the folder of its kind"


# ---- helpers


def storage(folder: Path) -> Path:
    """The storage file of a good bag."""
    from colour_bag import bag_of, storage_file

    return storage_file(bag_of(folder / "inside" / "good", 12))


def hub_folder(folder: Path) -> Path:
    """A folder in the hub's format, without weights."""
    import fuzz_configs

    model = folder / "inside" / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps(fuzz_configs.HUB["clip"]))
    (model / "preprocessor_config.json").write_text(json.dumps(fuzz_configs.PROCESSOR))
    return model


CHECKS: dict[str, Check] = {
    "YAML with objects": yaml_objects,
    "YAML bombs": yaml_bombs,
    "pickles": pickles,
    "code in a hub folder": remote_code,
    "external data of graphs": external_data,
    "files outside of a model folder": files_outside,
    "picture bombs": picture_bombs,
    "paths as names": model_names,
}


def main() -> int:
    """Run one check and print its outcome as JSON."""
    import security_bags

    checks = CHECKS | security_bags.CHECKS
    name, folder = sys.argv[1], Path(sys.argv[2]).resolve()
    os.chdir(folder / "inside")
    output = io.StringIO()
    seen = watch(folder / "inside")
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        outcome = checks[name](folder)
    result = {"outcome": outcome, "touched": seen}
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    import security  # the one that the other file of checks imports

    sys.exit(security.main())
