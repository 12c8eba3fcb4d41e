"""Benchmarks count what they say they count."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))


def busy(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_processor_time_of_a_plan_is_that_of_all_threads_as_the_peers_count_theirs():
    from plan_latency import Candidate

    def plan(_):
        worker = threading.Thread(target=busy, args=(0.1,))
        worker.start()
        worker.join()
        return {"passes": 1.0}

    candidate = Candidate("threaded", plan)
    candidate.measure(None, counted=True)
    assert candidate.cpu_ms[0] >= 100.0


def test_passes_are_counted_in_the_rhythm_that_was_asked_for_and_by_default_in_the_products():
    from passes import DEFAULT_RHYTHM, places

    assert places("0,2,5,7") == DEFAULT_RHYTHM, "as tests/runtime/test_anchor_pacing.py sees a planner plan"
    assert places("0,1,2,3,4,5,6,7,8,9") == tuple(range(10))
    for text in ("0,10", "2,0", "1,1", "-1", "half"):
        with pytest.raises(ValueError, match=r"--at|invalid literal"):
            places(text)


def test_no_turn_of_the_memory_benchmark_is_like_another_so_that_a_cache_without_a_bound_grows():
    from memory import SPACING_NS, driven, moved

    picture = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    frames = FrameSet(0, {"front": (picture,)}, {"front": (0,)}, {"front": 0})
    ego = EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0)
    shown, speeds = set(), set()
    for turn in range(250):
        later = moved(frames, turn * SPACING_NS, turn)
        assert later.stamp_ns == later.stamps_ns["front"][0] == turn * SPACING_NS
        shown.add(later.images["front"][0].tobytes())
        speeds.add(round(driven(ego, turn * SPACING_NS, turn).speed_mps, 3))
    assert len(shown) == 250
    assert len(speeds) > 200


def test_pictures_of_the_memory_and_the_outside_benchmark_are_known_to_the_vision_cache_a_second_later():
    from memory import SPACING_NS, later, moved

    from onboard_vla.runtime.vision_cache import FramePair, VisionCache

    picture = np.zeros((60, 80, 3), np.uint8)
    picture.flags.writeable = False
    frames = FrameSet(0, {"front": (picture, picture)}, {"front": (0, 1)}, {"front": 0})

    def pair(found):
        return FramePair("front", 0, found.stamps_ns["front"], found.images["front"])

    for again in (lambda: later(frames, SPACING_NS), lambda: moved(frames, SPACING_NS, 7)):
        cache = VisionCache(SPACING_NS)
        cache.put(pair(again()), np.zeros((1, 1), np.float32))
        assert cache.get(pair(again())) is not None
