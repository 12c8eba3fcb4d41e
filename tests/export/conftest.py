"""Checkpoints made with numpy alone, and the reference checkpoint's bundles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.checkpoint_config import read_dimensions
from onboard_vla.export.tensor_names import expected_shapes
from onboard_vla.export.weights import Linear

REFERENCE = Path(__file__).parents[2] / "world" / "reference"

CONFIG = {
    "model_type": "qwen2_5_vl",
    "tie_word_embeddings": True,
    "video_token_id": 5,
    "vision_start_token_id": 3,
    "vision_end_token_id": 4,
    "eos_token_id": 2,
    "text_config": {
        "vocab_size": 64,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]},
    },
    "vision_config": {
        "depth": 2,
        "hidden_size": 24,
        "num_heads": 2,
        "intermediate_size": 40,
        "in_channels": 3,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 112,
        "fullatt_block_indexes": [1],
        "tokens_per_second": 2,
        "out_hidden_size": 32,
    },
}


class OutlierWeights:
    """Weights with a few channels of every norm made 40 times larger, and the layers after it shrunk to match."""

    def __init__(self, base, model):
        self.base, self.model = base, model
        self.after = {}
        for i in range(model.text.layers):
            at = f"text.layers.{i}"
            self.after |= {f"{at}.self_attn.{p}_proj": f"{at}.input_layernorm" for p in "qkv"}
            self.after |= {f"{at}.mlp.{p}_proj": f"{at}.post_attention_layernorm" for p in ("gate", "up")}

    def factor(self):
        factor = np.ones(self.model.text.hidden_size, np.float32)
        factor[[1, 9, 17, 25]] = 40
        return factor

    def shape(self, name):
        return self.base.shape(name)

    def has_bias(self, name):
        return self.base.has_bias(name)

    def linear(self, name, outputs=None):
        layer = self.base.linear(name, outputs)
        return Linear(layer.weight / self.factor()[:, None], layer.bias) if name in self.after else layer

    def vector(self, name):
        gain = self.base.vector(name)
        return gain * self.factor() if name in set(self.after.values()) else gain


class NumpyCheckpoint:
    """A folder with random tensors in the old naming style; change `tensors` or `config`, then `save`."""

    def __init__(self, folder: Path, dtype=np.float16):
        self.folder, self.config = folder, json.loads(json.dumps(CONFIG))
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config))
        model, tied = read_dimensions(folder)
        rng = np.random.default_rng(0)
        self.tensors = {}
        for name, shape in expected_shapes(model.text, model.vision, tied).items():
            spread, centre = (0.1, 1.0) if "norm" in name or "ln_q" in name else (0.15, 0.0)
            self.tensors[old_style(name)] = (rng.standard_normal(shape) * spread + centre).astype(dtype)

    def save(self) -> Path:
        (self.folder / "config.json").write_text(json.dumps(self.config))
        save_file(self.tensors, self.folder / "model.safetensors")
        return self.folder


def old_style(name: str) -> str:
    return name.replace("text.", "model.", 1).replace("head.weight", "lm_head.weight")


@pytest.fixture(scope="session")
def outlier_weights():
    return OutlierWeights


@pytest.fixture
def numpy_checkpoint(tmp_path):
    return NumpyCheckpoint(tmp_path / "checkpoint")


@pytest.fixture(scope="session")
def reference_checkpoint():
    return REFERENCE


@pytest.fixture(scope="session")
def int8_progress():
    """What the INT8 export reported, in order: (stage, share)."""
    return []


@pytest.fixture(scope="session")
def int8_bundle(tmp_path_factory, int8_progress):
    out = tmp_path_factory.mktemp("bundles") / "int8"
    return export_bundle(REFERENCE, out, progress=lambda stage, share: int8_progress.append((stage, share)))


@pytest.fixture(scope="session")
def fp32_bundle(tmp_path_factory):
    return export_bundle(REFERENCE, tmp_path_factory.mktemp("bundles") / "fp32", precision="fp32")


@pytest.fixture(params=["fp32", "int8"])
def bundle(request):
    return request.getfixturevalue(f"{request.param}_bundle")
