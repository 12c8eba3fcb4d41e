"""Without objects and lanes: no fallback, young plans, 30 km/h, and a stop inside the last validated path."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.safety.config import FallbackSettings, LadderSettings, StalenessLimits, SupervisorConfig
from onboard_vla.safety.config_documents import ROOM
from onboard_vla.safety.config_file import read_config

from .driving_range import Mover, Range, arc_line, codes, make_plan, make_thresholds

SHIPPED = read_config(ROOM / "no_perception.yaml", yaml.compose)
SIMULATED = replace(
    SHIPPED,
    profile="simulation",
    thresholds=make_thresholds(),
    odd=replace(SHIPPED.odd, areas=("test",), road_classes=("urban",)),
    ladder=LadderSettings(clear_s=0.5, dwell_s=0.4, handback_clear_s=0.4, shadow_passes=3),
)


def blind(config=SIMULATED, line=None, speed=7.0, standby_s=0.9):
    """A range without object and lane inputs, engaged."""
    drive = Range(config, line, speed=speed)
    drive.silent = {"objects", "lanes"}
    drive.plan_speed = speed
    drive.engage(standby_s)
    return drive


def nominal(**changes):
    drive = blind(**changes)
    drive.run(1.0)
    assert (drive.published[-1].mode, drive.published[-1].source) == (Mode.NOMINAL, "model"), codes(drive.published[-1])
    return drive


def stopped(drive, limit_s=12.0):
    for _ in range(round(limit_s / 0.02)):
        if drive.step().engagement is Engagement.LATCHED:
            return drive
    raise AssertionError(f"not latched: {drive.published[-1].mode}, {codes(drive.published[-1])}")


class TestSettings:
    def test_the_shipped_file_declares_the_profile(self):
        assert (SHIPPED.perception, SHIPPED.staleness.age_max_s) == ("none", 0.5)
        assert SHIPPED.odd.speed_max_mps * 3.6 <= 30.0
        assert SHIPPED.odd.undeclared == ("area",)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (
                {"staleness": StalenessLimits(age_max_s=0.51)},
                "age_max_s: expected at most 0.5 where perception",
            ),
            ({"odd": replace(SHIPPED.odd, speed_max_mps=8.4)}, "speed_max_mps: expected at most 8.33333"),
        ],
    )
    def test_older_plans_and_higher_speeds_are_refused(self, change, says):
        with pytest.raises(ConfigurationError, match=says):
            replace(SHIPPED, **change)


class TestEngaging:
    def test_it_begins_reduced_with_the_model_and_says_that_nobody_else_sees(self):
        message = blind().published[-1]
        assert (message.engagement, message.mode, message.source) == (Engagement.ENGAGED, Mode.REDUCED, "model")
        assert codes(message) == ["NO_PERCEPTION"]

    def test_it_is_refused_without_enough_passes_and_says_how_many(self):
        message = blind(standby_s=0.3).published[-1]
        assert message.engagement is Engagement.STANDBY
        (reason,) = message.refusals
        assert (reason.code, reason.measured, reason.limit) == ("SHADOW_PASSES", 2.0, 3.0)

    def test_it_is_refused_without_thresholds(self):
        message = blind(replace(SIMULATED, thresholds=None)).published[-1]
        assert message.engagement is Engagement.STANDBY
        assert "THRESHOLDS_MISSING" in [reason.code for reason in message.refusals]

    def test_it_is_refused_above_thirty_kilometres_an_hour(self):
        message = blind(speed=11.5).published[-1]
        assert message.engagement is Engagement.STANDBY
        assert "ODD_SPEED" in [reason.code for reason in message.refusals]

    def test_with_perception_the_same_silence_refuses(self):
        message = blind(replace(SIMULATED, perception="objects_and_lanes")).published[-1]
        assert {"OBJECTS_MISSING", "LANES_MISSING"} <= {reason.code for reason in message.refusals}


class TestDriving:
    def test_there_is_never_a_fallback(self):
        drive = nominal()
        drive.bad_cameras = {"back"}
        drive.run(1.0)
        assert drive.published[-1].mode is Mode.REDUCED
        drive.bad_cameras = {"back", "back_left"}
        stopped(drive)
        assert Mode.FALLBACK not in {m.mode for m in drive.published if m.engagement is Engagement.ENGAGED}
        assert "fallback" not in {m.source for m in drive.published}

    def test_objects_and_lanes_that_come_nevertheless_change_nothing(self):
        drive, other = nominal(), nominal()
        other.silent.clear()
        other.movers = [Mover(other.vehicle.x + 30.0, 0.0)]
        for _ in range(50):
            one, two = drive.step(), other.step()
            assert (one.mode, codes(one)) == (two.mode, codes(two))
            assert np.array_equal(one.points, two.points)

    def test_the_model_is_held_at_thirty_kilometres_an_hour(self):
        drive = blind(speed=7.0)
        drive.plan_speed = 8.9
        drive.run(10.0)
        assert drive.published[-1].source == "model"
        assert drive.vehicle.speed <= 30 / 3.6 + 0.3

    @pytest.mark.parametrize("phase", range(0, 10, 3))
    def test_no_plan_older_than_half_a_second_is_driven(self, phase):
        drive = nominal()
        drive.run(0.02 * phase)
        drive.edit[Plan] = lambda _: None
        newest = drive.now.stamp_ns - (drive.tick % 10 or 10) * 20_000_000
        while (message := drive.step()).source == "model":
            assert message.stamp_ns - newest <= 500_000_000
        assert (message.mode, message.source) == (Mode.IN_LANE_STOP, "stop")
        assert "PLAN_STALE" in codes(message)

    @pytest.mark.parametrize("line", [None, arc_line(50.0)], ids=["straight", "curve of 50 m"])
    @pytest.mark.parametrize("speed", [3.0, 7.0, 8.3])
    def test_a_dead_planner_ends_in_a_stop_on_the_last_validated_path_inside_its_length(self, line, speed):
        drive = nominal(line=line, speed=speed)
        drive.run(4.0)
        drive.silent.add("planner")
        driven = [drive.published[-1]]
        while drive.step().source == "model":
            driven.append(drive.published[-1])
        assert len(driven) * 0.02 <= 0.25
        assert drive.published[-1].mode is Mode.IN_LANE_STOP
        path = Polyline(driven[-1].points[:, 1:3][np.concatenate([[True], np.diff(driven[-1].points[:, 1]) > 1e-3])])
        first = len(drive.log)
        stopped(drive)
        s, d = path.project(np.array([[drive.vehicle.x, drive.vehicle.y]]))
        assert abs(d[0]) < 0.4
        assert s[0] < path.length - 0.5
        assert min(row[3] for row in drive.log[first:]) > -2.0
        assert {m.mode for m in drive.published[first:]} <= {Mode.IN_LANE_STOP, Mode.STOPPED}

    def test_a_stop_begun_on_a_plan_that_ends_at_standstill_is_no_longer_than_the_plan(self):
        drive = nominal(speed=8.0)
        end = drive.vehicle.x + 14.0

        def stopping(plan):
            """Constant deceleration to standstill at `end`."""
            left, v = end - drive.vehicle.x, drive.vehicle.speed
            a = v * v / (2 * max(left, 0.5))
            t = np.minimum(np.arange(1, 11) * 0.5, v / a if a > 1e-3 else 0.0)
            x = v * t - a * t * t / 2
            return make_plan(plan.stamp_ns, np.stack([x, 0 * x, 0 * x], axis=1), plan.plan_id)

        drive.edit[Plan] = stopping
        while drive.vehicle.x < end - 9.0:
            assert drive.step().source == "model", codes(drive.published[-1])
        drive.silent.add("planner")
        stopped(drive)
        assert drive.vehicle.x <= end + SIMULATED.recovery.overrun_m

    def test_a_rejected_plan_is_outlived_and_two_of_three_end_in_the_stop(self):
        drive = nominal()
        drive.edit[Plan] = lambda plan: replace(plan, poses=plan.poses + np.float32(5.0))
        while drive.step().mode < Mode.IN_LANE_STOP:
            assert drive.tick < 500
        assert "PLANS_REJECTED" in codes(drive.published[-1])

    def test_after_the_stop_it_needs_rearming_and_new_passes(self):
        drive = nominal()
        drive.silent.add("planner")
        stopped(drive)
        drive.run(1.2)
        drive.command("rearm")
        message = drive.step()
        assert message.engagement is Engagement.LATCHED
        assert {"PLANNER_SILENT", "CAUSE_PRESENT"} & {reason.code for reason in message.refusals}
        drive.silent.remove("planner")
        drive.run(0.3)
        drive.command("rearm")
        assert drive.step().engagement is Engagement.STANDBY


def test_defaults_perceive_and_a_fallback_no_faster_than_the_domain_is_still_asked_for():
    assert SupervisorConfig().perception == "objects_and_lanes"
    with pytest.raises(ConfigurationError, match="speed_cap_mps"):
        replace(SHIPPED, fallback=FallbackSettings())
