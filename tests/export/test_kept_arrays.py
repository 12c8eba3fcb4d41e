"""Arrays on disk come back as they were, and a full disk is an error with its number, not a fault of a scenes file."""

from __future__ import annotations

import errno
import resource

import numpy as np
import pytest

from onboard_vla.export.kept_arrays import FULL, OnDisk
from onboard_vla.export.scenes import load_scenes
from onboard_vla.export.source import Source


@pytest.fixture
def small_files():
    """Files of this process may grow to 16 KiB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "array",
    [np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(2, 3).T, np.float32(2.5), np.empty((0, 4), np.uint8)],
    ids=["rows", "columns", "scalar", "empty"],
)
def test_arrays_come_back(tmp_path, array):
    kept = OnDisk(tmp_path)
    kept["a"] = np.asarray(array)
    assert kept["a"].dtype == np.asarray(array).dtype
    assert np.array_equal(kept["a"], array)


def test_a_disk_that_takes_no_more_says_so(tmp_path, small_files):
    with pytest.raises(OSError, match=r".") as caught:
        OnDisk(tmp_path)["a"] = np.ones(1 << 14)
    assert caught.value.errno in FULL


def test_a_full_disk_is_not_blamed_on_the_scenes(reference_checkpoint, tmp_path, small_files):
    source = Source.open(reference_checkpoint)
    with pytest.raises(OSError, match=r".") as caught:
        load_scenes(reference_checkpoint / "golden_scenes.npz", source.assets, OnDisk(tmp_path))
    assert caught.value.errno == errno.EFBIG
