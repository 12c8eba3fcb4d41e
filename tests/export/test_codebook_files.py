"""Codebooks by path: our own files and AutoVLA-style pickles, of which nothing is run."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from onboard_vla.core.codebook import Codebook, box_contours
from onboard_vla.core.errors import CodebookError
from onboard_vla.export.codebook_files import load_codebook


def contours(tokens=5, substeps=5, start=True):
    """(K, S + start, 4, 2): straight motions at different speeds, as the tools lay them out."""
    times = np.arange(0 if start else 1, substeps + 1) * 0.1
    poses = np.zeros((tokens, len(times), 3))
    poses[..., 0] = np.arange(tokens)[:, None] * times
    return box_contours(poses, 4.8, 2.0).astype(np.float32)


def pickled(path, array, protocol=4):
    path.write_bytes(pickle.dumps({"token_all": {"veh": array, "ped": array, "cyc": array}}, protocol))
    return path


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_start_poses_of_a_pickle_are_left_out(tmp_path, protocol):
    codebook = load_codebook(pickled(tmp_path / "agent.pkl", contours(), protocol))
    assert (codebook.size, codebook.substeps) == (5, 5)
    np.testing.assert_allclose(codebook.deltas[:, 0], np.arange(5) * 0.5, atol=1e-6)


def test_one_substep_without_a_start_is_kept(tmp_path):
    codebook = load_codebook(pickled(tmp_path / "agent.pkl", contours(substeps=1, start=False)))
    assert (codebook.size, codebook.substeps) == (5, 1)


def test_our_own_file_is_read_as_it_is(tmp_path):
    Codebook(contours(start=False)).save(tmp_path / "codebook.npz")
    np.testing.assert_array_equal(load_codebook(tmp_path / "codebook.npz").contours, contours(start=False))


class Trap:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_wants_something_run_is_refused_before_it_runs(tmp_path, protocol):
    marker = tmp_path / "ran"
    pickled(tmp_path / "agent.pkl", Trap(open, str(marker), "w"), protocol)
    with pytest.raises(CodebookError, match=r"asks for (io|_io|__builtin__|builtins)\.open, which no codebook needs"):
        load_codebook(tmp_path / "agent.pkl")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (contours().astype(np.float64), "expected a float32 array"),
        (contours()[..., :1], r"expected shape \(K, S, 4, 2\)"),
        (np.full_like(contours(), np.nan), "every corner must be finite"),
        (contours()[:, :, ::-1].copy(), "expected corner order"),
        ([1, 2], "expected {'token_all'"),
    ],
)
def test_a_wrong_codebook_is_one_line_with_its_path(tmp_path, array, message):
    with pytest.raises(CodebookError, match=message) as caught:
        load_codebook(pickled(tmp_path / "agent.pkl", array))
    assert "agent.pkl" in str(caught.value)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04not a pickle")
    with pytest.raises(CodebookError, match="not read as a codebook"):
        load_codebook(tmp_path / "a.pkl")
    with pytest.raises(CodebookError, match="not read as a codebook"):
        load_codebook(tmp_path / "missing.pkl")
    with pytest.raises(CodebookError, match=r"expected a codebook as \.npz"):
        load_codebook(tmp_path / "codebook.mat")
