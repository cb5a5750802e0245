"""The nano model in int8: its graphs quantised on real clips, as a model folder of its own.

Weights are rounded by channel, activations by the ranges that they take on the clips (static
quantisation, QDQ form). Only X-Encoder and Predictor: texts are embedded once and kept.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.clip_parity import ClipParity, embed_clips, gate_clips, measure_clips
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.sessions import GraphSessions
from vljepa_ros.models.config import ModelConfig, ModelError, load_config
from vljepa_ros.models.vl_jepa.full_sizes import is_full
from vljepa_ros.models.vl_jepa.text import TextTokenizer

__all__ = ["QUANTISED", "write_int8_folder"]

QUANTISED = ("frame", "window", "predictor")
_CALIBRATION = 64
# Not Gemm: the head on one vector costs nothing and would add to the error.
_OPERATIONS = ["Conv", "MatMul"]

Feed = dict[str, NDArray[Any]]


def write_int8_folder(
    config: ModelConfig,
    out: Path,
    clips: NDArray[np.uint8],
    *,
    graphs: Sequence[str] = ("predictor",),
    gated: bool = True,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[Path, ClipParity]:
    """Quantise `graphs` and write `out`, a folder that `load_engine` reads.

    :param clips: [N, T, S, S, 3] uint8 real clips; 64 of them set the ranges, all others (256 are
        needed) are compared with fp32.
    :param gated: whether a model that is not near enough to fp32 is refused; else it is written
        too, for measuring.
    :raises ModelError: another form of model, an unknown graph, too few clips, a folder that is not
        empty, or what is not near enough.
    """
    if config.family != "vl_jepa" or is_full(config) or "frame" not in config.files:
        raise ModelError(
            f"model '{config.name}' cannot be quantised here; allowed: models of nano's form, with "
            "graphs in their folder"
        )
    if unknown := set(graphs) - set(QUANTISED) or (not graphs and {"(none)"}):
        raise ModelError(
            f"unknown graph {', '.join(sorted(unknown))}; allowed: {', '.join(QUANTISED)}"
        )
    size = config.input_size
    expected = (config.clip_frames, size, size, 3)
    if clips.dtype != np.uint8 or clips.shape[1:] != expected:
        raise ModelError(
            f"clips are {clips.dtype} {list(clips.shape)}, allowed: uint8 [N, "
            f"{', '.join(map(str, expected))}]"
        )
    if len(clips) < _CALIBRATION + 2:
        raise ModelError(f"{len(clips)} clips, allowed: {_CALIBRATION + 2} or more")
    if out.exists() and any(out.iterdir()):
        raise ModelError(f"'{out}' is not empty: choose a new folder")
    # Spread over the whole set, not its first scene.
    chosen = np.zeros(len(clips), bool)
    chosen[np.linspace(0, len(clips) - 1, _CALIBRATION).round().astype(int)] = True
    with tempfile.TemporaryDirectory(prefix="vljepa-int8-") as name:
        aside = Path(name) / "model"
        shutil.copytree(config.folder, aside, ignore=shutil.ignore_patterns("demo", "README.md"))
        progress(f"running fp32 on {int(chosen.sum())} clips")
        feeds = _feeds(config, clips[chosen], graphs)
        for graph in graphs:
            progress(f"quantising {graph}")
            _quantise(config.path(graph), aside / config.files[graph], feeds[graph])
        _finish(config, aside)
        parity = _compare(config.folder, aside, clips[~chosen], progress)
        if gated:
            gate_clips(parity, f"int8 of {', '.join(graphs)}")
        _note(aside, graphs, parity)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(aside, out, dirs_exist_ok=True)
    return out, parity


def _compare(
    fp32: Path, int8: Path, clips: NDArray[np.uint8], progress: Callable[[str], None]
) -> ClipParity:
    vectors = []
    labels: dict[str, NDArray[np.float32]] = {}
    for folder in (fp32, int8):
        progress(f"embedding {len(clips)} clips")
        engine = load_engine(folder, "onnxruntime")
        prompts = _prompts(engine.config)
        vectors.append(embed_clips(engine, clips, prompts))
        if not labels:
            labels = {p: engine.encode_text(t) for p, t in engine.config.vocabulary.items()}
        engine.close()
    return measure_clips(vectors[0], vectors[1], labels)


def _prompts(config: ModelConfig) -> list[str]:
    return list(dict.fromkeys([config.default_query, *config.vocabulary]))


def _feeds(
    config: ModelConfig, clips: NDArray[np.uint8], graphs: Sequence[str]
) -> dict[str, list[Feed]]:
    """What each graph is given when fp32 runs on the clips, the Predictor with every prompt."""
    names = ("frame", "window", "predictor", "text_trunk")
    sessions = GraphSessions(config, names)
    tokenizer = TextTokenizer(config.path("tokenizer"))
    queries = []
    for prompt in _prompts(config):
        ids, valid = TextTokenizer.padded(tokenizer.ids([prompt]))
        queries.append(sessions.run("text_trunk", ids, valid)[0])
    found: dict[str, list[Feed]] = {graph: [] for graph in names}
    for number, clip in enumerate(clips):
        features = sessions.run("frame", clip)[0]
        tokens = sessions.run("window", features[None])[0]
        hidden = queries[number % len(queries)]
        valid = np.ones(hidden.shape[:2], np.float32)
        found["frame"].append({"frames": clip})
        found["window"].append({"features": features[None]})
        found["predictor"].append({"tokens": tokens, "query": hidden, "valid": valid})
    sessions.close()
    return {graph: found[graph] for graph in graphs}


def _quantise(source: Path, target: Path, feeds: Sequence[Feed]) -> None:
    try:
        import onnx  # noqa: F401  (onnxruntime's quantiser needs it)
        from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    except ImportError as error:
        raise ModelError(f"int8 needs {error.name}: pip install onnx") from error
    import onnxruntime

    folded = target.with_suffix(".folded.onnx")
    # Stored weights are fp16 or int8 with casts behind them; folded, the quantiser sees weights.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it advises the folding that has been done
    try:
        quantize_static(
            str(folded),
            str(target),
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=_OPERATIONS,
            per_channel=True,
            # Both unsigned: with signed weights, two products overflow the 16 bits that CPUs
            # without VNNI add them in, and seven bits would cost twice the error.
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QUInt8,
            extra_options={"MatMulConstBOnly": True},
        )
    finally:
        logging.disable(before)
    folded.unlink()


class _Reader:
    """What onnxruntime's quantiser reads: one feed after another, then None."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds: Iterator[Feed] = iter(feeds)

    def get_next(self) -> Feed | None:
        return next(self._feeds, None)


def _finish(config: ModelConfig, folder: Path) -> None:
    """The folder's config: its own name, id and hashes; no torch, whose weights are fp32."""
    raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    raw["files"].pop("weights", None)
    raw["name"] = f"{config.name}-int8"
    raw["precision"] = "int8"
    raw["sha256"] = {
        name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in raw["sha256"]
    }
    total = hashlib.sha256("".join(raw["sha256"].values()).encode()).hexdigest()
    raw["model_id"] = f"{raw['name']}-{total[:8]}"
    (folder / "config.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
    load_config(folder)


def _note(folder: Path, graphs: Sequence[str], parity: ClipParity) -> None:
    note: Mapping[str, Any] = {"graphs": list(graphs), "parity": parity.as_json()}
    (folder / "int8.json").write_text(json.dumps(note, indent=1) + "\n", encoding="utf-8")
