"""Coverage-guided input (atheris) for the entrances that take bytes or text.

    python test/soak/guided.py NAME RUNS [CORPUS]

libFuzzer's own counts go to standard error. Whatever the entrance does not document ends the
process with the input that did it, and so does a run of over five seconds or 2 GiB.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import atheris

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "support"), str(HERE.parents[1])]

with atheris.instrument_imports(include=["vljepa_ros", "yaml"]):
    import fuzz_images
    import fuzz_wire

    from vljepa_ros.models.config import ModelError
    from vljepa_ros.models.folder import load_config
    from vljepa_ros.models.weight_files import read_scalar, tensor_shapes
    from vljepa_ros.perception.bags.reading import BagError, BagReader
    from vljepa_ros.perception.checking.truth import TruthError, read_truth
    from vljepa_ros.perception.triggers import parse_triggers
    from vljepa_ros.perception.vocabulary import VocabularyError, parse
    from vljepa_ros.ros.builtin import arguments
    from vljepa_ros.ros.builtin.cdr import encode

FOLDER = Path(tempfile.mkdtemp(prefix="vljepa-guided-"))


def kept(name: str, data: bytes) -> Path:
    """A file with that content."""
    path = FOLDER / name
    path.write_bytes(data)
    return path


def image(data: bytes) -> None:
    formats = fuzz_images.FORMATS
    kind = formats[data[0] % len(formats)] if data else ""
    fuzz_images.outcome(SimpleNamespace(format=kind, data=data[1:]))


def cdr(data: bytes) -> None:
    types = fuzz_wire.TYPES
    fuzz_wire.used(types[data[0] % len(types)] if data else types[0], data[1:])


def parameter_file(data: bytes) -> None:
    try:
        arguments.read_parameter_file(kept("params.yaml", data))
    except arguments.RosArgumentError:
        return


def ros_arguments(data: bytes) -> None:
    words = data.decode("utf-8", "replace").replace("params-file", "").split()
    try:
        arguments.parse(["--ros-args", *words]).parameters_for("node", "/ns")
    except arguments.RosArgumentError:
        return


def truth(data: bytes) -> None:
    try:
        for entry in read_truth(kept("truth.yaml", data)).entries:
            entry.within(0.0, 100.0)
    except TruthError:
        return


def model_configuration(data: bytes) -> None:
    try:
        kept("config.json", data)
        load_config(FOLDER)
    except ModelError:
        return


def weights(data: bytes) -> None:
    try:
        kept("model.safetensors", data)
        tensor_shapes(FOLDER)
        read_scalar(FOLDER, "w")
    except ModelError:
        return


def mcap(data: bytes) -> None:
    try:
        with BagReader(kept("bag.mcap", data)) as reader:
            for _ in reader.messages(list(reader.connections)):
                pass
    except BagError:
        return


def settings(data: bytes) -> None:
    lines = data.decode("utf-8", "replace").splitlines()
    for read in (parse_triggers, lambda lines: parse(lines, "which?")):
        try:
            read(lines)
        except VocabularyError:
            continue


ENTRANCES: dict[str, Callable[[bytes], None]] = {
    "image": image,
    "CDR": cdr,
    "parameter file": parameter_file,
    "ROS arguments": ros_arguments,
    "truth file": truth,
    "model configuration": model_configuration,
    "weights": weights,
    "mcap": mcap,
    "settings": settings,
}


def seeds(name: str, corpus: Path) -> None:
    """Good inputs to begin with."""
    import random

    import fuzz_bags
    import fuzz_configs
    import fuzz_settings

    corpus.mkdir(parents=True, exist_ok=True)
    draw = random.Random(0)
    made = {
        "CDR": [
            bytes([at]) + encode(fuzz_wire.message(draw, kind))
            for at, kind in enumerate(fuzz_wire.TYPES)
        ],
        "truth file": [fuzz_settings.TRUTH.encode()],
        "model configuration": list(fuzz_configs.ours()),
        "weights": [fuzz_configs.weights(fuzz_configs.TENSORS)],
        "parameter file": [b"/**/n: {ros__parameters: {a: [1, 2], b: {c: x}}}"],
        "ROS arguments": [b"-p a:=1 -r a:=b -r __ns:=/x --log-level debug"],
        "mcap": [fuzz_bags.whole("mcap")[1], fuzz_bags.whole("chunk")[1]],
        "settings": [b"which? | a | b\nc | 0.5\n"],
    }
    for number, data in enumerate(made.get(name, [])):
        (corpus / f"seed{number}").write_bytes(data)


def main() -> None:
    name, runs = sys.argv[1:3]
    corpus = Path(sys.argv[3]) if len(sys.argv) > 3 else FOLDER / "corpus"
    seeds(name, corpus)
    options = [f"-runs={runs}", "-timeout=5", "-rss_limit_mb=2048", "-max_len=65536"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], ENTRANCES[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
