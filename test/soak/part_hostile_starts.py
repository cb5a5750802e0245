"""Hostile input to programs: a thousand starts with mutated arguments, files and model folders.

Every command of `vljepa` and every node is started with options, parameter files, model folders,
truth files and bags that are wrong in some way. Judged: it ends by itself with one of its exit
codes (a node that runs is stopped with SIGINT and ends with 0), never with a traceback, and says
why it refuses.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fuzz_bags
import fuzz_configs
import fuzz_parameters
import fuzz_settings

STARTS = 1000
AT_ONCE = 2
NODES = ("camera", "perception", "selective_decoder", "trigger", "memory", "overlay", "console")
CODES = (0, 1, 2)
STOPPED = (130, -signal.SIGINT)  # of a command; the latter as the interpreter begins or ends
RUNS_S = 20.0  # after which a node or command that runs is stopped
ENDS_S = 60.0  # after SIGINT
COMMANDS: tuple[tuple[str, ...], ...] = (
    *(("info", "--model", "MODEL"), ("export", "MODEL", "--out", "OUT"), ("models",)),
    *(("check", "BAG", "--truth", "TRUTH"), ("bag", "index", "BAG", "--memory", "OUT")),
    *(("bag", "annotate", "BAG", "OUT"), ("find", "a door", "--memory", "BAG")),
    *(("memory", "info", "--memory", "BAG"), ("memory", "tidy", "--memory", "BAG")),
    *(("up", "--source", "none", "--params-file", "PARAMS"), ("up", "--model", "MODEL")),
    *(("ask", "is it open?", "yes", "no", "--timeout", "1"), ("label", "a", "a")),
)


def run(scale: float, folder: Path) -> dict[str, Any]:
    """Figures of the part; see `run.py`."""
    outcomes: Counter[str] = Counter()
    missed: list[str] = []
    environment = os.environ | {"ROS_HOME": str(folder / "ros_home"), "HOME": str(folder)}
    commands = []
    for number in range(round(STARTS * scale)):
        place = folder / str(number)
        place.mkdir()
        commands.append((made(random.Random(f"starts/{number}"), place), place))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = pool.map(lambda one: start(*one, environment), commands)
        for number, (code, output) in enumerate(ends):
            words = " ".join(commands[number][0][2:])
            kind = "a node" if "nodes.program" in words else "vljepa"
            outcomes[f"{kind}: {code}"] += 1
            if wrong := judged(code, output):
                asked = "asked: refused in words, or run"
                missed.append(f"start {number}, {words[:160]!r}: {wrong}; {asked}")
            if number % 50 == 49:
                print(f"{number + 1} starts: {dict(outcomes)}", file=sys.stderr, flush=True)
    return {
        "starts": sum(outcomes.values()),
        "outcomes": dict(outcomes.most_common()),
        "missed": missed,
    }


def made(draw: random.Random, place: Path) -> list[str]:
    """A command line, and the files that it names."""
    files = {"MODEL": model, "PARAMS": parameters, "TRUTH": truth, "BAG": bag}
    if draw.random() < 0.5:
        node = f"{draw.choice(NODES)}_node"
        options = ["--params-file", "PARAMS"] if draw.random() < 0.6 else ["-p", "model:=MODEL"]
        options += draw.choices(
            (["-p", "cameras:=[a b]"], ["-r", "__ns:=/x"], ["-p", "x:=&a"], [])
        )[0]
        words = [sys.executable, "-m", "vljepa_ros.nodes.program", node, "--ros-args", *options]
    else:
        words = [sys.executable, "-m", "vljepa_ros.cli.main", *draw.choice(COMMANDS)]
        if draw.random() < 0.5:
            at = draw.randrange(3, len(words) + 1)
            words[at:at] = [
                draw.choice((*fuzz_settings.WORDS, *fuzz_settings.TIMES)).replace("\0", "")
            ]
    for name, make in files.items():
        for at, word in enumerate(words):
            if name in word:
                words[at] = word.replace(name, str(make(draw, place)))
    return [word.replace("OUT", str(place / "out")) for word in words]


def model(draw: random.Random, place: Path) -> Path:
    """A model folder with a mistake in its configuration; nano's files beside it."""
    folder = place / "model"
    folder.mkdir(exist_ok=True)
    source = Path(fuzz_configs.share_dir()) / "models" / "nano"
    for file in source.iterdir():
        if file.is_file() and file.name != "config.json" and not (folder / file.name).exists():
            (folder / file.name).symlink_to(file)
    data = (source / "config.json").read_bytes()
    import json

    if draw.random() < 0.7:
        data = json.dumps(fuzz_configs.changed(draw, json.loads(data))).encode()
    else:
        data = fuzz_configs.harmed(draw, data)
    (folder / "config.json").write_bytes(data)
    return folder


def parameters(draw: random.Random, place: Path) -> Path:
    file = place / "params.yaml"
    file.write_bytes(fuzz_parameters.text_of(draw).encode("utf-8", "surrogatepass"))
    return file


def truth(draw: random.Random, place: Path) -> Path:
    file = place / "truth.yaml"
    text = fuzz_settings.harmed(draw, fuzz_settings.TRUTH, fuzz_settings.TIMES)
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    return file


def bag(draw: random.Random, place: Path) -> Path:
    """A storage file that is damaged."""
    folder = place / "bag"
    folder.mkdir(exist_ok=True)
    name, data, metadata = fuzz_bags.whole(draw.choice(("db3", "mcap", "db3.zstd")))
    (folder / name).write_bytes(data[: draw.randrange(len(data))] if draw.random() < 0.7 else data)
    (folder / "metadata.yaml").write_text(metadata[: draw.randrange(len(metadata))])
    return folder


def start(command: list[str], place: Path, environment: dict[str, str]) -> tuple[int | str, str]:
    """Exit code, or what kept it from ending; and what it printed."""
    with (place / "output").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=place,
            env=environment,
        )
        code: int | str
        try:
            code = process.wait(RUNS_S)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(ENDS_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                code = f"alive {ENDS_S:g} s after SIGINT"
    return code, (place / "output").read_text(errors="replace")


def judged(code: int | str, output: str) -> str:
    """What is wrong with the end of a program, or nothing."""
    if code not in (*CODES, *STOPPED):
        return f"exit {code}: {output[-200:]}"
    if "Traceback (most recent" in output:
        return output[output.index("Traceback (most recent") :][-300:]
    if code in CODES and code and not output.strip():  # one that was stopped owes none
        return f"exit code {code} without a word"
    return ""
