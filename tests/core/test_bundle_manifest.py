"""The manifest: strict reading, agreement of its values, hashes."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import (
    FORMAT_VERSION,
    ActionTokens,
    BundleManifest,
    CameraInput,
    FileRecord,
    FrameSelection,
    Generation,
    ModelDimensions,
    SpecialTokens,
    TextDimensions,
    VisionDimensions,
    codebook_hash,
    computed_precision,
    load_manifest,
    to_json,
    verify_files,
    with_core_hash,
)
from onboard_vla.core.errors import BundleError

FILES = (
    "prompt.json",
    "tokenizer.json",
    "codebook.npz",
    "embeddings.npy",
    "language.onnx",
    "vision_4x6.onnx",
    "golden/a.npz",
)


@pytest.fixture
def bundle(tmp_path):
    """A well-formed bundle folder with small files."""
    records = {}
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() * 3)
        records[name] = FileRecord(hashlib.sha256(name.encode() * 3).hexdigest(), 3 * len(name))
    write(tmp_path, manifest(records))
    return tmp_path


def manifest(records):
    text = TextDimensions(32, 2, 4, 2, 8, 48, 100, 1e4, (1, 1, 2), 1e-6)
    vision = VisionDimensions(
        24, 2, 2, 40, 3, 14, 2, 2, 112, (1,), "pil_bicubic", 2.0, 1.0, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2)
    )
    return BundleManifest(
        format_version=FORMAT_VERSION,
        producer="test",
        core_hash="",
        weights_sha256="0" * 64,
        unjudged=(),
        files=records,
        precision={"vision": "int8"},
        model=ModelDimensions("qwen2_5_vl", text, vision),
        cameras=(CameraInput("front", 84, 56, (0.0, 0.0, 1.0, 1.0), 4, 6, "vision_4x6.onnx", None, True, None),),
        frames=FrameSelection(4, 0.5, 4),
        prompt="prompt.json",
        tokenizer="tokenizer.json",
        codebook="codebook.npz",
        embeddings="embeddings.npy",
        language_graph="language.onnx",
        action_head=False,
        vision_reference=None,
        drift_reference=None,
        tokens=SpecialTokens(5, 3, 4, None, (2,)),
        actions=ActionTokens(60, 40, 10, 0.5, "0" * 64),
        generation=Generation(False, 1.0, 0, 1.0, 1.05, 64),
        calibration={},
        parity={"scenes": 4, "nested": {"a": [1, 2]}},
        golden=("golden/a.npz",),
    )


def write(folder, value):
    (folder / "manifest.json").write_text(to_json(with_core_hash(value)))


def edit(folder, path, value, *, rehash=True):
    """Change one field of manifest.json; with `rehash`, as someone would who also knows how to hash."""
    content = json.loads((folder / "manifest.json").read_text())
    *parents, last = path
    table = content
    for key in parents:
        table = table[key]
    if value is KeyError:
        del table[last]
    else:
        table[last] = value
    if rehash:
        rest = {key: item for key, item in content.items() if key != "core_hash"}
        canonical = json.dumps(rest, sort_keys=True, separators=(",", ":"))
        content["core_hash"] = hashlib.sha256(canonical.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(content))


def test_manifest_survives_writing_and_reading(bundle):
    loaded = load_manifest(bundle)
    assert dataclasses.replace(loaded, core_hash="") == manifest(loaded.files)
    verify_files(bundle, loaded)


@pytest.mark.parametrize(
    ("precision", "word"),
    [
        ({"vision": "int8", "language": "int8", "head": "int8", "embeddings": "float16"}, "int8"),
        ({"vision": "int8", "language": "int8", "head": "fp32"}, "vision:int8,language:int8,head:fp32"),
    ],
)
def test_precision_in_one_word_where_all_computed_parts_agree(precision, word):
    assert computed_precision(dataclasses.replace(manifest({}), precision=precision)) == word


def test_core_hash_covers_every_field(bundle):
    edit(bundle, ["generation", "repetition_penalty"], 1.0, rehash=False)
    with pytest.raises(BundleError, match=r"core_hash says [0-9a-f]{64}, its content gives [0-9a-f]{64}"):
        load_manifest(bundle)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["format_version"], 1, "format_version is 1, this build reads 6; export it again"),
        (["format_version"], True, "format_version is True"),
        (["actions", "count"], KeyError, "manifest.actions: lacks count"),
        (["actions", "spare"], 1, "manifest.actions: has unknown fields spare"),
        (["actions", "count"], "40", "manifest.actions.count: expected int, found str '40'"),
        (["actions", "count"], True, "manifest.actions.count: expected int, found bool True"),
        (["actions", "count"], 41, "ids 60 to 100 do not fit in a vocabulary of 100"),
        (["actions", "first_id"], -1, "do not fit in a vocabulary"),
        (["actions", "per_answer"], 0, "per_answer and step_s must be positive"),
        (["frames", "spacing_s"], float("nan"), "manifest.frames.spacing_s: expected float"),
        (["frames", "per_camera"], 3, "does not divide into groups of 2 frames"),
        (["frames", "least_per_camera"], 3, "least_per_camera: expected groups of 2 up to 4, found 3"),
        (["frames", "least_per_camera"], 0, "least_per_camera: expected groups of 2 up to 4, found 0"),
        (["frames", "least_per_camera"], 6, "least_per_camera: expected groups of 2 up to 4, found 6"),
        (["cameras"], [], "expected distinct roles"),
        (["cameras", 0, "grid_h"], 5, "front is 84x56 with a grid of 5x6"),
        (["cameras", 0, "crop"], [0.0, 0.0, 0.0, 1.0], "front has crop (0.0, 0.0, 0.0, 1.0)"),
        (["cameras", 0, "crop"], [0.0, 0.0, 1.0], "manifest.cameras[0].crop: expected 4 entries, found 3"),
        (["cameras", 0, "intrinsics"], [1.0], "front has 1 intrinsics, expected 9"),
        (["cameras", 0, "source_size"], KeyError, "manifest.cameras[0]: lacks source_size"),
        (["cameras", 0, "source_size"], [1920], "manifest.cameras[0].source_size: expected 2 entries, found 1"),
        (["cameras", 0, "source_size"], [1920, 0], "front has source_size (1920, 0), expected pixels"),
        (["cameras", 0, "required"], KeyError, "manifest.cameras[0]: lacks required"),
        (["cameras", 0, "required"], False, "front gives plans their time: expected required"),
        (["cameras", 0, "vision_graph"], "other.onnx", "names 'other.onnx', which manifest.files does not list"),
        (["vision_reference"], "v.npz", "manifest.vision_reference names 'v.npz', which manifest.files does not list"),
        (["drift_reference"], "d.json", "manifest.drift_reference names 'd.json', which manifest.files does not list"),
        (["golden", 0], "golden/b.npz", "manifest.golden[0] names 'golden/b.npz'"),
        (["precision", "vision"], "int4", "expected one of fp32, fp16, int8"),
        (["model", "text", "kv_heads"], 3, "4 heads are no multiple of 3 kv_heads"),
        (["model", "text", "mrope_section"], [1, 1, 1], "must sum to half of head_dim 8"),
        (["model", "text", "layers"], 0, "layers must be positive, found 0"),
        (["model", "vision", "image_std"], [0.1], "image_mean and image_std need 3 values each"),
        (["tokens", "end_of_answer"], [], "manifest.tokens: expected ids below 100"),
        (["tokens", "video_pad"], 100, "manifest.tokens: expected ids below 100"),
        (["generation", "repetition_penalty"], 0.0, "manifest.generation: values out of range"),
        (["files", "../secrets"], {"sha256": "0" * 64, "bytes": 1}, "'../secrets' is no plain relative path"),
        (["files", "/etc/passwd"], {"sha256": "0" * 64, "bytes": 1}, "'/etc/passwd' is no plain relative path"),
        (["files", "manifest.json"], {"sha256": "0" * 64, "bytes": 1}, "'manifest.json' is no plain relative path"),
        (["files", "prompt.json", "sha256"], "abc", "expected a sha256 in hex"),
    ],
)
def test_wrong_fields_are_refused_by_name_and_value(bundle, path, value, message):
    edit(bundle, path, value)
    with pytest.raises(BundleError) as caught:
        load_manifest(bundle)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"format_version": 1}', "\x00"])
def test_damaged_manifest_is_refused(bundle, content):
    (bundle / "manifest.json").write_text(content)
    with pytest.raises(BundleError):
        load_manifest(bundle)


def test_folder_without_manifest_is_no_bundle(tmp_path):
    with pytest.raises(BundleError, match=r"is no bundle: it has no manifest\.json"):
        load_manifest(tmp_path)


def test_flipped_byte_names_file_and_both_hashes(bundle):
    loaded = load_manifest(bundle)
    data = bytearray((bundle / "language.onnx").read_bytes())
    data[3] ^= 0x10
    (bundle / "language.onnx").write_bytes(data)
    with pytest.raises(BundleError) as caught:
        verify_files(bundle, loaded)
    assert hashlib.sha256(data).hexdigest() in str(caught.value)
    assert loaded.files["language.onnx"].sha256 in str(caught.value)
    assert "language.onnx" in str(caught.value)


def test_missing_and_unlisted_files_are_refused(bundle):
    loaded = load_manifest(bundle)
    (bundle / "golden" / "extra.npz").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"golden/extra\.npz not listed"):
        verify_files(bundle, loaded)
    (bundle / "golden" / "a.npz").unlink()
    with pytest.raises(BundleError, match=r"golden/a\.npz is missing"):
        verify_files(bundle, loaded)


def test_codebook_hash_depends_on_shape_and_values_only():
    contours = np.arange(48, dtype=np.float32).reshape(3, 2, 4, 2)
    assert codebook_hash(contours) == codebook_hash(np.asfortranarray(contours).astype(np.float64))
    assert codebook_hash(contours) != codebook_hash(contours.reshape(2, 3, 4, 2))
    assert codebook_hash(contours) != codebook_hash(contours + 1)
