"""Taking over and letting go, supervisor and reference gate in one loop: the driver can at any time, and nobody's
vehicle rolls for longer than the watchdogs take."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.safe_trajectory import DriverState, Engagement, Mode, Takeover
from onboard_vla.core.vehicle_gate import DRIVER_ACTS_NS
from onboard_vla.ros_nodes.gate_host import GateCommand, GateHost, GateState
from onboard_vla.safety.driver_watch import DRIVER_HOLD_NS
from onboard_vla.safety.supervisor import Supervisor

from .driving_range import Mover, Range, arc_line, codes, straight_line
from .test_input_guards_in_the_loop import nominal

OVERRIDDEN, STOPPING, FOLLOWING = GateState.OVERRIDDEN, GateState.STOPPING, GateState.FOLLOWING


class Gated(Range):
    """The vehicle obeys the reference gate. `dead`: the supervisor. `driver`: what he says each tick; None: nothing.

    `driver_stamp_ns`: the one stamp of all that he says; None: each has its own.
    """

    def __init__(self, *arguments, **vehicle):
        super().__init__(*arguments, **vehicle)
        self.gate, self.driver, self.dead = GateHost(), None, False
        self.driver_stamp_ns: int | None = None
        self.commands: list[GateCommand] = []

    def step(self):
        v, now = self.vehicle, self.now
        if self.driver is not None:
            stamp_ns = now.stamp_ns if self.driver_stamp_ns is None else self.driver_stamp_ns
            said = DriverState(stamp_ns, self.driver)
            self.gate.receive(said, now)
            if not self.dead:
                self.send("driver", said)
        yaw_rate = v.curvature * v.speed
        self.gate.receive(EgoState(now.stamp_ns, v.x, v.y, v.heading, v.speed, v.acceleration, yaw_rate), now)
        if not self.dead:
            self.sense()
            self.published.append(self.supervisor.tick(now))
            self.gate.receive(self.published[-1], now)
        command = self.gate.command(now)
        self.commands.append(command)
        by_hand = command.state is OVERRIDDEN
        v.step(command.control.acceleration_mps2, v.curvature if by_hand else command.control.curvature_per_m, 0.02)
        self.tick += 1
        return self.published[-1]

    def comes_back(self, died_driving):
        self.dead, self.beats = False, self.beats + 100
        self.supervisor = Supervisor(self.config, died_driving=died_driving)
        self.send("route", self.route())

    def takes_over(self, seconds_=0.5):
        self.driver = True
        self.run(seconds_)
        assert self.commands[-1].state is OVERRIDDEN

    def lets_go(self, seconds_=0.6):
        self.driver = False
        self.run(seconds_)


@pytest.fixture
def overridden() -> Gated:
    """The driver took over during a stop."""
    drive = nominal(10.0, kind=Gated)
    drive.command("stop")
    drive.run(0.6)
    drive.takes_over()
    return drive


def broken(*_arguments):
    raise RuntimeError("planted")


def stands_within(drive: Gated, seconds_: float) -> bool:
    drive.run(seconds_)
    return drive.vehicle.speed < 0.1


def test_the_gates_hold_is_shorter_than_the_supervisors():
    assert DRIVER_ACTS_NS < DRIVER_HOLD_NS


class TestLetsGo:
    def test_a_supervisor_that_lost_the_ego_state_leaves_the_vehicle_to_the_gate(self, overridden):
        overridden.silent.add("ego")
        overridden.run(1.0)
        overridden.lets_go()
        assert overridden.published[-1].engagement is Engagement.LATCHED
        assert len(overridden.published[-1].points) == 0
        assert overridden.commands[-1].state is STOPPING
        assert stands_within(overridden, 3.5)

    def test_a_supervisor_that_comes_back_without_an_ego_state_does_too(self):
        drive = nominal(10.0, kind=Gated)
        drive.takes_over()
        drive.dead = True
        drive.run(0.5)
        drive.comes_back(died_driving=True)
        drive.silent.add("ego")
        drive.lets_go()
        assert drive.commands[-1].state is STOPPING
        assert stands_within(drive, 3.5)

    def test_one_that_fails_in_every_tick_says_that_he_let_go(self, overridden):
        overridden.supervisor._requests = broken
        overridden.run(1.0)
        assert overridden.published[-1].engagement is Engagement.DRIVER_OVERRIDE
        overridden.lets_go()
        assert overridden.published[-1].engagement is Engagement.LATCHED
        assert overridden.commands[-1].state is STOPPING
        assert stands_within(overridden, 3.5)

    def test_the_stop_goes_on_no_harder_than_in_lane(self, overridden):
        overridden.vehicle.speed = 10.0
        overridden.lets_go(8.0)
        after = overridden.commands[-400:]
        assert {command.state for command in after} == {OVERRIDDEN, FOLLOWING}
        assert min(command.control.acceleration_mps2 for command in after) > -2.5
        assert overridden.vehicle.speed < 0.1

    @pytest.mark.parametrize(("aside_m", "over_m", "seen"), [(3.5, 30, False), (3.5, 30, True), (30.0, 150, True)])
    def test_it_goes_on_where_he_left_the_vehicle_and_not_back_to_the_lane_of_before(
        self, overridden, aside_m, over_m, seen
    ):
        vehicle, steps = overridden.vehicle, round(over_m / 10.0 / 0.02)
        for _ in range(steps):
            overridden.step()
            vehicle.y, vehicle.speed, vehicle.acceleration = vehicle.y + aside_m / steps, 10.0, 0.0
            if seen:
                overridden.lane = Polyline(straight_line(origin=(0.0, vehicle.y)))
        begun = len(overridden.commands)
        speeds = []
        overridden.driver = False
        for _ in range(400):
            speeds.append(vehicle.speed)
            overridden.step()
        commands = overridden.commands[begun:]
        sideways = [v * v * c.control.curvature_per_m for v, c in zip(speeds, commands, strict=True)]
        assert max(map(abs, sideways)) < 1.0
        assert abs(vehicle.y - aside_m) < 0.5
        assert min(command.control.acceleration_mps2 for command in commands) > -2.5
        assert vehicle.speed < 0.1

    def test_a_pedal_let_go_for_moments_brakes_nobody(self, overridden):
        begun = len(overridden.commands)
        for tick in range(100):
            overridden.driver = bool(tick % 10 == 0)
            overridden.step()
        assert {command.state for command in overridden.commands[begun:]} == {OVERRIDDEN}


class TestTakesOver:
    def test_from_a_supervisor_that_fails_in_every_tick(self):
        drive = nominal(10.0, kind=Gated)
        drive.supervisor._requests = broken
        drive.run(0.1)
        assert drive.published[-1].mode is Mode.EMERGENCY_STOP
        begun = len(drive.commands)
        drive.takes_over(2.0)
        assert drive.published[-1].engagement is Engagement.DRIVER_OVERRIDE
        assert {command.state for command in drive.commands[begun:]} == {OVERRIDDEN}
        drive.lets_go()
        assert drive.published[-1].engagement is Engagement.LATCHED

    @pytest.mark.parametrize("died_driving", [False, True])
    def test_from_the_gates_own_stop_while_the_supervisor_is_dead_and_after_it_came_back(self, died_driving):
        drive = nominal(12.0, kind=Gated)
        drive.dead = True
        drive.run(0.5)
        assert drive.commands[-1].state is STOPPING
        begun = len(drive.commands)
        drive.takes_over()
        drive.comes_back(died_driving)
        drive.run(2.0)
        assert {command.state for command in drive.commands[begun:]} == {OVERRIDDEN}

    def test_nobody_brakes_against_him_when_the_supervisor_dies_and_comes_back_meanwhile(self):
        drive = nominal(10.0, kind=Gated)
        drive.takes_over()
        begun = len(drive.commands)
        drive.dead = True
        drive.run(0.5)
        drive.comes_back(died_driving=True)
        drive.run(2.0)
        assert {command.state for command in drive.commands[begun:]} == {OVERRIDDEN}
        assert drive.published[-1].engagement is Engagement.DRIVER_OVERRIDE

    def test_where_he_is_not_heard_any_more_a_supervisor_that_comes_back_stops_no_harder_than_in_lane(self):
        drive = nominal(10.0, kind=Gated)
        drive.takes_over()
        drive.dead, drive.driver = True, None
        drive.run(0.1)
        drive.comes_back(died_driving=True)
        begun = len(drive.commands)
        drive.run(8.0)
        assert {command.state for command in drive.commands[begun:]} == {OVERRIDDEN, FOLLOWING}
        assert min(command.control.acceleration_mps2 for command in drive.commands[begun:]) > -2.5
        assert drive.vehicle.speed < 0.1


class TestTouch:
    """He is heard to act once, for 20 ms."""

    def touched(self, drive):
        drive.takes_over(0.02)
        drive.driver = False

    def test_while_the_model_drives_it_asks_for_somebody_who_drives_once_it_has_ended(self):
        drive = nominal(10.0, kind=Gated)
        self.touched(drive)
        drive.run(0.52)
        message = drive.published[-1]
        assert (message.engagement, message.takeover) == (Engagement.STANDBY, Takeover.MANDATORY)
        drive.run(0.5)
        assert drive.published[-1].takeover is Takeover.MANDATORY
        drive.takes_over(1.52)
        assert drive.published[-1].takeover is Takeover.NONE

    def test_an_emergency_stop_is_released_for_the_hold_and_then_goes_on_as_hard(self):
        drive = nominal(12.0, kind=Gated)
        drive.movers = [Mover(drive.vehicle.x + 20.0)]
        while drive.published[-1].mode is not Mode.EMERGENCY_STOP:
            drive.step()
        begun = len(drive.commands)
        self.touched(drive)
        drive.run(0.6)
        said = [command.state for command in drive.commands[begun:]]
        assert said.count(OVERRIDDEN) == DRIVER_HOLD_NS // 20_000_000 + 1
        assert set(said[said.count(OVERRIDDEN) :]) == {FOLLOWING}
        assert max(command.control.acceleration_mps2 for command in drive.commands[begun + 27 :]) < -3.9


@pytest.mark.parametrize("stamp_ns", [0, 10**9])
class TestOneStampSaidAgain:
    def test_he_has_the_vehicle_through_a_stop_for_as_long_as_he_says_so(self, stamp_ns):
        drive = nominal(10.0, kind=Gated)
        drive.command("stop")
        drive.run(0.6)
        drive.driver_stamp_ns = stamp_ns
        begun = len(drive.commands)
        drive.takes_over(3.0)
        assert {command.state for command in drive.commands[begun:]} == {OVERRIDDEN}
        assert {message.engagement for message in drive.published[-150:]} == {Engagement.DRIVER_OVERRIDE}
        assert "DRIVER_STAMP_STANDS" in codes(drive.published[-1])
        assert "DRIVER_SILENT" not in codes(drive.published[-1])

    def test_he_takes_over_again_later_in_the_process_life(self, stamp_ns):
        drive = nominal(10.0, kind=Gated)
        drive.driver_stamp_ns = stamp_ns
        drive.takes_over(0.1)
        drive.driver = None
        drive.run(0.7)
        assert drive.published[-1].engagement is Engagement.STANDBY
        drive.takes_over(0.02)
        drive.driver = None
        drive.vehicle.speed = 8.0
        drive.run(2.0)
        drive.command("engage")
        assert drive.run(0.1).engagement is Engagement.ENGAGED
        drive.takes_over(0.02)
        assert drive.published[-1].engagement is Engagement.DRIVER_OVERRIDE

    def test_that_he_does_not_act_is_no_knowledge_and_the_model_drives_no_more(self, stamp_ns):
        drive = nominal(10.0, kind=Gated)
        drive.driver, drive.driver_stamp_ns = False, stamp_ns
        drive.run(0.5)
        assert drive.published[-1].mode is Mode.NOMINAL
        drive.run(0.04)
        assert "DRIVER_STAMP_STANDS" in codes(drive.published[-1])
        assert drive.published[-1].mode is Mode.FALLBACK


class TestHeard:
    def test_a_driver_who_was_heard_and_falls_silent_is_unknown_and_the_model_drives_no_more(self):
        drive = nominal(10.0, kind=Gated)
        drive.driver = False
        drive.run(1.0)
        assert drive.published[-1].mode is Mode.NOMINAL
        drive.driver = None
        drive.run(0.52)
        assert "DRIVER_SILENT" in codes(drive.published[-1])
        assert drive.published[-1].mode is Mode.FALLBACK

    @pytest.mark.parametrize("ahead_s", [1, 3600])
    def test_a_clock_of_his_that_is_ahead_is_named_and_not_called_silence(self, ahead_s):
        drive = nominal(10.0, kind=Gated)
        for _ in range(30):
            drive.driver, drive.driver_stamp_ns = False, drive.now.stamp_ns + ahead_s * 10**9
            drive.step()
        assert {"DRIVER_STAMP_AHEAD"} == {code for code in codes(drive.published[-1]) if code.startswith("DRIVER")}
        assert drive.published[-1].mode is Mode.FALLBACK

    def test_an_override_that_is_not_said_again_ends(self):
        drive = nominal(10.0, kind=Gated)
        drive.takes_over(0.2)
        drive.driver = None
        drive.run(0.48)
        assert drive.published[-1].engagement is Engagement.DRIVER_OVERRIDE
        drive.run(0.04)
        assert drive.published[-1].engagement is Engagement.STANDBY


def test_a_gate_that_starts_again_in_a_curve_stops_in_the_lane():
    drive = nominal(10.0, line=arc_line(50.0), kind=Gated)
    drive.run(9.5)
    drive.gate = GateHost()
    offsets = []
    for _ in range(200):
        drive.step()
        offsets.append(abs(float(drive.lane.project(np.array([[drive.vehicle.x, drive.vehicle.y]]))[1][0])))
    assert {command.state for command in drive.commands[-200:]} == {STOPPING}
    assert drive.vehicle.speed < 0.1
    assert max(offsets) < 0.5
