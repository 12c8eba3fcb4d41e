"""How an injection into real processes is judged: scripted answers in place of the processes."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest

from onboard_vla.app.campaign import real
from onboard_vla.app.campaign.planted import NeverIntervenes
from onboard_vla.app.campaign.real import REAL_CASES, RealJob
from onboard_vla.app.straight_road.road import NotSeenError
from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import Engagement, Mode

KILLED = next(k for k, case in enumerate(REAL_CASES) if case.variant == "SIGKILL to the planner")
SILENCED = next(k for k, case in enumerate(REAL_CASES) if case.variant == "SIGKILL to the supervisor")


class ScriptedGraph:
    """Publishes every 20 ms from the signal on what `says` answers for that many ms after it; None: nothing.

    Its steps are what makes the clock go on. `stops_ms`: after the signal, when the gate begins its own stop.
    """

    def __init__(self, says, mode_before=Mode.NOMINAL, stops_ms=None):
        self.stops_ms = stops_ms
        self.says, self.mode_before, self.signal_ns, self.now_ns = says, mode_before, None, 10**9
        self.heard, self.lateness_s = [], 0.0
        self.road, self.back = self, Engagement.ENGAGED
        self.vehicle = SimpleNamespace(stopping_since=None)
        self.processes = SimpleNamespace(pid=lambda name: 1, restarts=lambda name: 0)

    def step(self):
        self.now_ns += 20_000_000
        now = Now(self.now_ns, self.now_ns)
        mode = self.mode_before if self.signal_ns is None else self.says((self.now_ns - self.signal_ns) / 1e6)
        message = replace(NeverIntervenes().tick(now), engagement=self.back, mode=mode or Mode.NOMINAL)
        arrived = [] if mode is None else [(message, now)]
        self.heard += arrived
        if self.signal_ns is not None and self.stops_ms is not None:
            begun_ns = self.signal_ns + int(self.stops_ms * 1e6)
            self.vehicle.stopping_since = Now(begun_ns, begun_ns) if self.now_ns >= begun_ns else None
        return arrived


def judged(graph, monkeypatch, case=KILLED, late_s=0.0):
    monkeypatch.setattr(os, "kill", lambda pid, number: setattr(graph, "signal_ns", graph.now_ns))
    monkeypatch.setattr(real, "time", SimpleNamespace(monotonic_ns=lambda: graph.now_ns))
    monkeypatch.setattr(real, "system_now", lambda: Now(graph.now_ns, graph.now_ns))
    watch = SimpleNamespace(since=lambda begin_ns: late_s)
    return real._break(REAL_CASES[case], RealJob(case, "zmq", 0), graph, watch)


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


@pytest.mark.parametrize(("late_s", "inconclusive"), [(0.0, False), (0.029, False), (0.031, True), (0.09, True)])
def test_a_silence_that_this_machines_lateness_explains_says_nothing(monkeypatch, late_s, inconclusive):
    """No message after 140 ms until 360 ms: 220 ms, 30 more than the gate waits."""
    says = ScriptedGraph(lambda ms: None if 150 < ms < 350 else Mode.FALLBACK if ms > 100 else Mode.NOMINAL)
    result = judged(says, monkeypatch, late_s=late_s)
    assert (result.outcome, result.gap_ms, result.inconclusive) == ("hang", 220.0, inconclusive)


def test_the_mode_too_late_is_late(monkeypatch):
    result = judged(ScriptedGraph(lambda ms: Mode.FALLBACK if ms > 300 else Mode.NOMINAL), monkeypatch)
    assert (result.outcome, result.inconclusive) == ("late", False)


def test_a_drive_that_was_in_the_mode_asked_for_before_the_fault_shows_nothing(monkeypatch):
    graph = ScriptedGraph(lambda ms: Mode.FALLBACK, mode_before=Mode.FALLBACK)
    with pytest.raises(NotSeenError, match="before the fault"):
        judged(graph, monkeypatch)


@pytest.mark.parametrize(("stops_ms", "outcome"), [(201.3, "handled"), (220.0, "handled"), (220.4, "late")])
def test_a_silenced_supervisor_is_judged_by_the_instant_of_the_gates_first_braking(monkeypatch, stops_ms, outcome):
    graph = ScriptedGraph(lambda ms: None if ms < 1000 else Mode.IN_LANE_STOP, stops_ms=stops_ms)
    graph.back = Engagement.LATCHED

    result = judged(graph, monkeypatch, SILENCED)

    assert (result.outcome, result.handling_ms, result.latched_on_return) == (outcome, stops_ms, True)


def test_a_gate_that_stopped_before_the_signal_shows_nothing(monkeypatch):
    graph = ScriptedGraph(lambda ms: None if ms < 1000 else Mode.IN_LANE_STOP, stops_ms=-20.0)
    graph.back = Engagement.LATCHED

    assert judged(graph, monkeypatch, SILENCED).outcome == "late"
