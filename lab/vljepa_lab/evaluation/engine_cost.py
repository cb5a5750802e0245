"""What a model's parts cost: operations counted, the device's peak measured."""

from __future__ import annotations

import time

import numpy as np

from vljepa_ros.engines.protocol import Clip, Engine


def count_flops(engine: Engine, frames: int) -> dict[str, int]:
    """Operations (two for each multiply-add) of one clip through `encode` and one query through
    `embed`.

    Counted by torch while the torch engine runs; attention, matrix products and convolutions count.
    """
    from torch.utils.flop_counter import FlopCounterMode

    config = engine.config
    size = config.input_size
    clip = Clip(np.zeros((frames, size, size, 3), np.uint8), tuple(range(frames)))
    query = config.default_query
    if "query_tokenizer" not in config.files and config.architecture.get("form") == "full":
        query = "ids: " + " ".join(str(i) for i in range(1, 9))
    with FlopCounterMode(display=False) as first:
        tokens = engine.encode([clip], [None])[0].tokens
    with FlopCounterMode(display=False) as second:
        engine.embed([tokens], query)
    return {"encode": int(first.get_total_flops()), "embed": int(second.get_total_flops())}


def peak_flops(device: str, precision: str) -> float:
    """Operations per second of the best of several square matrix products."""
    import torch

    types = {"bf16": torch.bfloat16, "fp16": torch.float16}
    on_gpu = device.startswith("cuda")
    dtype = types.get(precision, torch.float32)
    best = 0.0
    # A CPU without units for half precision is faster in fp32: the peak is the better of both.
    for kind in {dtype, torch.float32}:
        for size in (4096, 8192) if on_gpu else (384, 768):
            a = torch.randn(size, size, device=device).to(kind)
            for _ in range(8):
                if on_gpu:
                    torch.cuda.synchronize()
                begin = time.perf_counter()
                a @ a
                if on_gpu:
                    torch.cuda.synchronize()
                best = max(best, 2.0 * size**3 / (time.perf_counter() - begin))
    return best
