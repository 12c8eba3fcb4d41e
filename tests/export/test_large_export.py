"""Models larger than memory: the same bundle layer by layer, resumed after a kill, never taken for finished before."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import BundleError
from onboard_vla.export import (
    bundle_writer,
    checkpoint,
    external_data,
    fingerprints,
    large_export,
    linear_layers,
    source,
)
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.large_calibration import observe_in_pieces
from onboard_vla.export.pieces import PieceSession
from onboard_vla.export.source import GOLDEN, Source
from onboard_vla.export.staging import NoRoomError, Staging
from onboard_vla.export.verification import verify_bundle

GRAPH_FILES = ("language.onnx", "language.onnx.data")


def ignore(_):
    pass


@pytest.fixture
def large(monkeypatch):
    """Takes every checkpoint for one that is larger than memory."""
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)


@pytest.fixture(scope="module")
def whole(reference_checkpoint, tmp_path_factory):
    """INT8 in every layer, written the ordinary way."""
    return export_bundle(reference_checkpoint, tmp_path_factory.mktemp("whole") / "bundle", fallbacks=("head",))


@pytest.fixture
def written(large, reference_checkpoint, tmp_path):
    return export_bundle(reference_checkpoint, tmp_path / "bundle", fallbacks=("head",))


def figures(parity):
    return {name: value for name, value in parity.items() if isinstance(value, float) and "bytes" not in name}


def test_layer_by_layer_gives_the_figures_of_the_whole(written, whole):
    found, expected = load_manifest(written), load_manifest(whole)
    assert found.precision == expected.precision
    assert figures(found.parity).keys() == figures(expected.parity).keys()
    for name, value in figures(expected.parity).items():
        assert figures(found.parity)[name] == pytest.approx(value, rel=0.02, abs=2e-3), name
    assert found.calibration["integer_layers"] == expected.calibration["integer_layers"]


def test_the_written_graphs_run_as_a_whole(written, whole):
    assert (written / "language.onnx").stat().st_size < 100_000, "weights are beside the graph"
    found, expected = verify_bundle(written).as_table(), verify_bundle(whole).as_table()
    for name, value in expected.items():
        # Float32 references, layer by layer, are of the same sums in another order.
        assert found[name] == pytest.approx(value, rel=1e-4, abs=5e-5), name
    assert sorted(written.parent.iterdir()) == [written], "no remains"


def test_float32_layer_by_layer_is_the_float32_model(large, reference_checkpoint, tmp_path):
    parity = load_manifest(export_bundle(reference_checkpoint, tmp_path / "bundle", precision="fp32")).parity
    assert parity["token_agreement"] == 1
    assert parity["logit_difference_max"] < 1e-3


def test_ranges_observed_in_pieces_are_those_of_the_whole(reference_checkpoint, tmp_path):
    opened = Source.open(reference_checkpoint)
    scenes = opened.scenes(None, GOLDEN)[1][:2]
    expected, table = opened.observe(scenes, ignore), opened.checkpoint.embedding
    found, _ = observe_in_pieces(opened, scenes, tmp_path / "begun", table, lambda _: ignore)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-3, err_msg=name)
    assert list(tmp_path.iterdir()) == [], "no remains"


def test_what_pieces_return_holds_no_sessions_memory(reference_checkpoint, tmp_path):
    """An array of ONNX Runtime's own would keep a layer's whole arena: 0.2 GiB a layer at full size."""
    opened = Source.open(reference_checkpoint)
    writer = next(iter(opened.graph_writers(opened.weights, linear_layers.FloatLinears(opened.weights)).values()))
    patches = np.zeros((2, opened.grids[0].patches, 1176), np.float32)
    session = PieceSession(writer, opened.model.vision.depth + 1, tmp_path)
    outputs = session.run({"patches": patches})
    assert set(outputs) == {"embeddings"}
    assert all(value.flags.owndata and value.base is None for value in outputs.values())


def test_every_stage_of_a_large_export_tells_how_far_it_is(large, reference_checkpoint, tmp_path, monkeypatch):
    """What takes seconds at 3B's size must say so on the way, or no time can be told that is left."""
    monkeypatch.setattr(checkpoint, "ROWS_AT_ONCE", 1000)
    fingerprints._KNOWN.clear()
    told = {}
    scenes = reference_checkpoint / "golden_scenes.npz"
    export_bundle(
        reference_checkpoint,
        tmp_path / "bundle",
        fallbacks=("head",),
        calibration_scenes=scenes,
        progress=lambda stage, share: told.setdefault(stage, []).append(share),
    )
    passes = {
        f"{name}, {graph}" for name in ("float32 references", "calibrate") for graph in ("language", "vision_8x12")
    }
    stages = {
        "hash checkpoint",
        "embeddings",
        "smooth",
        "quantised graphs",
        "check integer arithmetic",
        "verify",
        "hash",
        *passes,
    }
    assert stages <= told.keys()
    for stage in stages:
        assert told[stage] == sorted(told[stage]), stage
        assert any(0 < share < 1 for share in told[stage]), stage
        assert told[stage][-1] <= 1, stage
    assert told["verify"][-1] == told["check integer arithmetic"][-1] == 1


KILLED = """
import os, signal, sys
from pathlib import Path
from onboard_vla.export import bundle_writer, source
source.LARGE_WEIGHTS = 0
def kill(stage, share):
    if stage == "quantised graphs" and share > 0.6:
        os.kill(os.getpid(), signal.SIGKILL)
bundle_writer.export_bundle(Path(sys.argv[1]), Path(sys.argv[2]), fallbacks=("head",), progress=kill)
"""


def test_a_killed_export_goes_on_where_it_was(written, large, reference_checkpoint, tmp_path, monkeypatch):
    out = tmp_path / "killed"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(reference_checkpoint), str(out)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not out.exists(), "half a bundle is none"
    left = tmp_path / ".killed.partial" / "bundle"
    with pytest.raises(BundleError, match="is no bundle"):
        load_manifest(left)
    damaged = bytearray((left / "language.onnx.data").read_bytes())
    damaged[-1] ^= 1
    (left / "language.onnx.data").write_bytes(damaged)
    computed = []
    original = linear_layers.quantise_layer
    monkeypatch.setattr(
        linear_layers, "quantise_layer", lambda w, n, **form: computed.append(n) or original(w, n, **form)
    )
    monkeypatch.setattr(large_export.LargeExport, "_check_fusion", lambda *_: 0)
    again = runs_in_pieces(monkeypatch)
    export_bundle(reference_checkpoint, out, fallbacks=("head",))
    assert again == [], "float32 has answered the golden scenes before the kill"
    layers = sum(len(names) for names in Source.open(reference_checkpoint).layers().values())
    assert 0 < len(computed) < layers / 2, "what the kill left is taken over, but for the damaged end"
    for name in GRAPH_FILES:
        assert (out / name).read_bytes() == (written / name).read_bytes(), name
    verify_bundle(out)
    assert not left.exists()


def some_scenes(checkpoint, path, rows):
    """A file of some of a checkpoint's golden scenes."""
    with np.load(checkpoint / GOLDEN.file) as archive:
        np.savez(path, **{name: archive[name][rows] for name in archive.files})
    return path


def no_room(*_):
    raise NoRoomError("none")


def runs_in_pieces(monkeypatch):
    """A list that grows by one with every pass of scenes through a model layer by layer."""
    begun, original = [], Source.runner_in_pieces
    monkeypatch.setattr(
        Source, "runner_in_pieces", lambda *given, **form: begun.append(given) or original(*given, **form)
    )
    return begun


def test_an_export_that_is_too_far_keeps_what_took_hours_for_one_with_other_options(
    large, reference_checkpoint, tmp_path, monkeypatch
):
    out = tmp_path / "out" / "bundle"
    scenes = some_scenes(reference_checkpoint, tmp_path / "some.npz", slice(0, 2))
    given = {"fallbacks": ("head",), "calibration_scenes": scenes, "golden_scenes": scenes}
    with pytest.raises(BundleError, match=r"too far from .* are kept in .*\.bundle\.partial/parts"):
        export_bundle(reference_checkpoint, out, limits={"motion_shift_mean_m": 0.0}, **given)
    (left,) = out.parent.iterdir()
    names = sorted(path.name.split("-")[1] for path in (left / "parts").iterdir())
    assert names == ["observed.npz", "references"]
    assert [path.name for path in left.iterdir()] == ["parts"], "no graphs"
    with monkeypatch.context() as patched:
        patched.setattr(bundle_writer, "require_space", no_room)
        with pytest.raises(NoRoomError):
            export_bundle(reference_checkpoint, out, **given)
    again = runs_in_pieces(monkeypatch)
    export_bundle(reference_checkpoint, out, **given)
    assert again == []
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("other", ["golden", "calibration"])
def test_what_is_kept_is_of_the_same_scenes(large, reference_checkpoint, tmp_path, monkeypatch, other):
    def interrupt(stage, _share):
        if stage == "smooth":
            raise KeyboardInterrupt

    file, another = (some_scenes(reference_checkpoint, tmp_path / f"{i}.npz", slice(i, i + 1)) for i in range(2))
    first = {"golden_scenes": file, "calibration_scenes": file}
    begun = runs_in_pieces(monkeypatch)
    for given, runs in ((first, 2), ({**first, f"{other}_scenes": another}, 3), (first, 3)):
        with pytest.raises(KeyboardInterrupt):
            export_bundle(reference_checkpoint, tmp_path / "out" / "b", progress=interrupt, **given)
        assert len(begun) == runs


def test_another_recipe_starts_anew(large, reference_checkpoint, tmp_path):
    def interrupt(stage, share):
        if stage == "quantised graphs" and share > 0.6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_bundle(reference_checkpoint, tmp_path / "b", fallbacks=("head",), progress=interrupt)
    left = tmp_path / ".b.partial"
    assert left.is_dir()
    with Staging(tmp_path / "b", recipe="another") as staging:
        assert not staging.resumed
        assert list(staging.folder.iterdir()) == []
    assert not left.exists()


def test_two_exports_to_one_place_are_refused(tmp_path):
    with Staging(tmp_path / "b"), pytest.raises(BundleError, match="being written by another export"):
        Staging(tmp_path / "b").__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_room_is_refused_before_work(reference_checkpoint, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(bundle_writer.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BundleError, match=r"0\.0 GiB free, the bundle takes about 0\.0 GiB"):
        export_bundle(reference_checkpoint, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_export_asks_for_the_room_of_the_rest_and_a_refusal_keeps_its_work(
    reference_checkpoint, tmp_path, monkeypatch
):
    """What an attempt that was killed has written is not asked for twice."""
    reference, usage = source.Source.open(reference_checkpoint), type("Usage", (), {"free": 0})
    tables = 4 * reference.model.text.vocabulary_size * reference.model.text.hidden_size
    needed = sum(reference.weight_counts().values()) + tables
    monkeypatch.setattr(bundle_writer.shutil, "disk_usage", lambda _: usage)
    killed = Staging(tmp_path / "bundle", "recipe")
    with killed:
        written = killed.folder / "language.data"
        written.write_bytes(bytes(1 << 20))
        monkeypatch.setattr(killed, "_root", tmp_path / "nothing")  # a kill clears nothing up
    usage.free = needed - (1 << 20) - 65536
    with pytest.raises(BundleError, match="GiB more"), Staging(tmp_path / "bundle", "recipe") as staging:
        bundle_writer.require_space(reference, "int8", staging)
    assert written.exists()
    usage.free = needed - (1 << 20)
    with Staging(tmp_path / "bundle", "recipe") as staging:
        assert staging.resumed
        bundle_writer.require_space(reference, "int8", staging)


@pytest.mark.parametrize("is_large", [True, False])
def test_a_disk_that_fills_up_leaves_no_bundle(reference_checkpoint, tmp_path, monkeypatch, is_large):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if is_large:
        monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
        monkeypatch.setattr(external_data.ExternalData, "_append", full)
    else:
        monkeypatch.setattr(bundle_writer, "save_golden", full)
    with pytest.raises(BundleError, match="the disk is full"):
        export_bundle(reference_checkpoint, tmp_path / "bundle", precision="fp32")
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert bool(left) == is_large
    assert all(path.match("parts/*-references/scene_*.npz") for path in left), "what minutes were spent on"


def test_a_journal_cut_in_a_line_loses_that_line_alone(tmp_path):
    data, journal = tmp_path / "graph.data", tmp_path / "journal"
    arrays = {name: np.arange(size, dtype=np.float32) for name, size in (("a", 3), ("b", 5000))}

    def write():
        made = []
        with external_data.ExternalData(data, journal) as file:
            for name, array in arrays.items():
                shapes = {name: (array.shape, array.dtype)}
                file.tensors(shapes, lambda name=name: made.append(name) or {name: arrays[name]})
        return made

    assert write() == ["a", "b"]
    content = data.read_bytes()
    assert write() == []
    lines = journal.read_text().splitlines()
    assert json.loads(lines[1])["offset"] == external_data.ALIGNMENT
    journal.write_text(lines[0] + "\n" + lines[1][:20])
    assert write() == ["b"]
    assert data.read_bytes() == content
