"""Weights of the hub in torch modules, with every tensor accounted for.

transformers fills tensors that are missing with random numbers and only logs it; a robot must not
run on those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vljepa_ros.models.config import ModelError
from vljepa_ros.models.weight_files import tensor_shapes

_OLD_BUFFERS = (".position_ids", ".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")
"""Constants that older versions of transformers saved with the weights (openai/clip-* has them)."""
_MOST_NAMES = 5
"""Tensors that a message names of each kind; hundreds may be missing."""


def load_hub_model(model_class: Any, folder: Path, ignore: tuple[str, ...] = ()) -> Any:
    """Load `model_class` from `folder` in fp32, from safetensors only, never from the network.

    Args:
        model_class: One of transformers' models.
        folder: The model in hub format.
        ignore: Prefixes of tensors that only the model or only the file may have.

    Raises:
        ModelError: A tensor is missing, unexpected, of another shape or not finite: the message
            names it. Or the configuration is that of a much larger model.
    """
    import torch

    check_sizes(
        lambda: model_class(model_class.config_class.from_pretrained(folder)),
        tensor_shapes(folder).values(),
        f"'{folder}'",
    )
    try:
        model, report = model_class.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
        )
    except Exception as error:  # safetensors and configurations of wrong types raise many kinds
        raise ModelError(f"'{folder}' cannot be loaded: {error}") from error

    def judged(key: str) -> list[str]:
        return [n for n in report[key] if not n.startswith(ignore or ("\0",))]

    _check(
        f"in '{folder}' do not match its config.json",
        {
            "missing": judged("missing_keys"),
            "wrong shape": [_shapes(name, *both) for name, *both in report["mismatched_keys"]],
            "not in it": [n for n in judged("unexpected_keys") if not n.endswith(_OLD_BUFFERS)],
            "not finite": _not_finite(model.state_dict()),
        },
    )
    return model.eval().requires_grad_(False)


def check_sizes(make: Callable[[], Any], shapes: Iterable[Sequence[int]], which: str) -> None:
    """Check, without allocating it, that a module is no larger than its weights.

    Args:
        make: Builds the torch module.
        shapes: Of the weights.
        which: The model, for messages.

    Raises:
        ModelError: The configuration is invalid, or gives over twice as many parameters.
    """
    import torch

    try:
        with torch.device("meta"):
            needed = sum(tensor.numel() for tensor in make().parameters())
    except ModelError:
        raise
    except Exception as error:  # each impossible size raises another error
        raise ModelError(f"{which}: its configuration gives no model: {error}") from error
    stored = sum(map(math.prod, shapes))
    if needed > 2 * stored + 1_000_000:  # a tied tensor is stored once
        raise ModelError(
            f"{which}: its configuration gives a model of {needed / 1e6:.0f} million parameters, "
            f"its weights have {stored / 1e6:.1f} million; a size is wrong or missing"
        )


def read_tensors(file: Path) -> dict[str, Any]:
    """All tensors of a safetensors file.

    Raises:
        ModelError: It is missing, truncated or no such file.
    """
    from safetensors.torch import load_file

    try:
        return load_file(str(file))
    except Exception as error:  # safetensors raises its own kinds
        raise ModelError(f"weights '{file}' cannot be read: {error}") from error


def fill(module: Any, weights: Mapping[str, Any], source: str) -> None:
    """Copy weights into a module.

    Args:
        module: A torch module.
        weights: Tensors by the names of its state.
        source: Where they come from, for messages.

    Raises:
        ModelError: Missing, unknown, wrongly shaped or infinite tensors; the message names them.
    """
    import torch

    own: dict[str, Any] = module.state_dict()
    shapes = {n: (weights[n].shape, own[n].shape) for n in sorted(set(own) & set(weights))}
    _check(
        f"of {source} do not match its configuration",
        {
            "missing": list(set(own) - set(weights)),
            "not in the model": list(set(weights) - set(own)),
            "wrong shape": [_shapes(n, a, b) for n, (a, b) in shapes.items() if a != b],
            "not finite": _not_finite(weights),
        },
    )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])


def _not_finite(tensors: Mapping[str, Any]) -> list[str]:
    """Names of tensors with NaN or infinite values: their sum shows it."""
    import torch

    return [
        name
        for name, tensor in tensors.items()
        if tensor.is_floating_point() and not bool(tensor.sum(dtype=torch.float64).isfinite())
    ]


def _shapes(name: str, in_file: Sequence[int], in_config: Sequence[int]) -> str:
    return f"{name} (file {tuple(in_file)}, config {tuple(in_config)})"


def _check(which: str, problems: Mapping[str, list[str]]) -> None:
    """Refuse weights with problems: kind -> names of tensors."""
    found = [
        f"{kind}: {', '.join(sorted(names)[:_MOST_NAMES])}"
        + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
        for kind, names in problems.items()
        if names
    ]
    if found:
        raise ModelError(f"the weights {which}; {'; '.join(found)}")
