from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
torch.set_num_threads(1)

from vljepa_lab.training.model_folder_writer import FolderContents, write_model_folder  # noqa: E402
from vljepa_ros.models.vl_jepa.nano_config import (  # noqa: E402
    Architecture,
    FrameSizes,
    PredictorSizes,
    TextSizes,
    WindowSizes,
    YDecoderSizes,
)
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA  # noqa: E402

TEXTS = ["the door opens", "the door closes", "a red mug", "yes", "no"]
VOCABULARY = {"what is happening?": ["the door opens", "the door closes"], "who?": ["yes", "no"]}


def tiny_tokenizer() -> Tokenizer:
    characters = "abcdefghijklmnopqrstuvwxyz?.,' "
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "door", "opens", "closes", "mug"]
    words += [c for c in characters if c != " "] + [f"##{c}" for c in characters if c != " "]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


@dataclass(frozen=True)
class Tiny:
    """A model folder with random weights and the torch model that it was made from."""

    folder: Path
    model: VLJEPA


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    torch.manual_seed(3)
    tokenizer = tiny_tokenizer()
    words = sorted({word for text in TEXTS for word in text.split()})
    model = VLJEPA(
        Architecture(
            dim=16,
            frame=FrameSizes(input_size=32, widths=(8, 8), dim=16, heads=2),
            window=WindowSizes(dim=16, depth=1, heads=2),
            text=TextSizes(
                words=tokenizer.get_vocab_size(),
                dim=24,
                depth=1,
                heads=2,
                hidden=32,
                head_hidden=16,
            ),
            predictor=PredictorSizes(dim=16, depth=2, heads=2),
            y_decoder=YDecoderSizes(words=len(words) + 2, dim=16, depth=2, heads=2, prefix=2),
        )
    ).eval()
    folder = tmp_path_factory.mktemp("models") / "tiny"
    contents = FolderContents("tiny", "what is happening?", VOCABULARY, TEXTS, words)
    write_model_folder(model, tokenizer, contents, folder)
    return Tiny(folder, model)
