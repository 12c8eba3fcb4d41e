"""What `benchmarks/plan_latency.py` calls time outside engines and patches is all of it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.runtime import engine
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.patches import PatchMaker
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.vision import VisionEncoder

SLOW_S = 0.1


def slowed(work, calls):
    def slow(*arguments, **named):
        calls.append(work)
        end = time.thread_time() + SLOW_S
        while time.thread_time() < end:
            pass
        return work(*arguments, **named)

    return slow


@pytest.mark.parametrize(
    ("owner", "name", "is_outside"),
    [
        (VisionEncoder, "pairs", True),
        (VisionEncoder, "look_up", True),
        (engine, "prepared_for", True),
        (PatchMaker, "write", False),
    ],
)
def test_only_engines_sessions_and_patches_are_inside(bundles, tiny, monkeypatch, owner, name, is_outside):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    from plan_latency import Instant, ours

    calls: list[object] = []
    monkeypatch.setattr(owner, name, slowed(getattr(owner, name), calls))
    images = {role: tuple(stack) for role, stack in tiny.random_images(np.random.default_rng(0)).items()}
    frames = FrameSet(1_500_000_000, images, dict.fromkeys(images, tuple(500_000_000 * k for k in range(4))))
    ego, bundle = EgoState(0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0), Bundle.open(bundles())
    actions = Planner(bundle).plan(frames, ego, "keep forward", 1).action_tokens
    candidate = ours("ours", bundle, 1, forced=False, vision_cache=False)
    calls.clear()

    candidate.measure(Instant(frames, ego, "keep forward", actions), counted=True)

    assert calls
    slower_ms = len(calls) * SLOW_S * 1e3
    outside_ms = candidate.outside[0] * candidate.cpu_ms[0]
    assert (outside_ms >= slower_ms * 0.9) == is_outside
