"""The vision cache hits for identical pictures of identical stamps, and for nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.cameras import CompressedFrame
from onboard_vla.runtime.planner_host import PLANNER_ROLE, build_planner_host
from onboard_vla.runtime.vision_cache import FramePair, VisionCache
from onboard_vla.runtime.yuv import open_yuv

EMBEDDINGS = np.ones((4, 8), np.float32)


def picture(value, writeable=False):
    array = np.full((6, 8, 3), value, np.uint8)
    array.flags.writeable = writeable
    return array


def pair(camera="front", stamps=(0, 500), images=None):
    return FramePair(camera, 0, stamps, images or (picture(1), picture(2)))


@pytest.fixture
def cache():
    filled = VisionCache(2000)
    filled.put(pair(), EMBEDDINGS)
    return filled


def test_the_same_pair_hits_in_another_slot(cache):
    assert cache.get(FramePair("front", 1, (0, 500), pair().images)) is EMBEDDINGS
    assert (cache.hits, cache.misses) == (1, 0)


@pytest.mark.parametrize(
    "other",
    [
        pair(camera="back"),
        pair(stamps=(0, 501)),
        pair(stamps=(1, 500)),
        pair(images=(picture(1), picture(3))),
        pair(images=(picture(2), picture(1))),
    ],
)
def test_anything_that_differs_misses(cache, other):
    assert cache.get(other) is None
    assert cache.misses == 1


def test_equal_bytes_of_another_layout_or_size_are_other_pictures():
    data = np.random.default_rng(0).integers(0, 256, 8 * 4 * 2, np.uint8)
    first, again, *others = (
        open_yuv(CompressedFrame("front", 0, 0, form, data))
        for form in ("uyvy 8x4", "uyvy 8x4", "yuyv 8x4", "uyvy 4x8", "yuyv 4x8")
    )
    cache = VisionCache(2000)
    cache.put(pair(images=(first, first)), EMBEDDINGS)
    assert cache.get(pair(images=(again, again))) is EMBEDDINGS
    for other in others:
        assert cache.get(pair(images=(first, other))) is None
        assert cache.get(pair(images=(other, first))) is None


def test_a_writeable_picture_is_never_trusted():
    cache = VisionCache(2000)
    images = picture(1, writeable=True), picture(2)
    cache.put(pair(images=images), EMBEDDINGS)
    assert cache.get(pair(images=images)) is None


def test_pairs_older_than_the_horizon_are_forgotten(cache):
    cache.expire(2500)
    assert len(cache) == 1
    cache.expire(2501)
    assert len(cache) == 0


def test_pairs_from_a_clock_that_was_set_back_are_forgotten(cache):
    cache.expire(100)
    assert len(cache) == 0


def test_a_rigs_early_shutter_makes_its_planners_cache_remember_for_longer(bundles):
    options = {"bundle": str(bundles()), "cameras.offsets_s": "front_left=-0.2"}
    cache = build_planner_host(PLANNER_ROLE.values(options))._body._planner.vision.cache
    cache.put(pair("front_left", stamps=(-500_000_000, 0)), EMBEDDINGS)
    cache.expire(1_299_000_000)  # 1 s of the prompt, the shutter's 0.2 s, 0.1 s of slack
    assert len(cache) == 1
    cache.expire(1_301_000_000)
    assert len(cache) == 0
