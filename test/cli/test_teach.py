"""`vljepa teach` without nodes: from pictures, to another place and back."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from colour_bag import BEGIN, SECOND, write_bag

from vljepa_ros.cli.main import main
from vljepa_ros.resources import kept_by

LIT, DARK = "the lamp is lit", "the lamp is off"


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "home"))
    random = np.random.default_rng(0)
    for name, colour in (("lit", (40, 200, 220)), ("dark", (60, 40, 40))):
        (tmp_path / name).mkdir()
        for i in range(22):
            pixels = np.clip(np.array(colour) + random.normal(0, 9, (48, 64, 3)), 0, 255)
            cv2.imwrite(str(tmp_path / name / f"{i:02}.png"), pixels.astype(np.uint8))
    return tmp_path


def teach(*arguments: object) -> int:
    return main(["teach", *map(str, arguments)])


def test_a_label_is_learned_from_pictures_and_carried_elsewhere(
    pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    both = ("--model", "nano", LIT, "--other", DARK, "--pictures")
    assert teach(*both, pictures / "lit") == 1
    assert f"0 frames show '{DARK}', allowed: 20 or more" in capsys.readouterr().err
    assert teach("--model", "nano", LIT, "--other-pictures", f"{pictures}/dark/*.png") == 0
    output = capsys.readouterr()
    assert f"name {LIT}, other {DARK}, frames 22, other_frames 22, recordings 2" in output.out
    assert "usable True, accuracy None" in output.out
    (pictures / "dark" / "99.png").write_bytes(b"no picture")
    assert teach("--model", "nano", LIT, "--other-pictures", pictures / "dark") == 1
    assert "99.png'" in capsys.readouterr().err
    assert teach(LIT, "--export", pictures / "lit.taught") == 0
    assert teach("--import", pictures / "lit.taught") == 1
    assert (
        "exists already, allowed: a new file, a label with another name" in capsys.readouterr().err
    )
    monkeypatch.setenv("ROS_HOME", str(pictures / "elsewhere"))
    assert teach("--import", pictures / "lit.taught") == 0
    folder = kept_by("/vljepa/perception_node", ".taught")
    assert str(folder).startswith(str(pictures / "elsewhere"))
    assert len(list(folder.iterdir())) == 1
    assert teach("--import", pictures / "lit" / "00.png") == 1
    assert "00.png' holds no taught label" in capsys.readouterr().err


def test_a_label_is_learned_from_times_of_a_bag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROS_HOME", str(tmp_path / "home"))
    bag = write_bag(tmp_path / "bag", [("red", 13.0), ("blue", 13.0)])
    begin = BEGIN // SECOND
    both = (LIT, "--other", DARK, "--bag", bag, "--model", "nano")
    assert teach(*both, "--from", begin, begin + 12, "--other-from", begin + 15, begin + 26) == 0
    assert "frames 22, other_frames 22, recordings 2" in capsys.readouterr().out
    assert teach(*both, "--from", begin - 9, begin - 8) == 1
    assert "no images" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ((), 2, "NAME is missing"),
        ((LIT, "--other", DARK), 2, "--seconds"),
        ((LIT, "--bag", "/no/such"), 2, "--from"),
        ((LIT, "--pictures", "/no/such/*.png"), 2, "no pictures at"),
        ((LIT, "--export", "/no/such/file"), 1, "holds no taught label"),
        ((LIT, "--list", "--forget"), 2, "not allowed with"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    arguments: tuple[str, ...], code: int, says: str, pictures: Path, capsys
) -> None:
    assert teach(*arguments) == code
    assert says in capsys.readouterr().err
