"""Reading checkpoints: every tensor accounted for, every defect one clear line."""

from __future__ import annotations

import json
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.tensor_names import EMBEDDING

GATE = "model.layers.1.mlp.gate_proj.weight"


def test_old_style_names_are_read(numpy_checkpoint):
    checkpoint = Checkpoint(numpy_checkpoint.save())
    expected = numpy_checkpoint.tensors[GATE].astype(np.float32)
    np.testing.assert_array_equal(checkpoint.tensor("text.layers.1.mlp.gate_proj.weight"), expected)


def test_new_style_names_give_the_same_tensors(numpy_checkpoint):
    old = numpy_checkpoint.tensors
    numpy_checkpoint.tensors = {
        f"model.{key}" if key.startswith("visual.") else key.replace("model.", "model.language_model.", 1): value
        for key, value in old.items()
    }
    checkpoint = Checkpoint(numpy_checkpoint.save())
    np.testing.assert_array_equal(checkpoint.tensor("visual.merger.ln_q.weight"), old["visual.merger.ln_q.weight"])
    np.testing.assert_array_equal(checkpoint.tensor(EMBEDDING), old["model.embed_tokens.weight"])


@pytest.mark.parametrize(
    ("dtype", "stored"), [(np.float16, np.float16), (np.float32, np.float32), (ml_dtypes.bfloat16, np.float16)]
)
def test_all_float_types_are_read_and_the_embedding_loses_nothing(numpy_checkpoint, dtype, stored):
    rng = np.random.default_rng(1)
    table = rng.standard_normal((64, 32)).astype(dtype)
    for key, value in numpy_checkpoint.tensors.items():
        numpy_checkpoint.tensors[key] = value.astype(dtype)
    numpy_checkpoint.tensors["model.embed_tokens.weight"] = table
    checkpoint = Checkpoint(numpy_checkpoint.save())
    assert checkpoint.embedding.dtype == stored
    np.testing.assert_array_equal(checkpoint.embedding.astype(np.float32), table.astype(np.float32))


def test_bfloat16_embedding_outside_half_range_stays_float32(numpy_checkpoint):
    table = np.full((64, 32), 1e6, ml_dtypes.bfloat16)
    numpy_checkpoint.tensors["model.embed_tokens.weight"] = table
    assert Checkpoint(numpy_checkpoint.save()).embedding.dtype == np.float32


def test_sharded_checkpoint_equals_single_file(numpy_checkpoint):
    keys = sorted(numpy_checkpoint.tensors)
    numpy_checkpoint.save()
    whole = Checkpoint(numpy_checkpoint.folder).tensor("text.norm.weight")
    (numpy_checkpoint.folder / "model.safetensors").unlink()
    weight_map = {}
    for number, part in enumerate((keys[::2], keys[1::2]), start=1):
        name = f"model-{number:05d}-of-00002.safetensors"
        save_file({key: numpy_checkpoint.tensors[key] for key in part}, numpy_checkpoint.folder / name)
        weight_map |= dict.fromkeys(part, name)
    index = numpy_checkpoint.folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    np.testing.assert_array_equal(Checkpoint(numpy_checkpoint.folder).tensor("text.norm.weight"), whole)
    (numpy_checkpoint.folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="model-00002-of-00002"):
        Checkpoint(numpy_checkpoint.folder)


def test_missing_tensor_is_named_in_one_line(numpy_checkpoint):
    del numpy_checkpoint.tensors[GATE]
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(numpy_checkpoint.save())
    assert "lacks 1 of 56 tensors: model.layers.1.mlp.gate_proj.weight" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_long_lists_of_missing_tensors_are_counted(numpy_checkpoint):
    numpy_checkpoint.tensors = {k: v for k, v in numpy_checkpoint.tensors.items() if not k.startswith("visual.")}
    with pytest.raises(CheckpointError, match=r"lacks 30 of 56 tensors: .* and 22 more"):
        Checkpoint(numpy_checkpoint.save())


def test_unknown_tensor_is_refused_by_its_own_name(numpy_checkpoint):
    numpy_checkpoint.tensors["model.layers.0.lora_A.weight"] = np.zeros((2, 2), np.float32)
    with pytest.raises(CheckpointError, match=r"no place in this model: model\.layers\.0\.lora_A\.weight"):
        Checkpoint(numpy_checkpoint.save())


def test_saved_rotary_buffers_are_ignored(numpy_checkpoint):
    numpy_checkpoint.tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = np.zeros(4, np.float32)
    Checkpoint(numpy_checkpoint.save())


def test_wrong_shape_names_both_shapes(numpy_checkpoint):
    numpy_checkpoint.tensors[GATE] = numpy_checkpoint.tensors[GATE][:, :-1]
    with pytest.raises(CheckpointError, match=r"gate_proj\.weight has shape \(48, 31\), config\.json says \(48, 32\)"):
        Checkpoint(numpy_checkpoint.save())


def test_integer_tensor_is_refused(numpy_checkpoint):
    numpy_checkpoint.tensors[GATE] = np.zeros((48, 32), np.int8)
    with pytest.raises(CheckpointError, match=r"gate_proj\.weight is I8, expected one of F16, BF16, F32"):
        Checkpoint(numpy_checkpoint.save())


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_refused_with_their_number(numpy_checkpoint, value):
    numpy_checkpoint.tensors[GATE][3, :2] = value
    with pytest.raises(CheckpointError, match=r"gate_proj\.weight holds 2 values that are NaN or infinite"):
        Checkpoint(numpy_checkpoint.save()).tensor("text.layers.1.mlp.gate_proj.weight")


def test_untied_head_must_be_there(numpy_checkpoint):
    numpy_checkpoint.config["tie_word_embeddings"] = False
    with pytest.raises(CheckpointError, match=r"tensors: lm_head\.weight"):
        Checkpoint(numpy_checkpoint.save())


def test_tied_head_that_differs_from_the_embedding_is_refused(numpy_checkpoint):
    table = numpy_checkpoint.tensors["model.embed_tokens.weight"]
    numpy_checkpoint.tensors["lm_head.weight"] = table
    Checkpoint(numpy_checkpoint.save())
    numpy_checkpoint.tensors["lm_head.weight"] = table + 1
    with pytest.raises(CheckpointError, match=r"ties the head"):
        Checkpoint(numpy_checkpoint.save())


def test_truncated_file_is_one_clear_line(numpy_checkpoint):
    file = numpy_checkpoint.save() / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        Checkpoint(numpy_checkpoint.folder)


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        (None, "model_type", "qwen3_vl", "model_type is 'qwen3_vl', supported: 'qwen2_5_vl'"),
        ("text_config", "hidden_size", None, "hidden_size must be a positive integer, found None"),
        ("text_config", "num_hidden_layers", "4", "num_hidden_layers must be a positive integer, found '4'"),
        ("text_config", "hidden_act", "gelu", "hidden_act is 'gelu', supported: 'silu'"),
        ("text_config", "use_sliding_window", True, "use_sliding_window is True, supported: False"),
        ("text_config", "rope_parameters", {"rope_theta": 1.0}, "mrope_section must be a list of integers"),
        ("text_config", "rope_parameters", {"rope_type": "yarn"}, "rope_type is 'yarn', supported"),
        ("vision_config", "out_hidden_size", 31, "out_hidden_size is 31, supported: 32"),
        ("vision_config", "fullatt_block_indexes", None, "fullatt_block_indexes must be a list of integers"),
    ],
)
def test_configuration_defects_name_the_field(numpy_checkpoint, section, field, value, message):
    table = numpy_checkpoint.config if section is None else numpy_checkpoint.config[section]
    table[field] = value
    with pytest.raises(CheckpointError) as caught:
        Checkpoint(numpy_checkpoint.save())
    assert message in str(caught.value)


def test_flat_configuration_of_the_hub_is_read(numpy_checkpoint):
    flat = numpy_checkpoint.config
    text = flat.pop("text_config")
    rope = text.pop("rope_parameters")
    flat |= text | {"rope_theta": rope["rope_theta"]}
    flat["rope_scaling"] = {"type": "mrope", "mrope_section": rope["mrope_section"]}
    flat["vision_config"]["in_chans"] = flat["vision_config"].pop("in_channels")
    assert Checkpoint(numpy_checkpoint.save()).model.text.rope_theta == 1e4


def test_folder_without_weights_or_configuration(tmp_path, numpy_checkpoint):
    with pytest.raises(CheckpointError, match=r"config\.json is missing"):
        Checkpoint(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"expected model\.safetensors, "):
        Checkpoint(numpy_checkpoint.folder)


def test_export_needs_neither_torch_nor_transformers(reference_checkpoint, tmp_path):
    code = (
        "import sys; from pathlib import Path; from onboard_vla.export.bundle_writer import export_bundle; "
        "export_bundle(Path(sys.argv[1]), Path(sys.argv[2])); "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, str(reference_checkpoint), str(tmp_path / "bundle")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"
