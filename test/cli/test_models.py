"""`vljepa models` and `fetch-model`: short names, and what is said when nothing can be fetched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vljepa_ros.cli.main import main
from vljepa_ros.cli.models import fetch_model, is_installed
from vljepa_ros.models.config import ModelError
from vljepa_ros.resources import catalogue, model_dir

CLIP = "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache, empty; no hub can be reached."""
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("VLJEPA_ROS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "hub"


def in_cache(hub: Path) -> Path:
    """`clip-base`, as a download leaves it; what is in the files does not matter here."""
    folder, ref = hub / CLIP / "snapshots" / "abc", hub / CLIP / "refs" / "main"
    for parent in (folder, ref.parent):
        parent.mkdir(parents=True)
    ref.write_text("abc")
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(model_dir("nano") / name)
    return folder


def test_the_list_says_what_each_model_is_and_what_is_here(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["models", "--json"]) == 0
    listed = {model["name"]: model for model in json.loads(capsys.readouterr().out)}
    assert list(listed) == list(catalogue())
    assert listed["nano"]["installed"]
    assert not listed["siglip2-base"]["installed"]
    assert listed["siglip2-base"]["hub"] == "google/siglip2-base-patch16-224"
    assert main(["models"]) == 0
    printed = capsys.readouterr()
    assert "google/siglip2-base-patch16-naflex @ b53b807d3a2d" in " ".join(printed.out.split())
    assert "vljepa fetch-model NAME" in printed.err


def test_a_short_name_is_as_good_as_an_id(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ModelError, match="download it with: vljepa fetch-model clip-base"):
        model_dir("clip-base")
    folder = in_cache(hub)
    assert model_dir("clip-base") == folder
    assert is_installed("clip-base")
    assert main(["info", "--json", "--model", "clip-base"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(folder)
    (hub / CLIP / "refs" / "v2").write_text("abc")
    assert model_dir("clip-base@v2") == folder


def test_half_a_download_is_not_taken_for_a_model(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = in_cache(hub)
    (folder / "model.safetensors").unlink()
    assert not is_installed("clip-base")
    assert main(["fetch-model", "clip-base"]) == 1
    assert "holds no model.safetensors" in capsys.readouterr().err


def test_without_a_hub_the_error_says_what_was_tried_and_nothing_is_left(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch-model", "siglip2-naflex"]) == 1
    error = capsys.readouterr().err.splitlines()
    assert "about 1.5 GB. Licence: Apache-2.0" in error[0]
    assert error[1].startswith("vljepa fetch-model: 'siglip2-naflex' cannot be fetched: ")
    revision = catalogue()["siglip2-naflex"].revision
    assert f"/google/siglip2-base-patch16-naflex at {revision}. Files" in error[1]
    assert len(error) == 2
    assert not hub.exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("siglip2-bas", "did you mean siglip2-base"),
        ("SigLIP2-base", "did you mean siglip2-base"),
        ("zzz", "a short name of `vljepa models`"),
        ("a/b/c", "allowed: OWNER/NAME"),
        ("", "allowed: OWNER/NAME"),
    ],
)
def test_an_unknown_name_names_those_like_it(
    name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch-model", name]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_revision_takes_the_place_of_the_pinned_one(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def download(name: str, revision: str | None, **_: Any) -> str:
        asked.append((name, revision))
        return "folder"

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    pinned = catalogue()["siglip2-naflex"]
    fetch_model("siglip2-naflex")
    fetch_model("siglip2-naflex", "main")
    fetch_model("siglip2-naflex@v2")
    assert asked == [(pinned.hub, pinned.revision), (pinned.hub, "main"), (pinned.hub, "v2")]
    with pytest.raises(ModelError, match="two revisions: v2 in 'siglip2-naflex@v2', and v3"):
        fetch_model("siglip2-naflex@v2", "v3")


def test_what_comes_with_the_package_is_not_fetched(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fetch-model", "nano"]) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == str(model_dir("nano"))
    assert "nothing to fetch" in printed.err


def test_open_vljepa_is_fetched_and_converted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half a conversion never has the model's name."""
    given: dict[str, Any] = {}

    def convert(checkpoint: Path, out: Path, trunk: Path, **tokenizers: Path) -> Path:
        out.mkdir(parents=True)
        if not given:
            given.update(checkpoint=checkpoint, trunk=trunk, **tokenizers)
            raise ModelError("no such checkpoint")
        return out

    module = "vljepa_ros.models.vl_jepa.convert_open_vljepa.convert_open_vljepa"
    monkeypatch.setattr(module, convert)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **_: f"/hub/{name}")
    with pytest.raises(ModelError, match="vljepa fetch-model open-vljepa makes it"):
        model_dir("open-vljepa")
    assert main(["fetch-model", "open-vljepa"]) == 1
    assert not is_installed("open-vljepa")
    assert list((tmp_path / "cache" / "models").iterdir()) == []
    assert main(["fetch-model", "open-vljepa"]) == 0
    assert is_installed("open-vljepa")
    assert capsys.readouterr().out.strip() == str(model_dir("open-vljepa"))
    assert given == {
        "checkpoint": Path("/hub/cun-bjy/open-vljepa/best.pt"),
        "trunk": Path("/hub/facebook/vjepa2-vitl-fpc64-256"),
        "query_tokenizer": Path("/hub/meta-llama/Llama-3.2-1B/tokenizer.json"),
        "text_tokenizer": Path("/hub/google/embeddinggemma-300m/tokenizer.json"),
    }
