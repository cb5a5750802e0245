"""Qwen2.5-VL from a folder in hub format: the clip as a video, the question in its chat form."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.hub_weights import load_hub_model
from vljepa_ros.models.preprocessing import normalise_frames
from vljepa_ros.models.token_vlm.protocol import VlmTokenizer

_BEFORE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>"
)
_AFTER = "<|vision_end|>{}<|im_end|>\n<|im_start|>assistant\n"


def video_patches(
    pixels: NDArray[np.float32], patch: int, merge: int, together: int
) -> NDArray[np.float32]:
    """[T, 3, S, S] to rows [T/together * (S/patch)^2, 3 * together * patch^2].

    Rows are in the order of the merged cells: the merge x merge patches of a cell lie together.
    """
    t, c, size, _ = pixels.shape
    n = size // patch
    cut = pixels.reshape(
        t // together, together, c, n // merge, merge, patch, n // merge, merge, patch
    )
    rows = cut.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return np.ascontiguousarray(rows.reshape(t // together * n * n, c * together * patch * patch))


class QwenVlm:
    """See `TokenVlm`."""

    def __init__(self, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
        """Load.

        Raises:
            ModelError: Weights that do not match, or an image size its patches do not divide.
        """
        from transformers import Qwen2_5_VLForConditionalGeneration

        self._config = config
        self._model: Any = load_hub_model(Qwen2_5_VLForConditionalGeneration, config.folder).to(
            device=device, dtype=dtype
        )
        vision = self._model.config.vision_config
        self._patch, self._merge = vision.patch_size, vision.spatial_merge_size
        self._together = vision.temporal_patch_size
        cell = self._patch * self._merge
        if config.input_size % cell:
            raise ModelError(
                f"model '{config.name}': input_size is {config.input_size}, "
                f"allowed: multiples of {cell}"
            )
        self._side = config.input_size // self._patch
        self.tokenizer = VlmTokenizer(config, config.path("tokenizer"))
        self.end = self.tokenizer.id_of("<|im_end|>")
        self._video = int(self._model.config.video_token_id)

    def encode_image(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Video features [T/2 * (S/28)^2, D]; an odd clip keeps its newest frame twice."""
        missing = -len(frames) % self._together
        frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
        pixels = normalise_frames(frames, self._config.preprocessing)
        rows = video_patches(pixels, self._patch, self._merge, self._together)
        with torch.inference_mode():
            found = self._model.model.get_video_features(
                torch.from_numpy(rows).to(self._model.device, self._model.dtype),
                self._grid(len(frames) // self._together),
            )
            return np.asarray(torch.cat(tuple(found.pooler_output)).float().cpu().numpy())

    def prefill(self, tokens: NDArray[np.float32], prompt: str) -> tuple[Any, Any, int]:
        """Prompt on visual tokens [N, D]: logits [words], cache, position."""
        model = self._model
        before, after = self.tokenizer.ids(_BEFORE), self.tokenizer.ids(_AFTER.format(prompt))
        count = len(tokens)
        row = [*before, *[self._video] * count, *after]
        kinds = [0] * len(before) + [2] * count + [0] * len(after)
        device = model.device
        ids = torch.tensor([row], device=device)
        steps = count // (self._side // self._merge) ** 2
        seconds = self._config.frame_interval * self._together
        with torch.inference_mode():
            embedded = model.get_input_embeddings()(ids).clone()
            visual = torch.from_numpy(np.ascontiguousarray(tokens)).to(device, embedded.dtype)
            embedded[0, len(before) : len(before) + count] = visual
            positions, delta = model.model.get_rope_index(
                ids,
                mm_token_type_ids=torch.tensor([kinds], device=device),
                video_grid_thw=self._grid(steps),
                second_per_grid_ts=torch.tensor([seconds], device=device),
            )
            out = model.model.language_model(
                inputs_embeds=embedded, position_ids=positions, use_cache=True
            )
            logits = model.lm_head(out.last_hidden_state[:, -1])[0].float()
        return logits, out.past_key_values, len(row) + int(delta[0, 0])

    def decode(self, ids: torch.Tensor, cache: Any, position: int) -> torch.Tensor:
        """Logits [B, L, words] of ids [B, L]; a text's position is the same on all three axes."""
        model = self._model
        ids = ids.to(model.device)
        steps = torch.arange(position, position + ids.shape[1], device=model.device)
        with torch.inference_mode():
            out = model.model.language_model(
                inputs_embeds=model.get_input_embeddings()(ids),
                position_ids=steps.view(1, 1, -1).expand(3, ids.shape[0], -1),
                past_key_values=cache,
                use_cache=True,
            )
            logits: torch.Tensor = model.lm_head(out.last_hidden_state).float()
        return logits

    def _grid(self, steps: int) -> torch.Tensor:
        return torch.tensor([[steps, self._side, self._side]], device=self._model.device)
