"""The paper-sized VL-JEPA: sizes, inputs and outputs of its parts. No torch.

`architecture` of its `config.json`: `form` = `full`; `x_encoder`, `predictor`, `y_encoder`:
configurations in the hub's form (VJEPA2Config, LlamaConfig, Gemma3TextConfig); `query_length`,
`text_length`: most tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vljepa_ros.models.config import ModelConfig, ModelError, read_json, section, size_of
from vljepa_ros.models.parts import Part, Tensor

_DEFAULTS = read_json(Path(__file__).with_name("paper_defaults.json"))
# In the hub's form. The rotary tables are in no checkpoint: with another scaling the weights load
# and the result is wrong.
LLAMA_3_2_1B: dict[str, Any] = _DEFAULTS["LLAMA_3_2_1B"]
EMBEDDING_GEMMA_300M: dict[str, Any] = _DEFAULTS["EMBEDDING_GEMMA_300M"]


@dataclass(frozen=True)
class PaperSizes:
    """Sizes that the runtime needs, from the three hub configurations.

    Attributes:
        crop: Pixels of a frame's side.
        patch: Pixels of a patch's side.
        tubelet: Frames in one token.
        width: Width of a visual token.
        hidden: Width of the Predictor.
        dim: Width of the shared space.
        query_length: Most tokens of a query.
        text_length: Most tokens of a text.
    """

    crop: int
    patch: int
    tubelet: int
    width: int
    hidden: int
    dim: int
    query_length: int
    text_length: int

    @classmethod
    def of(cls, config: ModelConfig) -> PaperSizes:
        """Read and check a configuration.

        Raises:
            ModelError: A missing part, or an image size that the X-Encoder does not take.
        """
        architecture = config.architecture
        missing = [n for n in ("x_encoder", "predictor", "y_encoder") if n not in architecture]
        if missing:
            raise ModelError(f"model '{config.name}': architecture lacks {', '.join(missing)}")
        vision, predictor, text = (
            section(architecture, name) for name in ("x_encoder", "predictor", "y_encoder")
        )
        for part in (vision, predictor, text):
            size_of(part, "num_hidden_layers", 1)
        patch = vision.get("patch_size", 16)
        square = {"patch_size": patch[0] if isinstance(patch, list) and patch else patch}
        sizes = cls(
            crop=size_of(vision, "crop_size", 256),
            patch=size_of(square, "patch_size", 16),
            tubelet=size_of(vision, "tubelet_size", 2),
            width=size_of(vision, "hidden_size", 1024),
            hidden=size_of(predictor, "hidden_size", 2048),
            dim=config.dim,
            query_length=size_of(architecture, "query_length", 64),
            text_length=size_of(architecture, "text_length", 512),
        )
        # transformers accepts other sizes silently and gives every token a wrong position.
        if config.input_size != sizes.crop:
            raise ModelError(
                f"model '{config.name}': input_size is {config.input_size}, "
                f"its X-Encoder takes {sizes.crop} only"
            )
        return sizes

    def tokens(self, frames: int) -> int:
        """Number of visual tokens of a clip."""
        return -(-frames // self.tubelet) * (self.crop // self.patch) ** 2


def paper_parts(config: ModelConfig) -> tuple[Part, ...]:
    """The parts `vision`, `predictor` and `text`; embeddings are not normalised yet."""
    sizes = PaperSizes.of(config)
    # Not "embedding": the exporter gives that name to the look-up inside the text graph.
    embedding = (Tensor("vector", ("batch", sizes.dim)),)
    return (
        Part(
            "vision",
            (Tensor("frames", ("batch", "frames", sizes.crop, sizes.crop, 3), "uint8"),),
            (Tensor("tokens", ("batch", "tokens", sizes.width)),),
        ),
        Part(
            "predictor",
            (
                Tensor("tokens", ("batch", "tokens", sizes.width)),
                Tensor("query", ("batch", "query", sizes.hidden)),
                Tensor("query_mask", ("batch", "query"), "int64"),
            ),
            embedding,
        ),
        Part(
            "text",
            (
                Tensor("input_ids", ("batch", "length"), "int64"),
                Tensor("attention_mask", ("batch", "length"), "int64"),
            ),
            embedding,
        ),
    )
