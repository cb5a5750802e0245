"""The model folder of a run with its weights in fp32: what rounding is judged against.

`python -m vljepa_lab.training.export_fp32 --run RUN --model FOLDER --out OTHER`, then
`vljepa eval --model FOLDER --beside OTHER --beside-engine torch`. Only the torch engine runs it:
graphs point into the rounded file, so they are left out. Needs torch.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save_file

from vljepa_lab.training.graph_writer import WEIGHTS
from vljepa_lab.training.loop import load_checkpoint, load_into
from vljepa_lab.training.model_folder_writer import sha256_of
from vljepa_lab.training.nano_config import TRAINED
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.vl_jepa.nano_config import Architecture
from vljepa_ros.models.vl_jepa.nano_weights import load_model

_PARTS = ("frame", "window", "predictor", "text_head")


def write_unrounded(run: Path, folder: Path, out: Path) -> str:
    """Write `out` and return which checkpoint its weights are of.

    Args:
        run: checkpoints of `vljepa train nano`.
        folder: what was exported from them.
        out: folder to write.

    Raises:
        ModelError: no checkpoint there, or not the one that was exported.
    """
    config = load_config(folder)
    model = load_model(config.path("weights"), Architecture.from_dict(config.architecture))
    shipped = {name: value.clone() for name, value in model.state_dict().items()}
    phase = next((p for p in TRAINED if (run / f"{p}.pt").is_file()), None)
    saved = load_checkpoint(run / f"{phase}.pt")
    if phase is None or saved is None:
        raise ModelError(f"no checkpoint in '{run}'; one of {', '.join(TRAINED)}.pt is expected")
    load_into(saved, {name: getattr(model, name) for name in _PARTS}, partial=True)
    decoder = load_checkpoint(run / "decoder.pt")
    if decoder is not None:
        load_into(decoder, {"y_decoder": model.y_decoder})
    state = {
        name: value.detach().float().contiguous() for name, value in model.state_dict().items()
    }
    for name, value in state.items():
        # fp16 keeps eleven bits: what was rounded differs by a thousandth at most
        limit = 1e-3 * float(shipped[name].abs().max()) + 1e-6
        if float((value - shipped[name]).abs().max()) > limit:
            raise ModelError(
                f"'{folder}' was not exported from {phase}.pt of '{run}': {name} differs"
            )
    out.mkdir(parents=True, exist_ok=True)
    raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    files = {part: file for part, file in raw["files"].items() if not file.endswith(".onnx")}
    for file in files.values():
        shutil.copy(folder / file, out / file)
    save_file(state, str(out / WEIGHTS), metadata={"format": "pt"})
    raw |= {
        "files": files,
        "model_id": f"{raw['model_id']}-fp32",
        "sha256": {file: sha256_of(out / file) for file in files.values()},
    }
    (out / "config.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    return phase


def main(argv: Sequence[str] | None = None) -> int:
    """Command."""
    parser = argparse.ArgumentParser(
        prog="python -m vljepa_lab.training.export_fp32", description=__doc__
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of the checkpoints")
    parser.add_argument("--model", type=Path, required=True, help="folder exported from them")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    try:
        phase = write_unrounded(args.run, args.model, args.out)
    except ModelError as error:
        print(f"unrounded: {error}", file=sys.stderr)
        return 1
    print(f"{args.out}: weights of {phase}.pt in fp32")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
