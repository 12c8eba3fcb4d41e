"""Random checkpoints of the real architecture, made by transformers itself."""

from __future__ import annotations

from pathlib import Path

VOCABULARY = 320


def build(folder: Path, *, tied: bool = True, dtype: str = "float16", seed: int = 0):
    """Save a random Qwen2.5-VL and return the float32 model with the weights that the file holds, in eval mode."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    torch.manual_seed(seed)
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-6,
            "max_position_embeddings": 2048,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
            "bos_token_id": None,
            "eos_token_id": 2,
            "pad_token_id": 0,
            "tie_word_embeddings": tied,
        },
        vision_config={
            "depth": 3,
            "hidden_size": 48,
            "num_heads": 3,
            "intermediate_size": 80,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
        },
        tie_word_embeddings=tied,
        video_token_id=5,
        image_token_id=6,
        vision_start_token_id=3,
        vision_end_token_id=4,
    )
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or "ln_q" in name:
                parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
            elif name.endswith("bias"):
                parameter.normal_(0, 0.1)
            else:
                parameter.normal_(0, 0.08)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    # Read back rather than cast back: casting also rounds the rotary frequencies, which no file holds.
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
