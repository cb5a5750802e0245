"""Several processes train one model; devices and precisions that do not exist are refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import vljepa_ros
from vljepa_lab.training.distributed import DistributedContext
from vljepa_ros.resources import model_dir

TWO = r"""
import os, sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from tokenizers import Tokenizer
from vljepa_ros.models.vl_jepa.nano_config import *
from vljepa_ros.models.vl_jepa.nano_text import TextTokenizer
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA
from vljepa_lab.training.dense import DenseConfig, train_dense
from vljepa_lab.training.joint import JointConfig, WindowTraining
from vljepa_lab.training.loop import RunContext
from vljepa_lab.training.distributed import DistributedContext
from vljepa_lab.training.loop import Clock
from vljepa_lab.training.store import SceneStore
from vljepa_lab.training.text_trunk import TextTable

shards, run, tokenizer = map(Path, sys.argv[1:4])
machine = DistributedContext.here("cpu", "bf16")
torch.manual_seed(machine.rank)  # other weights in each process: the first one's must win
model = VLJEPA(Architecture(
    frame=FrameSizes(widths=(8, 8), residual=(0, 0), dim=16, heads=2),
    window=WindowSizes(dim=16, depth=1, heads=2),
    text=TextSizes(words=Tokenizer.from_file(str(tokenizer)).get_vocab_size(), depth=1, dim=48,
                   heads=2, hidden=48),
    predictor=PredictorSizes(dim=16, depth=1, heads=2),
))
torch.manual_seed(0)
for p in model.text_trunk.parameters():
    torch.nn.init.normal_(p, 0, 0.1)
store, none = SceneStore([shards]), SceneStore([run / "none"])
store.refresh()
context = RunContext(run, machine, Clock())
train_dense(model, store, none, DenseConfig(minutes=0.01, batch=4, warmup=1), context)
table = TextTable(model.text_trunk, TextTokenizer(tokenizer))
time.sleep(machine.rank)  # clocks differ: when to save must be the first one's decision
WindowTraining(model, table, context, dict).joint(store, JointConfig(
    minutes=0.04, scenes=2, questions=2, warmup=1, save_every=0.005))
trained = (model.frame, model.window, model.predictor, model.text_head)
weights = [p.detach().double().sum() for part in trained for p in part.parameters()]
mine = torch.stack(weights)
first = machine.agreed(*mine.tolist())
assert mine.tolist() == list(first), "the processes differ"
# One write a line: torchrun's processes share one unbuffered stream.
os.write(1, f"same {machine.rank} {machine.processes}\n".encode())
machine.close()
"""


@pytest.mark.timeout(600)
def test_two_processes_end_with_one_model(shards: Path, tmp_path: Path) -> None:
    root = Path(vljepa_ros.__file__).parents[1]
    path = f"{root}{os.pathsep}{root / 'lab'}"
    frames = np.load(shards / "shard_00000.npy")
    np.save(shards / "shard_00000.npy", frames.repeat(4, 2).repeat(4, 3))
    script = tmp_path / "two.py"
    script.write_text(TWO)
    tokenizer = model_dir("nano") / "tokenizer.json"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *(str(script), str(shards), str(tmp_path), str(tokenizer)),
        ],
        capture_output=True,
        text=True,
        timeout=580,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "same 0 2" in done.stdout
    assert "same 1 2" in done.stdout
    assert (tmp_path / "joint.pt").is_file()


def test_one_process_needs_nothing() -> None:
    machine = DistributedContext.here("cpu")
    assert (machine.first, machine.processes, machine.bf16) == (True, 1, False)
    assert machine.agreed(1.5, 2.0) == (1.5, 2.0)
    layer = torch.nn.Linear(2, 2)
    layer(torch.ones(1, 2)).sum().backward()
    before = layer.weight.grad.clone()
    machine.average_gradients(layer.parameters())
    torch.testing.assert_close(layer.weight.grad, before)
    machine.close()


@pytest.mark.parametrize(
    ("device", "precision", "said"),
    [("tpu", "auto", "allowed are auto, cpu, cuda"), ("cpu", "int8", "allowed are auto, fp32")],
)
def test_what_does_not_exist_is_refused(device: str, precision: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DistributedContext.here(device, precision)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="torch finds no GPU here"):
        DistributedContext.here("cuda")
