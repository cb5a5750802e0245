"""The package's files are found from the source tree and from an installed wheel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from vljepa_ros.models.config import ModelError
from vljepa_ros.resources import catalogue, choose_model, model_dir, model_names, share_dir

ROOT = Path(__file__).resolve().parents[1]


def test_source_tree_is_found() -> None:
    assert share_dir() == ROOT
    assert "nano" in model_names()
    assert model_dir("nano") == ROOT / "models" / "nano"


@pytest.mark.parametrize(
    "name", ["", "nanno", "nano/config.json", "no/such/folder", "x" * 5000, "~nobody_", "\0"]
)
def test_unknown_model_names_the_allowed_ones(name: str) -> None:
    with pytest.raises(ModelError, match="nano"):
        model_dir(name)


@pytest.mark.parametrize(
    ("model", "source", "chosen", "why"),
    [
        ("auto", "demo", "nano", "source demo is the shipped clip"),
        ("auto", "world", "nano", "source world is the simulated world"),
        ("auto", "none", "everyday", "real cameras (model:=auto). Larger ones"),
        ("auto", "0", "everyday", "siglip2-base"),
        ("nano", "0", "nano", "as asked for"),
        ("", "0", "", "as in the parameter files"),
    ],
)
def test_auto_is_a_model_for_what_the_cameras_show(
    model: str, source: str, chosen: str, why: str
) -> None:
    found, line = choose_model(model, source)
    assert found == chosen
    assert why in line


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("/**:\n  perception_node:\n    ros__parameters: {model: clip-base}", True),
        ("/**/perception_node:\n  ros__parameters:\n    model: auto", False),
        ("/**:\n  ros__parameters: {max_rate: 1.0, model: ''}", False),
        ("model: [", False),
        ("\0", False),
    ],
)
def test_auto_leaves_a_model_to_the_parameter_file_that_names_one(
    tmp_path: Path, text: str, named: bool
) -> None:
    file = tmp_path / "robot.yaml"
    file.write_text(text)
    model, line = choose_model("auto", "demo", [file])
    assert (model, str(file) in line) == (("", True) if named else ("nano", False))


def test_a_shipped_model_that_is_missing_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "models" / "nano", tmp_path / "models" / "nano")
    assert "everyday" in catalogue()  # read before the package looks elsewhere
    monkeypatch.setattr("vljepa_ros.resources.share_dir", lambda: tmp_path)
    with pytest.raises(ModelError, match=r"model 'everyday' belongs .*start with model:=nano"):
        model_dir("auto")


@pytest.mark.timeout(300)
def test_wheel_carries_models_interfaces_and_command(tmp_path: Path) -> None:
    """Build the wheel as a user would, install it elsewhere, load nano from there."""
    # What stands in PYTHONPATH would hide the wheel's package.
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)],
        check=True,
    )
    (wheel,) = tmp_path.glob("vljepa_ros-*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "bin" / "python"
    install = ["-m", "pip", "--python", str(python), "install", "-q", "--no-deps", str(wheel)]
    subprocess.run([sys.executable, *install], check=True, env=env)
    # The dependencies are those of the running environment; the package is the wheel's.
    (site,) = venv.glob("lib/python3*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    code = (
        "from vljepa_ros.resources import catalogue, share_dir, model_dir\n"
        "from vljepa_ros.engines.load import load_engine\n"
        "from vljepa_ros.ros import interface\n"
        "import vljepa_ros\n"
        "print(vljepa_ros.__file__, share_dir())\n"
        "load_engine(model_dir('nano')).close()\n"
        "interface('vljepa_ros/msg/SceneEvent')()\n"
        "assert catalogue()['siglip2-base'].hub\n"
        "assert (share_dir() / 'launch' / 'perception.launch.py').is_file()\n"
        "assert (share_dir() / 'config' / 'perception.yaml').is_file()\n"
    )
    done = subprocess.run(
        [str(python), "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(venv)) == 2, done.stdout
    help_text = subprocess.run(
        [str(venv / "bin" / "vljepa"), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )
    assert help_text.returncode == 0
    assert "demo" in help_text.stdout
    train = subprocess.run(
        [str(venv / "bin" / "vljepa"), "train", "nano"],
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )
    assert train.returncode == 1
    assert "vljepa_lab" in train.stderr
    assert train.stderr.count("\n") == 1
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert not any("lab" in Path(name).parts or "vljepa_lab" in name for name in names)
