"""Compressed pictures on their way to the encoder: decoded once a use, smaller where that changes next to nothing."""

from __future__ import annotations

import threading
import time
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from onboard_vla.core.cameras import CameraFrame, CompressedFrame, EncodedPicture
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import FrameError
from onboard_vla.core.plan import PlanRejection
from onboard_vla.core.road import Route
from onboard_vla.kernels.images import ROW
from onboard_vla.kernels.reference_images import crop_and_resize, normalisation_table, patches_of_pair
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.jpeg import decode_jpeg, encode_frame, encode_jpeg
from onboard_vla.runtime.patches import PatchMaker, decode_factor
from onboard_vla.runtime.planner_body import PlannerBody
from onboard_vla.runtime.vision_cache import FramePair, VisionCache

TABLE = normalisation_table((0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
WHOLE = (0.0, 0.0, 1.0, 1.0)
CAMERAS = {
    "front": SimpleNamespace(crop=(0.125, 0.25, 0.875, 0.97), width=168, height=112),
    "back": SimpleNamespace(crop=WHOLE, width=56, height=56),
}
GREY_LEVEL = 1.0 / 255 / 0.27
"""One grey level in normalised pixels."""
NOW = Now(0, 0)


def photograph(seed: int, width: int = 1600, height: int = 900) -> np.ndarray:
    """Structure at all scales and sensor noise, as of a street."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cells in (4, 16, 64):
        coarse = rng.uniform(0, 255, (cells, cells * 2, 3)).astype(np.uint8)
        picture += np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return np.clip(picture / 3 + rng.normal(0, 4, picture.shape), 0, 255).astype(np.uint8)


def encoded(image: np.ndarray) -> EncodedPicture:
    return EncodedPicture(encode_jpeg(image).tobytes(), *image.shape[:2], decode_jpeg)


def patches(pair: FramePair) -> np.ndarray:
    camera = CAMERAS[pair.camera]
    out = np.full((1, camera.width * camera.height // 14**2, ROW), np.nan, np.float32)
    PatchMaker(CAMERAS, TABLE).write([pair], out)
    return out[0]


@pytest.mark.parametrize(
    ("camera", "size", "factor"),
    [
        ("front", (1600, 900), 1),  # the crop's upper edge is at row 225
        ("back", (1600, 900), 4),
        ("back", (1920, 1280), 8),
        ("back", (448, 252), 2),
        ("front", (448, 252), 1),
        ("back", (100, 100), 1),
    ],
)
def test_a_picture_is_decoded_smaller_only_onto_whole_pixels_and_well_above_the_models_size(camera, size, factor):
    assert decode_factor(*size, CAMERAS[camera]) == factor


def test_a_picture_decoded_whole_gives_the_references_patches_to_the_bit():
    pictures = [encoded(photograph(seed)) for seed in (1, 2)]
    camera = CAMERAS["front"]
    small = [crop_and_resize(p.pixels(), camera.crop, camera.width, camera.height) for p in pictures]

    found = patches(FramePair("front", 0, (0, 1), tuple(pictures)))
    np.testing.assert_array_equal(found, patches_of_pair(*small, TABLE))


def test_decoding_smaller_moves_pixels_less_than_the_compression_did():
    images = [photograph(seed) for seed in (3, 4)]
    pictures = tuple(encoded(image) for image in images)
    camera = CAMERAS["back"]

    def exact(sources):
        return patches_of_pair(*(crop_and_resize(s, WHOLE, camera.width, camera.height) for s in sources), TABLE)

    found, whole = patches(FramePair("back", 0, (0, 1), pictures)), exact([p.pixels() for p in pictures])
    assert 0 < np.abs(found - whole).mean() < 0.5 * GREY_LEVEL
    assert np.abs(found - whole).max() < 4 * GREY_LEVEL


def test_whole_decoding_gives_the_references_patches_where_reduced_would_not():
    pictures = tuple(encoded(photograph(seed)) for seed in (3, 4))
    out = np.empty((1, 16, ROW), np.float32)
    PatchMaker(CAMERAS, TABLE, reduced=False).write([FramePair("back", 0, (0, 1), pictures)], out)
    small = [crop_and_resize(picture.pixels(), WHOLE, 56, 56) for picture in pictures]
    np.testing.assert_array_equal(out[0], patches_of_pair(*small, TABLE))
    assert not np.array_equal(patches(FramePair("back", 0, (0, 1), pictures)), out[0])


def test_a_picture_that_was_a_newer_one_is_not_decoded_again_as_an_older_one():
    maker, decoded = PatchMaker(CAMERAS, TABLE), Counter()
    small = {stamp: encode_jpeg(photograph(stamp, 448, 252)).tobytes() for stamp in range(8)}

    def counted(stamp):
        def decode(data, factor):
            decoded[stamp] += 1
            return decode_jpeg(data, factor)

        return EncodedPicture(small[stamp], 252, 448, decode)

    pictures = {stamp: counted(stamp) for stamp in small}
    for older, newer in [(0, 3), (1, 4), (3, 6), (4, 7)]:
        out = np.empty((1, 16, ROW), np.float32)
        pair = FramePair("back", 0, (older, newer), (pictures[older], pictures[newer]))
        maker.write([pair], out)
        alone = np.empty((1, 16, ROW), np.float32)
        files = [EncodedPicture(small[stamp], 252, 448, decode_jpeg) for stamp in (older, newer)]
        PatchMaker(CAMERAS, TABLE).write([FramePair("back", 0, (older, newer), tuple(files))], alone)
        np.testing.assert_array_equal(out, alone)
    assert set(decoded.values()) == {1}
    assert maker.decoded == len(decoded) == 6

    # Another file under a stamp that is known is another picture.
    other = EncodedPicture(small[5], 252, 448, decode_jpeg)
    maker.write([FramePair("back", 0, (6, 7), (other, pictures[7]))], out)
    PatchMaker(CAMERAS, TABLE).write([FramePair("back", 0, (6, 7), (other, pictures[7]))], alone)
    np.testing.assert_array_equal(out, alone)


def test_only_pictures_that_a_later_pair_may_hold_stay_decoded():
    maker, data = PatchMaker(CAMERAS, TABLE), encode_jpeg(photograph(1, 448, 252)).tobytes()
    out = np.empty((1, 16, ROW), np.float32)
    for stamp in (*range(5, 40), *range(5, 20)):  # the data clock is set back once
        pair = tuple(EncodedPicture(data, 252, 448, decode_jpeg) for _ in range(2))
        maker.write([FramePair("back", 0, (stamp - 5, stamp), pair)], out)
        assert len(maker._kept["back", 0]) <= 5


def test_a_damaged_picture_is_refused_with_its_cameras_name():
    whole = encode_jpeg(photograph(5)).tobytes()
    broken = EncodedPicture(whole[: len(whole) // 2] + whole[-2:], 900, 1600, decode_jpeg)
    with pytest.raises(FrameError, match=r"back: JPEG of .* is damaged"):
        patches(FramePair("back", 0, (0, 1), (broken, broken)))


def test_a_damaged_picture_is_refused_when_no_other_is_worked_on_any_more():
    """What is left of a refused plan would write into the patches of the next one."""
    refused, ended = threading.Event(), []

    def broken(data, factor):
        refused.set()
        raise FrameError("damaged")

    def slow(data, factor):
        assert refused.wait(10.0)
        time.sleep(0.1)  # far longer than a caller takes to begin the next plan
        ended.append(factor)
        return np.zeros((200 // factor, 400 // factor, 3), np.uint8)

    maker = PatchMaker({"back": CAMERAS["back"], "left": CAMERAS["back"]}, TABLE, threads=2)
    pairs = [
        FramePair(camera, 0, (0, 1), (EncodedPicture(b"", 200, 400, decode),) * 2)
        for camera, decode in (("back", broken), ("left", slow))
    ]
    with pytest.raises(FrameError, match="back: damaged"):
        maker.write(pairs, np.empty((2, 16, ROW), np.float32))
    assert len(ended) == 2


def test_the_cache_knows_the_same_file_without_decoding_it():
    def never(data, factor):
        raise AssertionError("decoded")

    first, same, other = (EncodedPicture(data, 4, 4, never) for data in (b"a", b"a", b"b"))
    cache, embeddings = VisionCache(1000), np.zeros((1, 2), np.float32)
    cache.put(FramePair("front", 1, (0, 5), (first, first)), embeddings)

    assert cache.get(FramePair("front", 0, (0, 5), (same, first))) is embeddings
    assert cache.get(FramePair("front", 0, (0, 5), (other, first))) is None
    raw = np.zeros((4, 4, 3), np.uint8)
    raw.flags.writeable = False
    assert cache.get(FramePair("front", 0, (0, 5), (raw, first))) is None


class Decoding:
    """In a planner's place: looks at each picture of a set."""

    def __init__(self) -> None:
        self.seen: Counter[tuple[str, int]] = Counter()

    def warm_up(self) -> None:
        pass

    def plan(self, frames, ego, command, plan_id):
        for camera, pictures in frames.images.items():
            for stamp_ns, picture in zip(frames.stamps_ns[camera], pictures, strict=True):
                picture.pixels()
                self.seen[camera, stamp_ns] += 1
        return PlanRejection(plan_id, frames.stamp_ns, "seen", "")


def test_a_body_refuses_a_damaged_picture_once_counts_it_and_goes_on_without():
    planner, ingest = Decoding(), CameraIngest(("front", "back"), 1, 0.5)
    body = PlannerBody(planner, ingest)
    body.receive(EgoState(0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0), NOW)
    body.receive(Route("r", np.array([[0.0, 0.0], [9.0, 0.0]]), np.full(2, 9.0), ()), NOW)
    small = photograph(6, 160, 90)

    def send(camera, tick, cut=False, torn=False):
        frame = encode_frame(CameraFrame(camera, tick * 100_000_000, tick, small))
        data = frame.data[:-9] if cut else np.concatenate([frame.data[:1500], frame.data[-2:]]) if torn else frame.data
        body.receive(CompressedFrame(camera, frame.stamp_ns, tick, frame.format, data), NOW)

    for camera in ("front", "back"):
        send(camera, 0, torn=camera == "back")
    assert body.plan_once(NOW).code == "frames_invalid"
    assert body.plan_once(NOW) is None
    assert ingest.counts.damaged == 1

    send("back", 1, cut=True)
    assert (body.refused_frames, ingest.counts.damaged) == (1, 2)
    assert "no beginning or no end" in body.heartbeat(NOW).detail

    for camera in ("front", "back"):
        send(camera, 2)
    assert body.plan_once(NOW).code == "seen"
    assert planner.seen["back", 200_000_000] == 1
