"""InstructBLIP with a decoder-only language model, from a folder in hub format.

It was trained on single images: of a clip it sees the newest frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.hub_weights import load_hub_model
from vljepa_ros.models.preprocessing import normalise_frames
from vljepa_ros.models.token_vlm.protocol import VlmTokenizer


class InstructBlipVlm:
    """See `TokenVlm`. The Q-Former reads the prompt, so it runs again for every question."""

    def __init__(self, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
        """Load.

        Raises:
            ModelError: Weights that do not match, or a language model with an encoder.
        """
        from transformers import InstructBlipForConditionalGeneration

        self._config = config
        self._model: Any = load_hub_model(InstructBlipForConditionalGeneration, config.folder).to(
            device=device, dtype=dtype
        )
        if not self._model.config.use_decoder_only_language_model:
            raise ModelError(
                f"model '{config.name}' has a {self._model.config.text_config.model_type} language "
                "model; allowed: decoder-only ones (InstructBLIP-Vicuna)"
            )
        self.tokenizer = VlmTokenizer(config, config.path("tokenizer"))
        self._instruction = VlmTokenizer(
            config, config.folder / "qformer_tokenizer" / "tokenizer.json"
        )
        self.end = self.tokenizer.id_of("</s>", "<|endoftext|>")

    def encode_image(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """States of the image tower [patches + 1, D] for the newest frame."""
        pixels = normalise_frames(frames[-1:], self._config.preprocessing)
        with torch.inference_mode():
            found = self._model.vision_model(
                pixel_values=torch.from_numpy(pixels).to(self._model.device, self._model.dtype)
            )
            return np.asarray(found.last_hidden_state[0].float().cpu().numpy())

    def prefill(self, tokens: NDArray[np.float32], prompt: str) -> tuple[Any, Any, int]:
        """Q-Former and prompt on the image's tokens [N, D]; logits [words], cache, position."""
        model = self._model
        device = model.device
        with torch.inference_mode():
            image = torch.from_numpy(np.ascontiguousarray(tokens)).to(device, model.dtype)[None]
            asked = torch.tensor([self._instruction.ids(prompt, special=True)], device=device)
            queries = model.query_tokens.to(image.dtype)
            length = queries.shape[1]
            formed = model.qformer(
                input_ids=asked,
                attention_mask=torch.ones(1, length + asked.shape[1], device=device).long(),
                query_embeds=queries,
                encoder_hidden_states=image,
                encoder_attention_mask=torch.ones(image.shape[:2], device=device).long(),
            )
            visual = model.language_projection(formed[0][:, :length])
            ids = torch.tensor([self.tokenizer.ids(prompt, special=True)], device=device)
            words = model.language_model.get_input_embeddings()(ids)
            embedded = torch.cat((visual.to(words.dtype), words), dim=1)
            out = model.language_model(inputs_embeds=embedded, use_cache=True)
        return out.logits[0, -1].float(), out.past_key_values, embedded.shape[1]

    def decode(self, ids: torch.Tensor, cache: Any, position: int) -> torch.Tensor:
        """Logits [B, L, words] of ids [B, L] behind the cache."""
        model = self._model.language_model
        ids = ids.to(self._model.device)
        steps = torch.arange(position, position + ids.shape[1], device=ids.device)[None]
        with torch.inference_mode():
            out = model(
                input_ids=ids,
                position_ids=steps.expand(ids.shape[0], -1),
                past_key_values=cache,
                use_cache=True,
            )
        logits: torch.Tensor = out.logits.float()
        return logits
