"""How an injection into real processes is judged: scripted answers in place of the processes."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from onboard_vla.app.campaign import real
from onboard_vla.app.campaign.planted import NeverIntervenes
from onboard_vla.app.campaign.real import REAL_CASES, RealJob
from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import Engagement, Mode

KILLED = next(k for k, case in enumerate(REAL_CASES) if case.variant == "SIGKILL to the planner")


class ScriptedGraph:
    """Publishes every 20 ms from the signal on what `says` answers for that many ms after it; None: nothing.

    Its steps are what makes the clock go on.
    """

    def __init__(self, says, mode_before=Mode.NOMINAL):
        self.says, self.mode_before, self.signal_ns, self.now_ns = says, mode_before, None, 10**9
        self.heard, self.lateness_s = [], 0.0
        self.road = self
        self.vehicle = SimpleNamespace(gate=SimpleNamespace(silent=lambda now: False))
        self.processes = SimpleNamespace(pid=lambda name: 1, restarts=lambda name: 0)

    def step(self):
        self.now_ns += 20_000_000
        now = Now(self.now_ns, self.now_ns)
        mode = self.mode_before if self.signal_ns is None else self.says((self.now_ns - self.signal_ns) / 1e6)
        message = replace(NeverIntervenes().tick(now), engagement=Engagement.ENGAGED, mode=mode or Mode.NOMINAL)
        arrived = [] if mode is None else [(message, now)]
        self.heard += arrived
        return arrived


def judged(graph, monkeypatch):
    monkeypatch.setattr(os, "kill", lambda pid, number: setattr(graph, "signal_ns", graph.now_ns))
    monkeypatch.setattr(real, "time", SimpleNamespace(monotonic_ns=lambda: graph.now_ns))
    monkeypatch.setattr(real, "system_now", lambda: Now(graph.now_ns, graph.now_ns))
    watch = SimpleNamespace(since=lambda begin_ns: 0.0)
    return real._break(REAL_CASES[KILLED], RealJob(KILLED, "zmq", 0), graph, watch)


def test_the_mode_asked_for_in_time_and_messages_to_the_end_are_handled(monkeypatch):
    result = judged(ScriptedGraph(lambda ms: Mode.FALLBACK if ms > 100 else Mode.NOMINAL), monkeypatch)
    assert (result.outcome, result.inconclusive) == ("handled", False)
    assert result.handling_ms == 120.0
    assert result.gap_ms == 20.0


def test_an_output_that_ends_after_the_reaction_is_a_hang(monkeypatch):
    result = judged(ScriptedGraph(lambda ms: None if ms > 150 else Mode.FALLBACK), monkeypatch)
    assert result.outcome == "hang"
    assert result.gap_ms == 1200.0 - 140.0


def test_an_output_that_ends_at_once_is_a_hang(monkeypatch):
    assert judged(ScriptedGraph(lambda ms: None), monkeypatch).outcome == "hang"


def test_the_mode_too_late_is_late(monkeypatch):
    result = judged(ScriptedGraph(lambda ms: Mode.FALLBACK if ms > 300 else Mode.NOMINAL), monkeypatch)
    assert (result.outcome, result.inconclusive) == ("late", False)


def test_a_drive_that_was_in_the_mode_asked_for_before_the_fault_shows_nothing(monkeypatch):
    graph = ScriptedGraph(lambda ms: Mode.FALLBACK, mode_before=Mode.FALLBACK)
    with pytest.raises(AssertionError, match="before the fault"):
        judged(graph, monkeypatch)
