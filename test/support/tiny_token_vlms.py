"""Qwen2.5-VL and InstructBLIP in exactly the hub's format, at tiny sizes."""

from __future__ import annotations

from pathlib import Path

import torch
import transformers
from tiny_hub import save_tokenizer, set_field, word_tokenizer
from tokenizers import pre_tokenizers

CHAT = ("<pad>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
        "<|video_pad|>", "<|image_pad|>", "system", "user", "assistant", "You", "helpful",
        "\n")  # fmt: skip


def tiny_qwen(folder: Path, seed: int = 4) -> Path:
    torch.manual_seed(seed)
    specials = [*CHAT, "<unk>"]
    text = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}, "rope_theta": 1e6,
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 56,
        "fullatt_block_indexes": [1], "tokens_per_second": 2,
    }  # fmt: skip
    config = transformers.Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, vision_start_token_id=3, vision_end_token_id=4,
        video_token_id=5, image_token_id=6, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer = word_tokenizer(specials, "", lower=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    tokenizer.add_special_tokens(list(CHAT[:7]))
    save_tokenizer(folder, tokenizer, pad_token="<pad>", eos_token="<|im_end|>", unk_token="<unk>")
    transformers.Qwen2VLImageProcessorPil(patch_size=14, merge_size=2).save_pretrained(folder)
    set_field(folder, "vljepa.json", input_size=56, clip_frames=4, frame_interval=0.5)
    return folder


def tiny_instructblip(folder: Path, seed: int = 5) -> Path:
    torch.manual_seed(seed)
    text = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=128,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # fmt: skip
    qformer = {"vocab_size": 64, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
               "num_attention_heads": 2, "cross_attention_frequency": 1}  # fmt: skip
    config = transformers.InstructBlipConfig(
        vision_config=vision, qformer_config=qformer, text_config=text.to_dict(),
        num_query_tokens=4, image_token_index=63,
    )  # fmt: skip
    model = transformers.InstructBlipForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    save_tokenizer(folder, word_tokenizer(["<pad>", "<s>", "</s>", "<unk>"], "", "<s>"),
                   pad_token="<pad>", bos_token="<s>", eos_token="</s>",
                   unk_token="<unk>")  # fmt: skip
    save_tokenizer(folder / "qformer_tokenizer",
                   word_tokenizer(["[PAD]", "[CLS]", "[SEP]", "[UNK]"], "[SEP]", "[CLS]"),
                   pad_token="[PAD]", unk_token="[UNK]")  # fmt: skip
    transformers.BlipImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder
