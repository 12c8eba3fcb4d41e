"""Single figures of freshness, processes, cameras and wheels: reason, measured value and limit at every threshold."""

from __future__ import annotations

import pytest

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import WheelSpeed
from onboard_vla.core.plan import Heartbeat
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.safety.config import NOT_PERCEIVED, FallbackSettings, StalenessLimits
from onboard_vla.safety.guards.cameras import camera_requests
from onboard_vla.safety.guards.freshness import ego_age_s, input_requests, process_requests
from onboard_vla.safety.guards.wheel import wheel_requests
from onboard_vla.safety.input_config import CameraArrivalLimits, WheelLimits
from onboard_vla.safety.inputs import EGO, GUARD, LANES, OBJECTS, OPERATOR, PLACE, PLANNER, ROUTE, SPEEDS, Inputs
from onboard_vla.safety.operating_domain import OperationalDesignDomain

from .driving_range import make_ego, simulation_config

CONFIG = simulation_config()
WHEELS = simulation_config(wheel=WheelLimits(presence="required"))
T0, MS = 50_000_000_000, 1_000_000
OK, L1, L2, L3, L4 = Mode.NOMINAL, Mode.REDUCED, Mode.FALLBACK, Mode.IN_LANE_STOP, Mode.EMERGENCY_STOP


def at(ms, data_ms=None):
    return Now(T0 + round(ms * MS), T0 + round((ms if data_ms is None else data_ms) * MS))


def figures(requests):
    return {(r.level, r.reason.code, r.reason.measured, r.reason.limit) for r in requests}


class TestInputs:
    def test_what_was_never_received_counts_none_of_one(self):
        assert figures(input_requests(Inputs(CONFIG), at(0), CONFIG)) == {
            (L4, "EGO_MISSING", 0.0, 1.0),
            (L3, "OBJECTS_MISSING", 0.0, 1.0),
            (L3, "LANES_MISSING", 0.0, 1.0),
            (L3, "ROUTE_MISSING", 0.0, 1.0),
        }
        assert ego_age_s(Inputs(CONFIG), at(0)) == float("inf")

    def test_without_perception_nothing_is_missed_and_the_mode_is_named(self):
        ages, domain = StalenessLimits(age_max_s=0.5), OperationalDesignDomain(speed_max_mps=8.0)
        slow = FallbackSettings(speed_cap_mps=8.0)
        config = simulation_config(perception=NOT_PERCEIVED, staleness=ages, odd=domain, fallback=slow)
        assert figures(input_requests(Inputs(config), at(0), config)) == {
            (L4, "EGO_MISSING", 0.0, 1.0),
            (OK, "NO_PERCEPTION", 0.0, 1.0),
            (L3, "ROUTE_MISSING", 0.0, 1.0),
        }

    @pytest.mark.parametrize(("topic", "level"), [(EGO, L3), (OBJECTS, L2), (LANES, L2)])
    def test_skewed_stamps_of_the_ego_state_stop_the_vehicle_and_others_lead_to_the_fallback(self, topic, level):
        inputs = Inputs(CONFIG)
        inputs.skews[topic] = Reason("SKEWED", 0.1, 0.07, "")
        assert (level, "SKEWED", 0.1, 0.07) in figures(input_requests(inputs, at(0), CONFIG))

    @pytest.mark.parametrize(
        ("code", "topic", "level"),
        [("LANES_AWAY", LANES, L3), ("LANES_JUMP", LANES, L3), ("LANES_DOUBTED", LANES, OK),
         ("LANES_IMPLAUSIBLE", LANES, L2), ("ROUTE_AWAY", PLACE, L3), ("X", EGO, L3), ("X", OBJECTS, L3),
         ("X", ROUTE, L3), ("X", PLANNER, L2), ("X", GUARD, L2), ("X", OPERATOR, L2), ("X", SPEEDS, L3)],
    )  # fmt: skip
    def test_every_topics_fault_has_its_level(self, code, topic, level):
        inputs = Inputs(CONFIG)
        inputs.faults[topic] = Reason(code, 1.0, 0.0, "")
        assert (level, code, 1.0, 0.0) in figures(input_requests(inputs, at(0), CONFIG))


class TestWheels:
    def inputs(self, wheel_ms=0, ego_ms=0, ego_fault=False):
        """Both speed sources, each received and taken at its time."""
        inputs = Inputs(WHEELS)
        inputs.receive(make_ego(T0 + ego_ms * MS, x_m=0.01 * ego_ms), at(ego_ms))
        inputs.receive(WheelSpeed(T0 + wheel_ms * MS, 10.0), at(wheel_ms))
        if ego_fault:
            inputs.faults["ego"] = Reason("EGO_JUMP", 9.0, 8.5, "")
        return inputs

    def found(self, now, **how):
        wanted = ("WHEEL", "SPEED")
        return {row for row in figures(input_requests(self.inputs(**how), now, WHEELS)) if row[1].startswith(wanted)}

    def test_never_received(self):
        assert figures(wheel_requests(Inputs(WHEELS), False, at(0), WHEELS)) == {(L2, "WHEEL_MISSING", 0.0, 1.0)}
        assert figures(wheel_requests(Inputs(WHEELS), True, at(0), WHEELS)) == {
            (L2, "WHEEL_MISSING", 0.0, 1.0),
            (L4, "SPEED_LOST", 2.0, 1.0),
        }

    def test_the_odometry_is_lost_after_two_tenths_of_a_second(self):
        silent = (L2, "WHEEL_SILENT", 0.3, 0.2)
        assert self.found(at(300), ego_ms=100) == {silent}
        lost = (L4, "SPEED_LOST", 2.0, 1.0)
        assert self.found(at(300), ego_ms=99) == {silent, lost}

    def test_the_odometry_is_lost_where_its_newest_message_is_refused(self):
        assert self.found(at(300), ego_ms=250, ego_fault=True) == {
            (L2, "WHEEL_SILENT", 0.3, 0.2),
            (L4, "SPEED_LOST", 2.0, 1.0),
        }

    def test_with_wheels_nothing_is_lost(self):
        assert self.found(at(1000), wheel_ms=1000) == set()
        assert self.found(at(1000), wheel_ms=1000, ego_fault=True) == set()


def beat(sequence, process="vla_planner", started=5, done=5, ready=True):
    return Heartbeat(process, 1, sequence, T0, started, done, ready, "warming up")


class TestProcesses:
    def beats(self, *planner):
        inputs = Inputs(CONFIG)
        for ms, heartbeat in planner:
            inputs.receive(heartbeat, at(ms))
        return inputs

    def found(self, inputs, now):
        rows = figures(process_requests(inputs, now, CONFIG))
        return {row for row in rows if row[1].startswith("PLANNER")}

    def test_never_heard_of(self):
        assert figures(process_requests(Inputs(CONFIG), at(0), CONFIG)) == {
            (L2, "PLANNER_MISSING", 0.0, 1.0),
            (L2, "CAMERA_GUARD_MISSING", 0.0, 1.0),
        }

    def test_not_ready_and_silent(self):
        inputs = self.beats((0, beat(1, ready=False)))
        assert self.found(inputs, at(150)) == {(L2, "PLANNER_NOT_READY", 0.0, 1.0)}
        assert self.found(inputs, at(250)) == {
            (L2, "PLANNER_NOT_READY", 0.0, 1.0),
            (L2, "PLANNER_SILENT", 0.25, 0.15),
        }

    def test_work_begun_a_second_ago_and_not_done_is_a_hang(self):
        busy = self.beats((0, beat(1, started=5)), (100, beat(2, started=6)), (1100, beat(3, started=6)))
        assert self.found(busy, at(1100)) == set()
        assert self.found(busy, at(1225)) == {(L2, "PLANNER_HANGS", 1.125, 1.0)}

    def test_a_process_without_work_does_not_hang(self):
        idle = self.beats((0, beat(1)))
        assert {row[1] for row in self.found(idle, at(1125))} == {"PLANNER_SILENT"}


def verdict(camera, ms, usable=True, reasons=()):
    return Verdict(camera, T0 + ms * MS, ms, usable, tuple(reasons), "")


def cameras(lossy=(), until_ms=0, config=CONFIG):
    """All cameras at 10 Hz since 4 s before `until_ms`; those in `lossy` miss every fourth picture, not the last."""
    inputs = Inputs(config)
    for k in range(40, -1, -1):
        for camera in CAMERAS:
            if camera not in lossy or k % 4 != 1:
                inputs.receive(verdict(camera, until_ms - 100 * k), at(until_ms - 100 * k))
    return inputs


class TestCameras:
    def found(self, inputs, now, config=CONFIG):
        return {row for row in figures(camera_requests(inputs, now, config)) if row[1] != "CAMERA_LOSSY"}

    def test_never_judged_and_judged_bad_without_a_reason(self):
        assert figures(camera_requests(Inputs(CONFIG), at(0), CONFIG)) == {(L2, "CAMERA_MISSING", 0.0, 1.0)}
        inputs = cameras()
        inputs.receive(verdict("back", 10, usable=False), at(10))
        assert self.found(inputs, at(10)) == {(L1, "CAMERA_UNUSABLE", 1.0, 0.0)}

    def test_a_dead_camera_on_a_clean_link_counts_after_a_quarter_of_a_second(self):
        assert self.found(cameras(), at(250)) == set()
        assert self.found(cameras(), at(375)) == {(L2, "CAMERA_SILENT", 0.375, 0.25)}

    @pytest.mark.parametrize(("ms", "found"), [(500, False), (750, True)])
    def test_an_old_picture_on_a_clean_link_counts_after_half_a_second(self, ms, found):
        """A verdict's age may be that of its silence and a guard's missing heartbeat beside: 0.25 s and 0.25 s."""
        assert self.found(cameras(), at(0, ms)) == ({(L2, "CAMERA_STALE", 0.75, 0.5)} if found else set())

    @pytest.mark.parametrize(("ms", "found"), [(950, False), (1000, True)])
    def test_on_a_lossy_link_only_a_long_silence_counts(self, ms, found):
        inputs = cameras(lossy=CAMERAS)
        expected = {(L2, "CAMERA_SILENT", 1.0, 0.95)}
        assert self.found(inputs, at(ms, 0)) == (expected if found else set())

    @pytest.mark.parametrize(("ms", "found"), [(501, False), (1200, False), (1250, True)])
    def test_on_a_lossy_link_an_old_picture_counts_after_its_silence_and_the_guards(self, ms, found):
        inputs = cameras(lossy=CAMERAS)
        assert self.found(inputs, at(0, ms)) == ({(L2, "CAMERA_STALE", 1.25, 1.2)} if found else set())

    @pytest.mark.parametrize(("fraction", "found"), [(0.25, False), (0.2421875, True)])
    def test_a_share_of_losses_at_the_limit_is_none_too_many(self, fraction, found):
        """Ten of the 40 pictures that were due since the first did not come."""
        limits = CameraArrivalLimits(lossy_fraction=fraction)
        config = simulation_config(camera_arrivals=limits)
        inputs = Inputs(config)
        for k in range(40):
            for camera in CAMERAS:
                if camera != "back" or k % 4 != 2:
                    inputs.receive(verdict(camera, 100 * k), at(100 * k))
        rows = figures(camera_requests(inputs, at(3900), config))
        assert rows == ({(L1, "CAMERA_LOSSY", 0.25, fraction)} if found else set())

    @pytest.mark.parametrize(("ms", "found"), [(2875, True), (3000, False)])
    def test_the_front_camera_must_be_clean_for_three_seconds(self, ms, found):
        inputs = cameras()
        for camera in ("front", "back"):
            inputs.receive(verdict(camera, 1, usable=False, reasons=[Reason("BLACK", 0.0, 8.0, "")]), at(1))
        assert self.found(inputs, at(1)) == {(L2, "BLACK", 0.0, 8.0), (L1, "BLACK", 0.0, 8.0)}
        for camera in CAMERAS:
            inputs.receive(verdict(camera, 1 + ms), at(1 + ms))
        assert self.found(inputs, at(1 + ms)) == ({(L2, "CAMERA_RECOVERING", 2.875, 3.0)} if found else set())
