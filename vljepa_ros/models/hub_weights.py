"""A transformers model from a local folder, with every tensor accounted for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vljepa_ros.models.config import ModelError
from vljepa_ros.models.hub_folder import weights_files

# Constants that older versions of transformers saved with the weights (openai/clip-* has them).
_OLD_BUFFERS = (".position_ids", ".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")


def load_hub_model(model_class: Any, folder: Path, ignore: tuple[str, ...] = ()) -> Any:
    """Load `model_class` from `folder` in fp32, from safetensors only, never from the network.

    transformers fills tensors that are missing with random numbers and only logs it; a robot must
    not run on those.

    :param ignore: prefixes of tensors that only the model or only the file may have.
    :raises ModelError: a tensor is missing, unexpected or of another shape: the message names it.
    """
    import torch

    weights_files(folder)
    try:
        model, report = model_class.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ModelError(f"'{folder}' cannot be loaded: {error}") from error
    missing = sorted(n for n in report["missing_keys"] if not n.startswith(ignore or ("\0",)))
    wrong = sorted(
        f"{n} (file {tuple(a)}, config {tuple(b)})" for n, a, b in report["mismatched_keys"]
    )
    extra = sorted(
        n
        for n in report["unexpected_keys"]
        if not n.startswith(ignore or ("\0",)) and not n.endswith(_OLD_BUFFERS)
    )
    problems = [
        f"{what}: {', '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''}"
        for what, names in (("missing", missing), ("wrong shape", wrong), ("not in it", extra))
        if names
    ]
    if problems:
        raise ModelError(
            f"the weights in '{folder}' do not match its config.json; {'; '.join(problems)}"
        )
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model


def fill(module: Any, weights: Mapping[str, Any], source: str) -> None:
    """Copy weights into a module, every tensor accounted for.

    :raises ModelError: missing, unknown or wrongly shaped tensors; the message names them.
    """
    import torch

    own: dict[str, Any] = module.state_dict()
    problems = []
    for what, names in (
        ("missing", sorted(set(own) - set(weights))),
        ("not in the model", sorted(set(weights) - set(own))),
        (
            "wrong shape",
            [
                f"{n} (file {tuple(weights[n].shape)}, config {tuple(own[n].shape)})"
                for n in sorted(set(own) & set(weights))
                if own[n].shape != weights[n].shape
            ],
        ),
    ):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            problems.append(f"{what}: {', '.join(names[:5])}{more}")
    if problems:
        raise ModelError(
            f"the weights of {source} do not match its configuration; {'; '.join(problems)}"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])
