"""Single ticks for who drives: the lanes that a person leaves, the stop of each mode, the word after an error."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.safe_trajectory import DriverState, Engagement, Mode
from onboard_vla.safety import supervisor as module

from .driven_range import driving


@pytest.fixture
def drive():
    return driving()


@pytest.fixture
def lanes_told(drive, monkeypatch):
    """What the place of lanes hears of a tick: that all is let go, or where the vehicle is."""
    told = []
    place = drive.supervisor._inputs.lane_place
    monkeypatch.setattr(place, "let_go", lambda: told.append("let go"))
    monkeypatch.setattr(place, "leave", lambda here: told.append(here.copy()))
    return told


class TestLanesOfBefore:
    def test_nobody_lets_them_go_while_the_supervisor_drives(self, drive, lanes_told):
        drive.step()
        assert drive.published[-1].engagement is Engagement.ENGAGED
        assert lanes_told == []

    def test_in_standby_they_are_let_go(self, drive, lanes_told):
        drive.command("disengage")
        assert drive.step().engagement is Engagement.STANDBY
        assert lanes_told == ["let go"]

    def test_a_driver_who_moves_leaves_them_from_where_the_vehicle_is(self, drive, lanes_told):
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
        assert drive.step().engagement is Engagement.DRIVER_OVERRIDE
        (here,) = lanes_told
        assert here.shape == (1, 2)
        assert here[0] == pytest.approx([drive.vehicle.x, drive.vehicle.y], abs=0.2)

    def test_with_an_unknown_motion_nothing_is_said_of_them(self, drive, lanes_told, monkeypatch):
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
        monkeypatch.setattr(drive.supervisor, "_motion", lambda now: None)
        assert drive.step().engagement is Engagement.DRIVER_OVERRIDE
        assert lanes_told == []

    @pytest.mark.parametrize(("command", "asked"), [("engage", True), ("stop", False)])
    def test_they_are_asked_for_obstacles_where_somebody_engages_alone(self, drive, monkeypatch, command, asked):
        calls = []
        inner = module.lane_obstacles
        monkeypatch.setattr(module, "lane_obstacles", lambda *a: calls.append(a) or inner(*a))
        drive.command(command)
        drive.step()
        assert bool(calls) is asked


class TestStops:
    """Deceleration of the stop that each mode chooses, with nothing in the way."""

    @pytest.mark.parametrize(
        ("mode", "speed", "asked", "hardest"),
        [
            (Mode.IN_LANE_STOP, 8.0, Mode.IN_LANE_STOP, 1.5),
            (Mode.IN_LANE_STOP, 8.0, Mode.EMERGENCY_STOP, 1.5),
            (Mode.EMERGENCY_STOP, 8.0, Mode.EMERGENCY_STOP, 6.0),
            (Mode.EMERGENCY_STOP, 8.0, Mode.NOMINAL, 6.0),
            # Latched and rolling: the driver has just let go.
            (Mode.STOPPED, 8.0, Mode.IN_LANE_STOP, 1.5),
            (Mode.STOPPED, 8.0, Mode.NOMINAL, 1.5),
            (Mode.STOPPED, 8.0, Mode.EMERGENCY_STOP, 6.0),
        ],
    )
    def test_l3_and_rolling_on_a_hold_brake_gently_all_else_hard(self, drive, mode, speed, asked, hardest):
        supervisor = drive.supervisor
        supervisor._asked = asked
        motion = module.replace(supervisor._motion(drive.now), speed_mps=speed)
        found = supervisor._stop(motion, drive.now, mode)
        assert found.profile.acceleration_mps2.min() == pytest.approx(-hardest)

    @pytest.mark.parametrize(("faster", "rolls"), [(0.0, True), (-1e-6, False)])
    def test_rolling_begins_at_the_speed_that_ends_standstill(self, drive, monkeypatch, faster, rolls):
        supervisor, chosen = drive.supervisor, []
        supervisor._asked = Mode.NOMINAL
        for name in ("in_lane_stop", "emergency_stop"):
            monkeypatch.setattr(module, name, lambda *_, name=name, **more: chosen.append(name))
        limit = supervisor.config.ladder.standstill_mps
        motion = module.replace(supervisor._motion(drive.now), speed_mps=limit + faster)
        supervisor._stop(motion, drive.now, Mode.STOPPED)
        assert chosen == ["in_lane_stop" if rolls else "emergency_stop"]


def test_after_an_error_the_driver_who_lets_go_finds_it_latched(drive, monkeypatch):
    """The error's answer is a stop: whoever took over in it has to rearm."""
    monkeypatch.setattr(drive.supervisor, "_tick", lambda now: 1 / 0)
    drive.supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
    message = drive.step()
    assert message.engagement is Engagement.DRIVER_OVERRIDE
    assert drive.supervisor.state.must_rearm
    assert not np.isnan(message.points).any()
