from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from vljepa_lab.training.everyday import networks  # noqa: E402
from vljepa_lab.training.everyday.concepts import concepts, read_table  # noqa: E402
from vljepa_lab.training.everyday.table import class_table, read_synsets  # noqa: E402


def write_graph(folder: Path, order: list[str], kind: str = "float16") -> tuple[Path, Path]:
    """Convolutions of 3 to 2 channels whose kernels hold their number, in the given order."""
    nodes, entries, data = [], [], b""
    for number, name in enumerate(order):
        conv = f"part/{name}"
        nodes.append({"name": conv, "op": "Conv2D", "input": ["x", f"k{number}"]})
        nodes.append({"name": f"a{number}", "op": "Add", "input": [conv, f"b{number}"]})
        for key, shape in ((f"k{number}", (1, 2, 3, 2)), (f"b{number}", (2,))):
            values = np.arange(np.prod(shape)).reshape(shape) + 100 * number
            entry = {"name": key, "shape": list(shape), "dtype": "float32"}
            if kind != "float32":
                entry["quantization"] = {"dtype": kind, "original_dtype": "float32"}
            entries.append(entry)
            data += values.astype(kind).tobytes()
    model = {"modelTopology": {"node": nodes}, "weightsManifest": [{"weights": entries}]}
    (folder / "m.json").write_text(json.dumps(model))
    (folder / "m.bin").write_bytes(data)
    return folder / "m.json", folder / "m.bin"


@pytest.mark.parametrize("kind", ["float16", "float32"])
def test_convolutions_are_read_in_the_graphs_order(tmp_path: Path, kind: str) -> None:
    names = ["convolution_10", "convolution", "convolution_2"]
    found = networks.read_convolutions(*write_graph(tmp_path, names, kind))
    assert [int(bias[0]) for _, bias in found] == [100, 200, 0]
    kernel, bias = found[0]
    assert kernel.shape == (2, 3, 1, 2)
    assert kernel.dtype == bias.dtype == np.float32
    assert kernel[1, 2, 0, 1] == 100 + np.ravel_multi_index((0, 1, 2, 1), (1, 2, 3, 2))


def test_weights_that_do_not_fit_their_graph_are_refused(tmp_path: Path) -> None:
    graph, weights = write_graph(tmp_path, ["convolution"])
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-2])
    with pytest.raises(ValueError, match="ends within 'b0'"):
        networks.read_convolutions(graph, weights)
    weights.write_bytes(whole + b"\0\0")
    with pytest.raises(ValueError, match="its graph names"):
        networks.read_convolutions(graph, weights)
    with pytest.raises(ValueError, match="'k0' is uint8, allowed: float32, float16"):
        networks.read_convolutions(*write_graph(tmp_path, ["convolution"], "uint8"))
    graph, weights = write_graph(tmp_path, ["convolution"])
    graph.write_text(graph.read_text().replace('"Add"', '"Mul"'))
    with pytest.raises(ValueError, match="'part/convolution' has no constant kernel and bias"):
        networks.read_convolutions(graph, weights)


def detector_weights() -> networks.Convolutions:
    """NanoDet-g's 34 shapes, all kernels 0: what comes out are the biases of the last ones."""
    shapes = [(32, 3, 3)]
    for width, pairs in ((32, 1), (64, 2), (128, 2), (256, 3)):
        shapes += [(width, width, 3)]
        for _ in range(pairs):
            shapes += [(width // 2, width, 3), (width // 2, width // 2, 3)]
        shapes += [(width, width, 3)]
    shapes += [(128, within, 1) for within in (128, 256, 512)]
    shapes += [(128, 128, 3), (124, 128, 1)] * 3
    zero = [(np.zeros((o, i, k, k), np.float32), np.zeros(o, np.float32)) for o, i, k in shapes]
    for level, place in enumerate((29, 31, 33)):
        zero[place][1][level] = 1.0 + level
    return zero


def test_the_detector_takes_the_largest_score_of_all_levels() -> None:
    frames = torch.zeros(2, 3, 64, 96)
    found = networks.NanoDet(detector_weights()).eval()(frames)
    assert found.shape == (2, 80)
    assert found[:, :4].tolist() == [[1.0, 2.0, 3.0, 0.0]] * 2
    with pytest.raises(ValueError, match="1 convolutions are left over"):
        networks.NanoDet([*detector_weights(), detector_weights()[0]])


def test_a_folded_convolution_is_the_convolution_and_its_normalisation() -> None:
    torch.manual_seed(0)
    conv, norm = torch.nn.Conv2d(4, 6, 3, 2, bias=False), torch.nn.BatchNorm2d(6, eps=1e-3)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2.0)
    torch.nn.init.normal_(norm.weight)
    state = {"c.weight": conv.weight, **{f"n.{k}": v for k, v in norm.state_dict().items()}}
    folded = networks._folded(state, "", "c", "n", size=8, stride=2)
    x = torch.randn(1, 4, 8, 8)
    padded = torch.nn.functional.pad(x, (0, 1, 0, 1))  # SAME of TensorFlow: right and below
    torch.testing.assert_close(folded(x), norm.eval()(conv(padded)))


def test_wordnet_gives_words_and_what_is_above(tmp_path: Path) -> None:
    file = tmp_path / "data.noun"
    file.write_text(
        "  1 a licence\n"
        "00000001 03 n 01 entity 0 000 | all\n"
        "00000002 03 n 02 dish 0 plate 0 001 @ 00000001 n 0000 | a\n"
        "00000003 03 n 01 soup_plate 0 002 @ 00000002 n 0000 ~ 00000001 n 0000 | b\n"
    )
    table = class_table(read_synsets(file), ["n00000003", "n00000002"])
    assert table["synsets"]["00000003"] == ["soup plate"]
    assert table["classes"] == [
        ["00000003", [["00000002", 1], ["00000001", 2]]],
        ["00000002", [["00000001", 1]]],
    ]


def test_the_table_names_every_class() -> None:
    table = read_table()
    asked: list[str] = []

    def encode(texts):  # a direction of its own for each text
        asked.extend(texts)
        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        rows = np.stack([np.random.default_rng(seed).standard_normal(64) for seed in seeds])
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    found = concepts(table, encode)
    assert found.classes.shape == (1000, 64)
    assert found.detected.shape == (80, 64)
    np.testing.assert_allclose(np.linalg.norm(found.classes, axis=1), 1.0, rtol=1e-5)
    assert len(asked) == len(set(asked))
    tabby = encode(["tabby", "sofa"])
    assert found.classes[281] @ tabby[0] > 0.3 > abs(found.classes[281] @ tabby[1])
