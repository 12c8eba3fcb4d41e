"""A planner's host is handed out warm: warming up belongs to building it, where no limit on passes holds."""

from __future__ import annotations

import threading
import time

import pytest

from onboard_vla.core.clock import system_now
from onboard_vla.core.errors import EngineError
from onboard_vla.core.plan import Heartbeat
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.planner_host import PLANNER_ROLE, build_planner_host

pytest.importorskip("torch")
STUCK_AFTER_S = 1.0
"""The least that the option takes."""


@pytest.fixture
def options(bundles):
    given = {"bundle": str(bundles()), "silent_after_s": 0.5, "stuck_after_s": STUCK_AFTER_S}
    return PLANNER_ROLE.values(given)


def test_a_warm_up_that_outlasts_the_limits_of_a_pass_neither_silences_nor_ends_the_planner(
    options, monkeypatch
) -> None:
    warmed = []

    def slow(_: Planner) -> None:
        time.sleep(STUCK_AFTER_S + 0.1)
        warmed.append(threading.current_thread())

    monkeypatch.setattr(Planner, "warm_up", slow)
    sent = []

    host = build_planner_host(options)

    (worker,) = warmed
    assert worker.is_alive(), "graphs that ONNX Runtime captured belong to the thread that plans"
    host.start(sent.append, system_now)
    host.timers[0].tick()
    assert host.failure() is None
    assert host.stop()
    assert not worker.is_alive()
    assert len(warmed) == 1, "the worker does not warm up once more"
    (beat,) = sent
    assert isinstance(beat, Heartbeat)
    assert beat.ready


def test_engines_that_load_but_do_not_run_make_no_host(options, monkeypatch) -> None:
    def broken(_: Planner) -> None:
        raise EngineError("language: the engine broke")

    monkeypatch.setattr(Planner, "warm_up", broken)

    with pytest.raises(EngineError, match="the engine broke"):
        build_planner_host(options)
