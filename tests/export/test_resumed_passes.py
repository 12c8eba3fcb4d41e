"""Scenes on their way through a model layer by layer: what a kill leaves is gone on with, to the same bits."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.calibration.observe import observe_checkpoint
from onboard_vla.core.errors import CheckpointError, EnvironmentLacksError
from onboard_vla.export import large_calibration, pieces, source
from onboard_vla.export.aside import made_aside
from onboard_vla.export.fed_linears import FedLinears
from onboard_vla.export.kept_tables import KeptTables, gone_on_with
from onboard_vla.export.large_calibration import observe_in_pieces
from onboard_vla.export.source import GOLDEN, Source
from onboard_vla.export.staging import NoRoomError

KILLED = """
import os, signal, sys
from pathlib import Path
from onboard_vla.export import source
from onboard_vla.calibration.observe import observe_checkpoint
source.LARGE_WEIGHTS = 0
def kill(stage, share):
    if stage == "calibrate, language" and share > 0.5:
        os.kill(os.getpid(), signal.SIGKILL)
observe_checkpoint(*map(Path, sys.argv[1:]), kill)
"""


def ignore(_):
    """A progress that nobody looks at."""


def stopped_in(graph, share):
    """A progress that interrupts when that share of a graph has run."""

    def stage(name):
        def interrupt(done):
            if name == graph and done > share:
                raise KeyboardInterrupt

        return interrupt

    return stage


@pytest.fixture(scope="module")
def opened(reference_checkpoint):
    return Source.open(reference_checkpoint)


@pytest.fixture(scope="module")
def scenes(opened):
    """One with the driver's actions, one without."""
    told, untold = opened.scenes(None, GOLDEN)[1][:2]
    return [replace(told, expert_tokens=np.zeros(10, np.int64)), replace(untold, expert_tokens=None)]


@pytest.fixture
def pieces_opened(monkeypatch):
    """A list that grows with every piece of a graph that is opened."""
    begun, original = [], pieces.opened
    monkeypatch.setattr(pieces, "opened", lambda *given: begun.append(given[1]) or original(*given))
    return begun


def some_scenes(checkpoint, path, index=0):
    """A file of one of a checkpoint's golden scenes."""
    with np.load(checkpoint / GOLDEN.file) as archive:
        np.savez(path, **{key: archive[key][index : index + 1] for key in archive.files})
    return path


def observe(opened, scenes, folder, stage=lambda _: ignore):
    return observe_in_pieces(opened, scenes, folder, opened.checkpoint.embedding, stage)


@pytest.mark.parametrize(
    ("graph", "share"), [("vision_8x12.onnx", 0.4), ("language.onnx", 0.05), ("language.onnx", 0.6)]
)
def test_an_interrupted_calibration_goes_on_to_the_same_ranges(opened, scenes, tmp_path, pieces_opened, graph, share):
    expected, errors = observe(opened, scenes, tmp_path / "whole")
    whole = len(pieces_opened)
    with pytest.raises(KeyboardInterrupt):
        observe(opened, scenes, tmp_path / "begun", stopped_in(graph, share))
    done = len(pieces_opened) - whole
    pieces_opened.clear()
    found, found_errors = observe(opened, scenes, tmp_path / "begun")
    assert len(pieces_opened) <= whole - done + 1, "the piece that was interrupted alone is opened twice"
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert found_errors == errors
    assert list(tmp_path.iterdir()) == []


def answer(opened, scenes, folder, stage=lambda _: ignore):
    def run():
        linears, table = FedLinears(opened.weights), opened.checkpoint.embedding
        runner = opened.runner_in_pieces(opened.weights, linears, folder, table, stage, runs=10, resumable=True)
        return runner.greedy_many(scenes)

    return gone_on_with(folder, run)


@pytest.mark.parametrize("torn", [None, "hidden", "done", "kept"])
def test_interrupted_answers_go_on_or_begin_anew_where_the_disk_lost_some(
    opened, scenes, tmp_path, pieces_opened, torn
):
    expected, whole = answer(opened, scenes, tmp_path / "whole"), len(pieces_opened)
    with pytest.raises(KeyboardInterrupt):
        answer(opened, scenes, tmp_path / "begun", stopped_in("language.onnx", 0.5))
    for path in (tmp_path / "begun" / torn).iterdir() if torn else ():
        path.write_bytes(b"")
    pieces_opened.clear()
    found = answer(opened, scenes, tmp_path / "begun")
    assert (len(pieces_opened) >= whole) == (torn is not None)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.tokens, other.tokens)
        np.testing.assert_array_equal(one.actions, other.actions)
        np.testing.assert_array_equal(one.fork, other.fork)
    assert list(tmp_path.iterdir()) == []


def test_work_that_fails_by_itself_is_not_begun_twice(tmp_path):
    begun = []

    def fail():
        begun.append(1)
        raise ValueError("by itself")

    with pytest.raises(ValueError, match="by itself"):
        gone_on_with(tmp_path / "work", fail)
    assert len(begun) == 1
    with pytest.raises(ValueError, match="by itself"):
        gone_on_with(tmp_path / "work", fail)
    assert len(begun) == 3, "what it left may be torn: once more without"


def test_a_table_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    tables = KeptTables(tmp_path)
    tables["a"] = {"x": np.arange(3), "observed/text.layers.0": np.ones(2, np.float32)}
    np.testing.assert_array_equal(tables.get("a")["x"], [0, 1, 2])
    assert set(tables.get("a")) == {"x", "observed/text.layers.0"}
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        tables["b"] = {"x": np.arange(3)}
    assert tables.get("b") is None
    assert KeptTables(tmp_path).get("a") is not None


def test_a_killed_observation_goes_on_and_another_begins_anew(
    reference_checkpoint, tmp_path, monkeypatch, pieces_opened
):
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    files = [some_scenes(reference_checkpoint, tmp_path / name, i) for i, name in enumerate(("one.npz", "other.npz"))]
    out = tmp_path / "ranges.npz"
    command = [sys.executable, "-c", KILLED, *map(str, (reference_checkpoint, files[0], out))]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    left = tmp_path / ".ranges.npz.partial"
    assert not out.exists()
    assert left.is_dir()
    shutil.copytree(left, tmp_path / "copy")
    _, found = observe_checkpoint(reference_checkpoint, files[0], out)
    after_the_kill = len(pieces_opened)
    written = out.read_bytes()
    assert not left.exists()
    shutil.copytree(tmp_path / "copy", left)
    pieces_opened.clear()
    _, other = observe_checkpoint(reference_checkpoint, files[1], out)
    assert after_the_kill < len(pieces_opened), "what was observed on other scenes is not taken"
    assert any((other.largest[name] != values).any() for name, values in found.largest.items())
    observe_checkpoint(reference_checkpoint, files[0], out)
    assert out.read_bytes() == written, "the same as without a kill"


def test_an_observation_that_is_refused_for_lack_of_room_keeps_what_there_is(
    reference_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    given = reference_checkpoint, some_scenes(reference_checkpoint, tmp_path / "one.npz"), tmp_path / "ranges.npz"

    def stop(stage, share):
        if stage == "calibrate, vision_8x12":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        observe_checkpoint(*given, stop)
    done = tmp_path / ".ranges.npz.partial" / "begun" / "done"
    left = sorted(done.iterdir())
    assert left != []
    monkeypatch.setattr(large_calibration.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(NoRoomError, match="free some space"):
        observe_checkpoint(*given)
    assert sorted(done.iterdir()) == left


def test_scenes_that_do_not_fit_leave_nothing_beside_a_large_checkpoint(reference_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "LARGE_WEIGHTS", 0)
    np.savez(tmp_path / "wrong.npz", prompt_ids=np.zeros((2, 5), np.int64))
    for name in ("wrong.npz", "absent.npz"):
        with pytest.raises(CheckpointError, match=name):
            observe_checkpoint(reference_checkpoint, tmp_path / name, tmp_path / "ranges.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.npz"]


def test_what_was_begun_is_removed_after_its_result_is_saved(tmp_path):
    def full(_made):
        assert (tmp_path / "work" / "hours").exists()
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        gone_on_with(tmp_path / "work", lambda: (tmp_path / "work" / "hours").touch(), full)
    assert (tmp_path / "work" / "hours").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, NoRoomError, RuntimeError, CheckpointError, OSError])
@pytest.mark.parametrize("recipe", ["this", None])
def test_whatever_ends_an_attempt_leaves_its_work_to_the_next_of_its_recipe(tmp_path, error, recipe):
    file = tmp_path / "ranges.npz"

    def work_and_end(folder):
        (folder / "work").touch()
        raise error

    with pytest.raises(error), made_aside(file, recipe) as aside:
        work_and_end(aside)
    with made_aside(file, recipe) as aside:
        assert (aside / "work").exists() == (recipe is not None)
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_or_what_is_linked_to_one_is_not_replaced_by_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(EnvironmentLacksError, match="is a device or a pipe"), made_aside(tmp_path / name):
            pytest.fail("made")
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "link"}
