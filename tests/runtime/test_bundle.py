"""Opening a bundle refuses whatever does not fit, with the field and both values."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import FileRecord, load_manifest, sha256_of, to_json, with_core_hash
from onboard_vla.core.codebook import Codebook
from onboard_vla.core.errors import BundleError, OnboardVlaError
from onboard_vla.core.prompt import PromptTemplate
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.prompt import Tokenizer

REFERENCE = Path(__file__).parents[2] / "world" / "reference"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return export_bundle(REFERENCE, tmp_path_factory.mktemp("made") / "bundle", precision="fp32")


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "bundle"))


def rewrite(folder, **changes):
    """Change the manifest consistently: files re-hashed, core hash recomputed."""
    manifest = dataclasses.replace(load_manifest(folder), **changes)
    files = {name: FileRecord(sha256_of(folder / name), (folder / name).stat().st_size) for name in manifest.files}
    (folder / "manifest.json").write_text(to_json(with_core_hash(dataclasses.replace(manifest, files=files))))


def test_an_intact_bundle_opens(folder):
    bundle = Bundle.open(folder)
    assert bundle.precision == "fp32"
    assert bundle.core_hash == load_manifest(folder).core_hash
    assert bundle.pairs_per_camera == 2
    assert bundle.grids()["front"].tokens == 48


@pytest.mark.parametrize("name", ["language.onnx", "embeddings.npy", "codebook.npz", "tokenizer.json", "prompt.json"])
def test_one_flipped_bit_in_any_file_is_refused_with_both_hashes(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(BundleError) as error:
        Bundle.open(folder)
    assert name in str(error.value)
    assert sha256_of(folder / name) in str(error.value)
    assert load_manifest(folder).files[name].sha256 in str(error.value)


def test_a_missing_and_an_unlisted_file_are_refused(folder):
    (folder / "extra").write_text("x")
    with pytest.raises(BundleError, match="extra"):
        Bundle.open(folder)
    (folder / "extra").unlink()
    (folder / "language.onnx").unlink()
    with pytest.raises(BundleError, match=r"language\.onnx is missing"):
        Bundle.open(folder)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    with pytest.raises(BundleError, match=r"manifest\.json"):
        Bundle.open(tmp_path)


def test_another_codebook_than_the_manifests_is_refused_with_both_hashes(folder):
    codebook = Codebook.load(folder / "codebook.npz")
    Codebook(codebook.contours[::-1].copy()).save(folder / "codebook.npz")
    expected = load_manifest(folder).actions.codebook_hash
    rewrite(folder)
    with pytest.raises(BundleError, match="codebook_hash") as error:
        Bundle.open(folder)
    assert expected in str(error.value)


def test_embeddings_of_another_shape_are_refused_with_both_shapes(folder):
    table = np.load(folder / "embeddings.npy")
    np.save(folder / "embeddings.npy", table[:-1])
    rewrite(folder)
    with pytest.raises(BundleError, match=rf"{len(table)}, 192.*{len(table) - 1}, 192"):
        Bundle.open(folder)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("said", ["an action", "the fast prefix", "a letter"])
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_a_token_whose_embedding_is_not_finite_is_refused_where_the_table_is_opened(folder, said, bad, kind):
    manifest, tokenizer = load_manifest(folder), Tokenizer(folder / "tokenizer.json")
    prefix = PromptTemplate.load(folder / manifest.prompt).answer.fast_prefix
    rows = {
        "an action": manifest.actions.first_id + manifest.actions.count - 1,
        "the fast prefix": tokenizer.encode(prefix)[0],
        "a letter": tokenizer.encode("a")[0],
    }
    table = np.load(folder / "embeddings.npy").astype(kind)
    table[rows[said], 7] = bad
    np.save(folder / "embeddings.npy", table)
    rewrite(folder)
    with pytest.raises(BundleError, match=rf"embeddings\.npy: the embedding of token {rows[said]} holds"):
        Bundle.open(folder)


def test_embeddings_that_are_pickled_or_no_array_are_refused(folder):
    np.save(folder / "embeddings.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    rewrite(folder)
    with pytest.raises(BundleError, match=r"embeddings\.npy"):
        Bundle.open(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [("action_count", 8, "per_answer is 10.*is 8"), ("step_s", 0.25, "step_s is 0.5.*0.25")],
)
def test_a_prompt_with_another_answer_is_refused_with_both_values(folder, key, value, message):
    prompt = json.loads((folder / "prompt.json").read_text())
    prompt["answer"][key] = value
    (folder / "prompt.json").write_text(json.dumps(prompt))
    rewrite(folder)
    with pytest.raises(BundleError, match=message):
        Bundle.open(folder)


def test_cameras_in_another_order_are_refused(folder):
    cameras = load_manifest(folder).cameras
    rewrite(folder, cameras=(*cameras[1:], cameras[0]))
    with pytest.raises(BundleError, match="roles"):
        Bundle.open(folder)


def test_action_tokens_at_another_place_in_the_vocabulary_are_refused(folder):
    actions = load_manifest(folder).actions
    rewrite(folder, actions=dataclasses.replace(actions, first_id=actions.first_id - 1))
    with pytest.raises(OnboardVlaError, match=f"the manifest says {actions.first_id - 1}"):
        Planner(Bundle.open(folder))


def test_a_fork_that_is_not_one_token_is_refused(folder):
    prompt = json.loads((folder / "prompt.json").read_text())
    prompt["answer"]["fast_fork"] = " easy and clear"
    (folder / "prompt.json").write_text(json.dumps(prompt))
    rewrite(folder)
    with pytest.raises(OnboardVlaError, match="fork"):
        Planner(Bundle.open(folder))


def test_a_graph_that_is_no_graph_is_one_clear_error(folder):
    (folder / "language.onnx").write_bytes(b"not a graph")
    rewrite(folder)
    with pytest.raises(OnboardVlaError, match=r"language\.onnx"):
        Planner(Bundle.open(folder))


def test_parts_of_different_precision_are_all_named(folder):
    precision = {**load_manifest(folder).precision, "language": "int8"}
    rewrite(folder, precision=precision)
    assert Bundle.open(folder).precision == "vision:fp32,language:int8,head:fp32"
