import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.codebook import Codebook, box_contours, build_k_disk, contour_poses
from onboard_vla.core.errors import CodebookError
from onboard_vla.core.geometry import compose

LENGTH, WIDTH = 4.0, 2.0


def book_of(*ends: tuple[float, float, float]) -> Codebook:
    """A codebook of straight-line blends with two sub-steps; the first one halfway."""
    poses = np.array([[np.array(end) / 2, end] for end in ends])
    return Codebook(box_contours(poses, LENGTH, WIDTH).astype(np.float32))


@pytest.fixture(scope="module")
def small() -> Codebook:
    """Standing, 1 m straight, 1 m with a left quarter turn."""
    return book_of((0, 0, 0), (1, 0, 0), (1, 0, np.pi / 2))


def test_contour_corners_are_left_front_right_front_right_back_left_back() -> None:
    corners = box_contours(np.array([10.0, 0.0, 0.0]), LENGTH, WIDTH)
    np.testing.assert_allclose(corners, [[12, 1], [12, -1], [8, -1], [8, 1]])
    turned = box_contours(np.array([0.0, 0.0, np.pi / 2]), LENGTH, WIDTH)
    np.testing.assert_allclose(turned, [[-1, 2], [1, 2], [1, -2], [-1, -2]], atol=1e-12)


def test_deltas_and_box_come_from_the_corners(small: Codebook) -> None:
    np.testing.assert_allclose(small.deltas, [[0, 0, 0], [1, 0, 0], [1, 0, np.pi / 2]], atol=1e-6)
    np.testing.assert_allclose(small.fine_deltas[2, 0], [0.5, 0, np.pi / 4], atol=1e-6)
    assert small.box == pytest.approx((LENGTH, WIDTH), abs=1e-5)
    assert (small.size, small.substeps) == (3, 2)


def test_decode_composes_motions_in_the_moving_frame(small: Codebook) -> None:
    poses, fine = small.decode([2, 1, 0])
    np.testing.assert_allclose(poses, [[1, 0, np.pi / 2], [1, 1, np.pi / 2], [1, 1, np.pi / 2]], atol=1e-5)
    np.testing.assert_allclose(fine[2], [1, 0.5, np.pi / 2], atol=1e-5)
    assert fine.shape == (6, 3)
    assert poses.dtype == fine.dtype == np.float32


def test_encode_feeds_errors_back() -> None:
    book = book_of((0, 0, 0), (1, 0, 0))
    steps = np.stack([0.6 * np.arange(1, 6), np.zeros(5), np.zeros(5)], axis=1)
    assert book.encode(steps).tolist() == [1, 0, 1, 0, 1]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 59), min_size=1, max_size=10))
def test_encode_returns_the_tokens_that_decode_made(tokens: list[int]) -> None:
    grid = [(x, y, h) for x in np.linspace(0, 8, 5) for y in (-1.0, 0.0, 1.0) for h in (-0.3, -0.1, 0.1, 0.3)]
    book = book_of(*grid)
    reached, targets = np.zeros(3), []
    for token in tokens:
        reached = compose(reached, book.deltas[token])
        targets.append(reached)
    assert book.encode(np.array(targets)).tolist() == tokens
    np.testing.assert_allclose(book.decode(tokens)[0], np.array(targets), atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_k_disk_tokens_cover_every_motion(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ends = np.stack([rng.uniform(0, 3, 200), rng.uniform(-1, 1, 200), rng.uniform(-0.2, 0.2, 200)], axis=1)
    ends[0] = 0
    book = build_k_disk(ends[:, None], 20, 0.1, rng)
    assert book.size == 20
    assert (np.abs(book.deltas).sum(1) < 1e-6).sum() == 1
    assert (np.diff(book.deltas[:, 0]) >= 0).all()


def test_k_disk_says_when_motions_are_used_up() -> None:
    with pytest.raises(CodebookError, match="1 of 2 tokens"):
        build_k_disk(np.zeros((5, 1, 3)), 2, 0.1, np.random.default_rng(0))


def test_saved_codebook_loads_alike(small: Codebook, tmp_path: object) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, contours=small.contours)
    buffer.seek(0)
    assert (Codebook.load(buffer).contours == small.contours).all()  # type: ignore[arg-type]


def good() -> np.ndarray:
    return book_of((0, 0, 0), (1, 0, 0)).contours.copy()


def with_value(value: float) -> np.ndarray:
    contours = good()
    contours[1, 0, 2, 1] = value
    return contours


@pytest.mark.parametrize(
    ("contours", "says"),
    [
        (good().astype(np.float64), "float32"),
        (good()[0], "shape"),
        (good()[:0], "shape"),
        (good()[..., :3, :], "shape"),
        (with_value(np.nan), "finite"),
        (with_value(np.inf), "finite"),
        (with_value(5.0), "rigid box"),
        (good()[..., ::-1, :], "LF, RF, RB, LB"),
        ([1.0], "float32 array"),
    ],
)
def test_bad_contours_are_refused(contours: np.ndarray, says: str) -> None:
    with pytest.raises(CodebookError, match=says):
        Codebook(contours)


@pytest.mark.parametrize("tokens", [[-1], [2], [0.5], [[0]], [True]])
def test_tokens_outside_the_codebook_are_refused(tokens: list) -> None:
    with pytest.raises(CodebookError, match="tokens"):
        book_of((0, 0, 0), (1, 0, 0)).decode(tokens)


@pytest.mark.parametrize("poses", [np.zeros((3, 2)), np.full((3, 3), np.nan)])
def test_bad_trajectories_are_refused(poses: np.ndarray) -> None:
    with pytest.raises(CodebookError, match="trajectories"):
        book_of((0, 0, 0), (1, 0, 0)).encode(poses)


def test_damaged_files_are_refused(tmp_path) -> None:
    cases = {"none.npz": None, "text.npz": b"no archive", "cut.npz": b"PK\x03\x04" + bytes(40)}
    for name, content in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(CodebookError, match=name):
            Codebook.load(tmp_path / name)
    np.savez(tmp_path / "other.npz", shapes=good())
    with pytest.raises(CodebookError, match="contours"):
        Codebook.load(tmp_path / "other.npz")


def test_poses_of_contours_invert_contours_of_poses() -> None:
    poses = np.random.default_rng(0).uniform(-3, 3, (20, 3))
    np.testing.assert_allclose(contour_poses(box_contours(poses, LENGTH, WIDTH)), poses, atol=1e-12)
