"""The demo's bundle: kept, damaged, given; always measured on this machine."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import shutil
from pathlib import Path

import pytest

from onboard_vla.app import demo_bundle
from onboard_vla.app.cli import run
from onboard_vla.app.demo_bundle import REFERENCE_CHECKPOINT, given_bundle, prepare_bundle
from onboard_vla.app.lockstep_parts import planner_with_model
from onboard_vla.core.bundle_manifest import load_manifest, to_json, with_core_hash
from onboard_vla.core.errors import BundleError, EnvironmentLacksError
from onboard_vla.export import verification as verify
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.fingerprints import tools_hash


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return export_bundle(REFERENCE_CHECKPOINT, tmp_path_factory.mktemp("exported") / "bundle", precision="fp32")


@pytest.fixture
def bundle(exported, tmp_path):
    """A bundle that a test may damage."""
    return shutil.copytree(exported, tmp_path / "bundle")


@pytest.fixture
def prepare(tmp_path, exported, monkeypatch):
    """Prepares the reference checkpoint's bundle; an export is a copy. Lists the exports and what was said."""
    exports, said = [], []

    def copy(checkpoint, path, precision, progress):
        exports.append(path)
        if path.exists():
            shutil.rmtree(path)
        shutil.copytree(exported, path)
        return 1.5

    monkeypatch.setattr(demo_bundle, "_export", copy)

    def prepare():
        return prepare_bundle(REFERENCE_CHECKPOINT, tmp_path / "cache", lambda *_: None, said.append)

    return prepare, exports, said


def flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def test_kept_bundle_is_used_again_and_measured_again(prepare, monkeypatch):
    make, exports, said = prepare
    first = make()
    measured = []
    real, written = verify.verify_bundle, first.thresholds.read_bytes()
    aged = written.replace(b'"created": "2', b'"created": "1')
    first.thresholds.write_bytes(aged)
    monkeypatch.setattr(verify, "verify_bundle", lambda *a, **k: measured.append(a) or real(*a, **k))
    again = make()
    assert len(exports) == 1
    assert len(measured) == 1
    assert (first.origin, again.origin) == ("exported in 1.5 s, without torch", "kept from an earlier run")
    assert said == []
    assert again.thresholds.read_bytes() == aged != written


def test_thresholds_that_differ_are_made_anew(prepare):
    make, _, _ = prepare
    written = json.loads(make().thresholds.read_text())
    path = make().thresholds
    path.write_text(json.dumps({**written, "n_scenes": 5}))
    assert json.loads(make().thresholds.read_text())["n_scenes"] == 0


def test_figures_shown_are_those_measured_now(bundle, tmp_path):
    """Not those in the manifest: an honest bundle with other figures noted is shown with its real ones."""
    manifest = load_manifest(bundle)
    manifest.parity["ade_mean_m"] = 0.0777
    (bundle / "manifest.json").write_text(to_json(with_core_hash(manifest)))
    assert given_bundle(bundle, tmp_path / "cache", lambda *_: None).parity["ade_mean_m"] == 0


def test_damaged_kept_bundle_is_named_with_both_hashes_and_exported_again(prepare):
    make, exports, said = prepare
    path = make().path
    expected = load_manifest(path).files["language.onnx"].sha256
    flip(path / "language.onnx")
    again = make()
    assert len(exports) == 2
    assert again.origin.startswith("exported in")
    (line,) = said
    assert line.startswith("the kept bundle is damaged and is exported again: ")
    assert "language.onnx" in line
    assert expected in line
    assert "\n" not in line


def test_kept_bundle_that_this_machine_computes_wrongly_is_refused(prepare, monkeypatch):
    make, exports, _ = prepare
    make()
    real = verify.verify_bundle
    wrong = {"ade_mean_m": 0.5}
    monkeypatch.setattr(verify, "verify_bundle", lambda *a, **k: dataclasses.replace(real(*a, **k), **wrong))
    with pytest.raises(BundleError, match=r"run on this machine, is too far .* ade_mean_m is 0\.5 m, at most 0\.1 m"):
        make()
    assert len(exports) == 1


@pytest.mark.parametrize("file", ["language.onnx", "golden/scene_003.npz", "manifest.json"])
def test_given_bundle_with_one_flipped_byte_is_refused_in_one_line(bundle, tmp_path, capsys, file):
    record = load_manifest(bundle).files.get(file)
    before = load_manifest(bundle).core_hash
    if record is None:
        text = (bundle / file).read_text()
        (bundle / file).write_text(text.replace('"language": "fp32"', '"language": "fp16"'))
    else:
        flip(bundle / file)
    assert run(["demo", "--lockstep", "--bundle", str(bundle), "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert error.startswith("onboard-vla: ")
    assert error.count("\n") == 1
    assert file in error
    assert (record.sha256 if record else before) in error
    assert not list((tmp_path / "out").rglob("thresholds.json"))


def test_given_bundle_drives_as_it_is(bundle, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in bundle.rglob("*")}
    out = tmp_path / "out"
    arguments = ["demo", "--lockstep", "--seconds", "1", "--bundle", str(bundle), "--out", str(out), "--no-report"]
    run([*arguments, "--json", str(tmp_path / "out.json")])
    document = json.loads((tmp_path / "out.json").read_text())
    assert load_manifest(bundle).core_hash in json.dumps(document)
    assert '"origin": "given"' in json.dumps(document)
    assert {path: path.stat().st_mtime_ns for path in bundle.rglob("*")} == before


@pytest.mark.parametrize(("field", "value"), [("core_hash", "0" * 64), ("precision", "int8")])
def test_lockstep_refuses_thresholds_of_another_core_or_precision(bundle, tmp_path, field, value):
    prepared = given_bundle(bundle, tmp_path / "cache", lambda *_: None)
    document = json.loads(prepared.thresholds.read_text())
    found = document[field]
    prepared.thresholds.write_text(json.dumps({**document, field: value}))
    with pytest.raises(BundleError, match=f"thresholds {field} is '{value}', the bundle's is '{found}'"):
        planner_with_model(prepared)


@pytest.mark.parametrize("more", [["--checkpoint", "x"], ["--lockstep", "--planner", "expert"]])
def test_bundle_beside_what_excludes_it_is_refused(tmp_path, capsys, more):
    assert run(["demo", "--bundle", "b", "--out", str(tmp_path), *more]) == 64
    assert "--bundle" in capsys.readouterr().err


@pytest.mark.parametrize("room", ["core", "export", "kernels", "runtime"])
def test_changed_source_of_any_shaping_room_gives_another_cache_key(tmp_path, room):
    for name in ("core", "export", "kernels", "runtime"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.py").write_text("a = 1")
    before = tools_hash(tmp_path)
    assert tools_hash(tmp_path) == before
    (tmp_path / room / "a.py").write_text("a = 2")
    assert tools_hash(tmp_path) != before


def test_another_package_version_gives_another_cache_key(monkeypatch):
    before = tools_hash()
    monkeypatch.setattr(importlib.metadata, "version", lambda package: "0")
    assert tools_hash() != before


def test_missing_package_is_named_with_the_extra_to_install(monkeypatch):
    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(EnvironmentLacksError, match=r"needs numpy.*'\.\[export\]' in a clone"):
        tools_hash()
