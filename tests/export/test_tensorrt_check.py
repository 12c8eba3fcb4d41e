"""TensorRT-RTX takes the graphs, in integers where the bundle says so; the census tells or fails loudly."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onboard_vla.core.bundle_manifest import (
    MANIFEST_NAME,
    FileRecord,
    load_manifest,
    sha256_of,
    to_json,
    with_core_hash,
)
from onboard_vla.core.errors import EngineError
from onboard_vla.export.engine_profiles import decode_profile, prefill_profile
from onboard_vla.export.tensorrt_census import census
from onboard_vla.export.tensorrt_check import check_bundle, compile_graph
from onboard_vla.export.weights import vision_linears
from onboard_vla.runtime.context_length import ContextLength

HEAD = b'tensor={ name="w" dims={ 4 4 } type=int8 } '


def program(left: bytes, layer: bytes = b"head/MatMul") -> bytes:
    return (
        HEAD
        + b'sub_tensor={ base="b" dims={ "x" 4 } mem_prop=0 name="a" offset=0 strides={ 4 1 } type='
        + left
        + b' }\nmain {\n fully_connected={ name="head/MatMul_U1" output={"y" } input={"a" "w" "alpha" } m=0 layers="'
        + b"[ONNX Layer: "
        + layer
        + b']\x1f[ONNX Layer: head/DequantizeLinear]" }\n'
    )


def test_types_are_those_defined_before_the_use():
    found = census(program(b"int8") + program(b"half"), ["head"])
    assert found.operands == {"head": (("int8", "int8"), ("half", "int8"))}
    assert found.layers("int8") == frozenset(), "integer in one of two programs is not integer"
    assert census(program(b"int8"), ["head"]).layers("int8") == {"head"}


def test_a_plan_that_does_not_tell_is_an_error():
    with pytest.raises(EngineError, match="names no matrix multiplication"):
        census(b"another compiler's words", ["head"])
    with pytest.raises(EngineError, match=r"does not tell how 1 of 2 layers are computed: text\.x"):
        census(program(b"int8"), ["head", "text.x"])


def test_profiles_agree_with_themselves_and_admit_what_the_runtime_asks_for():
    length = ContextLength(text=381, prompt=1221, capacity=1400)
    for profile in (prefill_profile(length), decode_profile(length)):
        new, past = profile("embeds", (-1, 192)), profile("past_key_0", (-1, 2, 32))
        assert profile("bias", (-1, -1)) == [(n[0], n[0] + p[0]) for n, p in zip(new, past, strict=True)]
        assert all(p[0] % 64 == 0 for p in past)
    assert prefill_profile(length)("embeds", (-1, 192)) == [(1, 192), (840, 192), (1400, 192)]
    assert decode_profile(length)("past_key_0", (-1, 2, 32)) == [(0, 2, 32), (1280, 2, 32), (1408, 2, 32)]


@pytest.mark.slow
def test_every_graph_of_an_int8_bundle_compiles_with_its_layers_in_integers(int8_bundle):
    pytest.importorskip("tensorrt_rtx")
    compiled = check_bundle(int8_bundle)
    assert {item.graph for item in compiled} == {file.name for file in int8_bundle.glob("*.onnx")}
    for item in compiled:
        assert (item.kind, item.found) == ("int8", item.expected), item.graph
        assert item.expected > 0


def test_control_a_float_graph_has_no_integer_layer(fp32_bundle):
    pytest.importorskip("tensorrt_rtx")
    plan, _ = compile_graph(fp32_bundle / "vision_4x4.onnx", [lambda _, shape: [(n, *shape[1:]) for n in (1, 2, 12)]])
    found = census(plan, ["visual.merger.mlp.2", "visual.blocks.0.mlp.up_proj"])
    assert found.layers("int8") == frozenset()
    assert {kind for pairs in found.operands.values() for pair in pairs for kind in pair} == {"float"}


def test_control_a_graph_that_the_compiler_refuses_is_one_line(int8_bundle, tmp_path):
    pytest.importorskip("tensorrt_rtx")
    model = onnx.load(int8_bundle / "vision_4x4.onnx")
    zero = next(tensor for tensor in model.graph.initializer if tensor.name == "zero_point")
    zero.CopyFrom(numpy_helper.from_array(np.array(3, np.int8), "zero_point"))
    onnx.save(model, tmp_path / "shifted.onnx")
    with pytest.raises(EngineError, match=r"shifted\.onnx: the compiler"):
        compile_graph(tmp_path / "shifted.onnx", [lambda _, shape: [(n, *shape[1:]) for n in (1, 2, 12)]])


def test_a_layer_in_another_type_than_the_bundle_says_is_refused(int8_bundle, fp32_bundle, tmp_path):
    """A float32 graph in the place of an INT8 one: all is as the manifest says, but what is multiplied."""
    pytest.importorskip("tensorrt_rtx")
    bundle, manifest = tmp_path / "bundle", load_manifest(int8_bundle)
    name = manifest.cameras[0].vision_graph
    shutil.copytree(int8_bundle, bundle)
    shutil.copyfile(fp32_bundle / name, bundle / name)
    record = FileRecord(sha256_of(bundle / name), (bundle / name).stat().st_size)
    (bundle / MANIFEST_NAME).write_text(
        to_json(with_core_hash(replace(manifest, files={**manifest.files, name: record})))
    )
    kept = manifest.calibration["fallbacks"]
    count = sum(layer not in kept for layer in vision_linears(manifest.model.vision.depth))
    with pytest.raises(EngineError, match=f"{name}: .* {count} of {count} layers in another type than int8: "):
        check_bundle(bundle)
