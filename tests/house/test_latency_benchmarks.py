"""Benchmarks count what they say they count."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

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
