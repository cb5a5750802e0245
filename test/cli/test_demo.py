"""`vljepa demo` as a user runs it, with output redirected, on the shipped model and clip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from vljepa_ros.resources import model_dir

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.timeout(300),  # starting a program takes long on a busy machine
    pytest.mark.usefixtures("domain"),
]


def demo(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    options = ["--domain", os.environ["ROS_DOMAIN_ID"], *arguments]
    return subprocess.run(
        [sys.executable, "-m", "vljepa_ros.cli.main", "demo", *options],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=ROOT,
        env={**os.environ, **environment},
        check=False,
    )


def test_a_short_demo_ends_with_0_and_leaves_its_files(tmp_path: Path):
    result = demo("--seconds", "8", "--out", str(tmp_path / "out"), NO_COLOR="1")
    assert result.returncode == 0, result.stderr + result.stdout
    assert "\x1b" not in result.stdout
    assert "says: " in result.stdout
    assert "asked is anybody in here?" in result.stdout
    summary = result.stdout[result.stdout.index(" s watched") :]
    order = ["events named rightly", "decodes", "text right", "a constant text", "camera to emb"]
    assert [name for name in order if name in summary] == order
    assert sorted(order, key=summary.index) == order
    events = [
        json.loads(line) for line in (tmp_path / "out" / "events.jsonl").read_text().splitlines()
    ]
    assert events
    assert all(event["text"] and event["camera"] == "front" for event in events)
    picture = cv2.imread(str(tmp_path / "out" / "timeline.png"))
    assert picture.shape[1] >= 1600


def test_a_node_that_fails_ends_the_demo_with_the_reason(tmp_path: Path):
    folder = tmp_path / "nano"
    shutil.copytree(model_dir("nano"), folder)
    weights = max(folder.glob("*.safetensors"), key=lambda file: file.stat().st_size)
    weights.write_bytes(weights.read_bytes()[:-100])
    result = demo("--seconds", "8", "--model", str(folder), "--out", str(tmp_path / "out"))
    assert result.returncode == 1
    assert "damaged" in result.stderr
    assert weights.name in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("out", ["file/out", "folder"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, out: str):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder" / "events.jsonl").mkdir(parents=True)
    result = demo("--seconds", "1", "--out", str(tmp_path / out))
    assert result.returncode == 1
    assert "--out" in result.stderr
    assert not result.stdout  # nothing was started
