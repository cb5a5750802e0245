"""The table of `vljepa bench engine`.

error: mean distance of an embedding to fp32's, as a share of the median distance between clips;
labels: share of equal best labels; x torch: times as fast as torch eager in fp32.
"""

from __future__ import annotations

from typing import Any


def table(result: dict[str, Any]) -> str:
    """The rows as text, then operations, the device's peak, and what did not run."""
    heads = ("engine", "frames", "batch", "queries", "encode ms", "embed ms", "whole ms",
             "clips/s", "x torch", "spread", "error", "labels", "of peak", "MiB")  # fmt: skip
    lines = []
    for row in result["rows"]:
        low, high = row["ratio_spread"]
        lines.append((
            row["engine"], row["frames"], row["batch"], row["queries"],
            f"{row['encode_ms']:.2f}", f"{row['embed_ms']:.2f}", f"{row['whole_ms']:.2f}",
            f"{row['clips_per_s']:.1f}", f"{row['ratio']:.2f}", f"{low:.2f}-{high:.2f}",
            f"{row['parity']['error']:.4f}", f"{row['parity']['agreement']:.1%}",
            f"{row['share_of_peak']:.0%}", row["memory_mib"],
        ))  # fmt: skip
    cells = [[str(cell) for cell in line] for line in (heads, *lines)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    text = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    for length, parts in result["gflop"].items():
        costs = ", ".join(f"{part} {cost:.3g} GFLOP" for part, cost in parts.items())
        text.append(f"{length} frames: {costs}")
    peaks = {f"{peak:.0f} GFLOP/s" for peak in result["peak_gflops"].values()}
    text.append(f"matrix peak measured: {', '.join(sorted(peaks))}")
    text += [f"{name} did not run: {why}" for name, why in result["refused"].items()]
    return "\n".join(text)
