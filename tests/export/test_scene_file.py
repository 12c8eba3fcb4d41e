"""A file of scenes is written whole or not at all, out of any number of scenes, with few of them in memory."""

from __future__ import annotations

import os
import resource
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.core.errors import CheckpointError, EnvironmentLacksError
from onboard_vla.export.aside import made_aside
from onboard_vla.export.scene_file import save_scenes
from onboard_vla.export.scenes import Scene

SIDE = 128
PICTURES_BYTES = 2 * SIDE * SIDE * 3


def scene(number, expert=True):
    images = {role: np.full((2, SIDE // 2, SIDE, 3), (number + k) % 256, np.uint8) for k, role in enumerate(("a", "b"))}
    return Scene(images, np.arange(3 + number % 2), np.array([number]) if expert else None)


def never():
    raise AssertionError("a scene was asked for")
    yield


def numbers(path):
    with np.load(path, allow_pickle=False) as archive:
        return archive["action_tokens"][:, 0].tolist()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "deep" / "scenes.npz"


@pytest.fixture
def alone(file):
    """Whether nothing but some names is left beside the file's place."""
    return lambda *names: sorted(path.name for path in file.parent.iterdir()) == sorted(names)


def test_arrays_are_those_that_numpy_would_have_written(file, alone):
    assert save_scenes(file, map(scene, range(5))) == 5
    with np.load(file, allow_pickle=False) as archive:
        assert sorted(archive.files) == ["action_tokens", "images_a", "images_b", "prompt_ids"]
        np.testing.assert_array_equal(archive["images_b"], np.stack([scene(i).images["b"] for i in range(5)]))
        np.testing.assert_array_equal(archive["prompt_ids"][:2], [[0, 1, 2, -1], [0, 1, 2, 3]])
        assert archive["action_tokens"].tolist() == [[0], [1], [2], [3], [4]]
    assert alone("scenes.npz")


def test_the_same_scenes_give_the_same_bytes(file, tmp_path):
    for path in (file, tmp_path / "again.npz"):
        save_scenes(path, map(scene, range(3)))
    assert file.read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_expert_tokens_are_left_out_unless_all_scenes_have_some(file):
    save_scenes(file, [scene(0), scene(1, expert=False)])
    with np.load(file, allow_pickle=False) as archive:
        assert "action_tokens" not in archive.files


def test_memory_does_not_grow_with_the_scenes(file):
    def peak(count):
        tracemalloc.start()
        save_scenes(file, map(scene, range(count)))
        largest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return largest

    peak(1)  # what is loaded once
    few, many = peak(4), peak(64)
    assert many - few < 3 * PICTURES_BYTES, "60 more scenes, of which each has one such"


@given(count=st.integers(1, 200), most=st.integers(1, 20))
def test_scenes_are_chosen_evenly(tmp_path_factory, count, most):
    file = tmp_path_factory.mktemp("even") / "scenes.npz"
    tiny = (Scene({"a": np.zeros((1, 1, 1, 3), np.uint8)}, np.zeros(1), np.array([i])) for i in range(count))
    assert save_scenes(file, tiny, most) == min(count, most)
    found = numbers(file)
    gaps = np.diff(found)
    if most >= count:
        assert found == list(range(count))
    elif most > 1:
        assert found[0] == 0
        assert gaps.min() * 2 >= gaps.max(), found
        assert count - 1 - found[-1] < gaps.max() + gaps.min(), f"the end has its share: {found} of {count}"


@pytest.mark.parametrize("name", ["scenes", "scenes.npy", "scenes.npz.old"])
def test_another_name_is_refused_before_any_scene_is_made(tmp_path, name):
    with pytest.raises(CheckpointError, match=r"to be called scenes(\.npz)?\.npz, by"):
        save_scenes(tmp_path / name, never())
    assert not list(tmp_path.iterdir())


def test_no_scenes_leave_an_older_file_as_it_was(file, alone):
    save_scenes(file, [scene(7)])
    with pytest.raises(CheckpointError, match="no scene"):
        save_scenes(file, [])
    assert numbers(file) == [7]
    assert alone("scenes.npz")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(5, "I/O error")], ids=["interrupt", "recording"])
def test_what_fails_on_the_way_leaves_an_older_file_as_it_was(file, alone, error):
    def failing():
        yield scene(0)
        raise error

    save_scenes(file, [scene(7)])
    with pytest.raises(type(error)):
        save_scenes(file, failing())
    assert numbers(file) == [7]
    assert alone("scenes.npz")


@pytest.mark.parametrize("fits", [PICTURES_BYTES // 4, 4 * PICTURES_BYTES], ids=["a scene", "the file"])
def test_a_disk_that_takes_no_more_is_one_line_and_leaves_nothing(file, alone, fits):
    file.parent.mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (fits, before[1]))
    try:
        with pytest.raises(EnvironmentLacksError, match=r"scenes\.npz: the disk is full .*; nothing is left"):
            save_scenes(file, map(scene, range(16)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert alone()


@pytest.mark.parametrize(
    ("place", "said"), [("file/scenes.npz", "cannot be written"), ("folder.npz", "is a folder")], ids=["in", "is"]
)
def test_a_place_that_cannot_be_written_is_said_before_any_work(tmp_path, place, said):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(EnvironmentLacksError, match=said):
        save_scenes(tmp_path / place, never())


def test_what_a_killed_attempt_left_is_taken_away(file, alone):
    left = file.parent / ".scenes.npz.partial" / "scenes"
    left.mkdir(parents=True)
    (left / "images_a-99.npy").write_bytes(b"half")
    save_scenes(file, [scene(0)])
    assert alone("scenes.npz")


def test_two_that_write_the_same_file_do_not_mix(file):
    with made_aside(file), pytest.raises(EnvironmentLacksError, match="written by another process"):
        save_scenes(file, [scene(0)])
    assert os.listdir(file.parent) == []


def test_cameras_that_change_are_refused(file):
    other = Scene({"a": scene(0).images["a"]}, np.arange(3), None)
    with pytest.raises(CheckpointError, match="scene 1 has pictures"):
        save_scenes(file, [scene(0), other])
