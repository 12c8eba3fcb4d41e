"""A large export that is stopped or fails at any stage: what took hours is gone on with, to a readable bundle."""

from __future__ import annotations

import errno
import os
import shutil

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import MANIFEST_NAME, load_manifest, verify_files
from onboard_vla.core.errors import BundleError
from onboard_vla.export import large_export, source
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.source import GOLDEN, Source
from onboard_vla.export.staging import NoRoomError, Staging

LAST = "sync to disk"


def stop_at(last):
    """A progress that interrupts the export when that stage begins."""

    def interrupt(stage, _share):
        if stage == last:
            raise KeyboardInterrupt

    return interrupt


@pytest.fixture
def quick(reference_checkpoint, tmp_path, monkeypatch):
    """Options of a small export that goes the large ones' way."""
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    monkeypatch.setattr(large_export.LargeExport, "_check_fusion", lambda *_: 0)
    with np.load(reference_checkpoint / GOLDEN.file) as archive:
        for name, rows in (("golden", slice(0, 1)), ("calibration", slice(1, 2))):
            np.savez(tmp_path / f"{name}.npz", **{key: archive[key][rows] for key in archive.files})
    return {
        "fallbacks": ("head",),
        "golden_scenes": tmp_path / "golden.npz",
        "calibration_scenes": tmp_path / "calibration.npz",
    }


def test_whatever_a_stop_at_any_stage_leaves_becomes_a_whole_bundle(quick, reference_checkpoint, tmp_path):
    left, first = {}, tmp_path / "first" / "b"

    def remember(stage, _share):
        """Keep what a kill at the beginning of each stage would leave."""
        stage = stage.partition(",")[0]
        if stage not in left and (first.parent / ".b.partial").is_dir():
            left[stage] = tmp_path / f"left{len(left)}"
            shutil.copytree(first.parent / ".b.partial", left[stage])

    export_bundle(reference_checkpoint, first, progress=remember, **quick)
    expected = load_manifest(first)
    assert len(left) >= 8
    assert (left[LAST] / "bundle" / MANIFEST_NAME).is_file(), "the last word is written before the last stage"
    for stage, folder in left.items():
        place = folder / "place"
        place.mkdir()
        partial = place / ".b.partial"
        partial.mkdir()
        for path in [path for path in folder.iterdir() if path != place]:
            path.rename(partial / path.name)
        export_bundle(reference_checkpoint, place / "b", **quick)
        manifest = load_manifest(place / "b")
        verify_files(place / "b", manifest)
        assert manifest.files == expected.files, stage
        assert [path.name for path in place.iterdir()] == ["b"], stage


def test_half_a_manifest_is_written_anew(quick, reference_checkpoint, tmp_path):
    out = tmp_path / "b"
    with pytest.raises(KeyboardInterrupt):
        export_bundle(reference_checkpoint, out, progress=stop_at(LAST), **quick)
    manifest = tmp_path / ".b.partial" / "bundle" / MANIFEST_NAME
    manifest.write_text(manifest.read_text()[:100])
    export_bundle(reference_checkpoint, out, **quick)
    verify_files(out, load_manifest(out))


def test_what_cannot_be_read_takes_no_bundles_place(tmp_path):
    out = tmp_path / "b"
    out.mkdir()
    (out / MANIFEST_NAME).write_text("an older bundle")
    with Staging(out) as staging:
        (staging.folder / MANIFEST_NAME).write_text("{")
        with pytest.raises(BundleError, match="cannot be read as JSON"):
            staging.commit()
    assert (out / MANIFEST_NAME).read_text() == "an older bundle"
    assert list(tmp_path.iterdir()) == [out]


@pytest.fixture
def passes(monkeypatch):
    """A list that grows by one with every pass of scenes through the model layer by layer."""
    begun, original = [], Source.runner_in_pieces
    monkeypatch.setattr(
        Source, "runner_in_pieces", lambda *given, **form: begun.append(given) or original(*given, **form)
    )
    return begun


@pytest.mark.parametrize(
    ("lack", "words"),
    [
        (MemoryError("bad alloc"), r"memory is full \(bad alloc\)"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "the disk is full"),
    ],
    ids=["memory", "disk"],
)
def test_whatever_ends_the_last_stages_leaves_what_took_hours(
    quick, reference_checkpoint, tmp_path, monkeypatch, passes, lack, words
):
    def fail(*_):
        raise lack

    with monkeypatch.context() as patched:
        patched.setattr(large_export.LargeExport, "compare", fail)
        with pytest.raises(BundleError, match=rf"{words}.* are kept in .*\.b\.partial/parts"):
            export_bundle(reference_checkpoint, tmp_path / "b", **quick)
    assert [path.name for path in (tmp_path / ".b.partial").iterdir()] == ["parts"]
    passes.clear()
    written, original = [], large_export.OnDisk
    monkeypatch.setattr(large_export, "OnDisk", lambda folder: written.append(folder.name) or original(folder))
    export_bundle(reference_checkpoint, tmp_path / "b", keep_float=("visual.merger",), **quick)
    assert passes == []
    assert written == ["kept"], "pictures of scenes that were observed are not written again"


def test_room_for_calibration_is_asked_before_the_references(
    quick, reference_checkpoint, tmp_path, monkeypatch, passes
):
    original = large_export.room_between_layers

    def enormous(source, scenes, *, decoded=False):
        return original(source, scenes, decoded=decoded) if decoded else 1 << 50

    monkeypatch.setattr(large_export, "room_between_layers", enormous)
    with pytest.raises(NoRoomError, match=r"scenes on their way 1048576\.\d GiB"):
        export_bundle(reference_checkpoint, tmp_path / "b", **quick)
    assert passes == []
    assert not (tmp_path / ".b.partial").exists()


@pytest.mark.parametrize("part", ["observed.npz", "references"])
def test_a_part_that_a_power_cut_emptied_is_made_again(quick, reference_checkpoint, tmp_path, passes, part):
    with pytest.raises(KeyboardInterrupt):
        export_bundle(reference_checkpoint, tmp_path / "b", progress=stop_at("smooth"), **quick)
    (path,) = (tmp_path / ".b.partial" / "parts").glob(f"*-{part}")
    for file in (path, *path.rglob("*")):
        if file.is_file():
            file.write_bytes(b"")
    assert len(passes) == 2
    export_bundle(reference_checkpoint, tmp_path / "b", **quick)
    assert len(passes) == 3
    verify_files(tmp_path / "b", load_manifest(tmp_path / "b"))
