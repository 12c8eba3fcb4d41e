"""Following a plan and stopping along a path: closed forms, leads, ends of what is known, and no path at all."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.safety.config import FallbackSettings, StopSettings
from onboard_vla.safety.driving import (
    STRAIGHT_M,
    TIMES_S,
    braking_of,
    emergency_stop,
    follow_plan,
    in_lane_stop,
    plan_path,
    points_of,
    stop_path,
)
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.longitudinal import POINTS, stop_distance

from .driving_range import straight_poses
from .plans import STAMP, placed

SETTINGS, STOP = FallbackSettings(), StopSettings()
LANE = Polyline(np.array([[-20.0, 0.0], [300.0, 0.0]]))
FAST = 40.0
"""A cap that no plan here reaches, m/s."""


def moving(speed=10.0, x=0.0, y=0.0, heading=0.0, yaw_rate=0.0):
    return Motion(x, y, heading, speed, 0.0, yaw_rate)


def followed(plan, motion, acceleration=0.0, age_s=0.0, leads=(), cap=FAST):
    stamp_ns = STAMP + round(age_s * 1e9)
    path = plan_path(plan, motion)
    return follow_plan(plan, path, motion, acceleration, stamp_ns, list(leads), cap, SETTINGS)


class TestFollowing:
    @pytest.mark.parametrize("acceleration", [0.0, 1.0, -1.0])
    @pytest.mark.parametrize("age_s", [0.0, 0.5])
    def test_on_the_plan_its_own_speed_at_each_instant(self, acceleration, age_s):
        plan = placed(straight_poses(10.0, acceleration), 10.0)
        start = plan.speed_at(age_s)
        motion = moving(start, x=float(plan.pose_at(age_s)[0]))
        profile = followed(plan, motion, plan.acceleration_at(age_s), age_s).profile
        rows = TIMES_S <= 3.0
        # In steps of 0.05 s behind what is interpolated between poses of half a second.
        assert profile.speed_mps[rows] == pytest.approx([plan.speed_at(age_s + t) for t in TIMES_S[rows]], abs=0.06)

    def test_a_speed_beside_the_plans_approaches_it_within_a_second_or_two(self):
        plan = placed(straight_poses(10.0), 10.0)
        for start in (9.0, 11.0):
            speeds = followed(plan, moving(start)).profile.speed_mps
            # Jerk-limited at first, then exponential with a time constant of 1 s.
            gaps = np.abs(speeds - 10.0)
            assert gaps[10] < 0.55
            assert gaps[30] < 0.08
            assert gaps[20] / gaps[10] == pytest.approx(math.exp(-1.0), rel=0.12)
            assert (np.diff(gaps[:35]) <= 1e-9).all()

    def test_a_cap_is_approached_but_never_harder_than_for_too_fast(self):
        plan = placed(straight_poses(10.0), 10.0)
        profile = followed(plan, moving(10.0), cap=4.0).profile
        assert profile.acceleration_mps2.min() == pytest.approx(-SETTINGS.over_speed_mps2)
        assert profile.speed_mps[-1] == pytest.approx(4.0, abs=0.15)
        mild = followed(plan, moving(10.0), cap=9.0).profile
        assert mild.acceleration_mps2[:35].min() > -1.0
        assert mild.speed_mps[35] == pytest.approx(9.0, abs=0.15)

    def test_below_the_cap_it_changes_nothing(self):
        plan = placed(straight_poses(10.0), 10.0)
        assert followed(plan, moving(10.0), cap=10.0).profile.speed_mps[:36] == pytest.approx(np.full(36, 10.0))

    def test_a_plan_that_brakes_harder_than_a_cap_asks_is_followed(self):
        plan = placed(straight_poses(10.0, -3.0), 10.0)
        with_cap = followed(plan, moving(10.0), -3.0, cap=9.9).profile.speed_mps
        assert (with_cap <= followed(plan, moving(10.0), -3.0).profile.speed_mps + 1e-9).all()

    def test_it_ends_no_later_than_the_checked_path(self):
        """A plan of 50 m at 10 m/s, seen 2 s later: 30 m are left, and 4 m/s^2 stop within them."""
        plan = placed(straight_poses(10.0), 10.0)
        profile = followed(plan, moving(10.0, x=20.0), age_s=2.0).profile
        assert profile.distance_m[-1] == pytest.approx(30.0, abs=0.1)
        assert profile.acceleration_mps2.min() == pytest.approx(-5.0, abs=0.5)  # the jerk's time has to be made up for
        # Only where it must: from 10 m/s, 12.5 m before the end.
        assert profile.speed_mps[profile.distance_m < 17.0].min() > 9.9

    @pytest.mark.parametrize(("room", "overrun"), [(30.0, 0.1), (9.0, 1.5), (0.0, 11.0)])
    def test_where_the_checked_path_has_ended_it_stands(self, room, overrun):
        plan = placed(straight_poses(10.0), 10.0)
        profile = followed(plan, moving(10.0, x=50.0 - room), age_s=2.0).profile
        stopped = np.flatnonzero(profile.speed_mps == 0.0)
        assert (np.diff(stopped) == 1).all()
        assert stopped[-1] == 50
        assert profile.acceleration_mps2[-1] == pytest.approx(-1.5)
        assert room <= profile.distance_m[-1] < room + overrun

    def test_an_end_that_comes_too_soon_is_braked_for_as_hard_as_it_goes(self):
        plan = placed(straight_poses(10.0), 10.0)
        rows = followed(plan, moving(10.0, x=41.0), age_s=2.0).profile.acceleration_mps2
        assert rows[1] == pytest.approx(-SETTINGS.emergency_jerk_mps3 * 0.1)
        assert rows.min() == -6.0

    def test_no_plan_is_driven_harder_than_its_guards_allow(self):
        plan = placed(straight_poses(10.0), 10.0)
        quick = followed(plan, moving(3.0)).profile
        assert quick.acceleration_mps2.max() == pytest.approx(3.0)
        assert followed(plan, moving(25.0)).profile.acceleration_mps2.min() == pytest.approx(-6.0)

    @pytest.mark.parametrize(("start", "jerk"), [(8.0, SETTINGS.jerk_mps3), (14.0, SETTINGS.emergency_jerk_mps3)])
    def test_jerk_is_gentle_unless_it_has_to_brake_hard(self, start, jerk):
        plan = placed(straight_poses(10.0), 10.0)
        rows = followed(plan, moving(start)).profile.acceleration_mps2
        assert abs(rows[1]) == pytest.approx(jerk * 0.1, rel=1e-6)

    def test_the_acceleration_in_force_is_where_it_begins(self):
        rows = followed(placed(straight_poses(10.0), 10.0), moving(10.0), -2.0).profile.acceleration_mps2
        assert rows[0] == -2.0
        assert rows[1] == pytest.approx(-2.0 + SETTINGS.jerk_mps3 * 0.1)

    def test_a_lead_is_braked_for_with_the_gates_law(self):
        """Standing 18 m ahead at 10 m/s: 100 / (2 * 17) = 2.94 m/s^2 are needed, and a tenth more is braked."""
        plan = placed(straight_poses(10.0), 10.0)
        found = followed(plan, moving(10.0), leads=[Lead(18.0, 0.0)])
        assert found.profile.acceleration_mps2[1] == pytest.approx(-SETTINGS.emergency_jerk_mps3 * 0.1)
        assert found.profile.speed_mps[-1] < 0.5
        assert 15.5 < found.profile.distance_m[-1] < 17.5
        assert found.leads == (Lead(18.0, 0.0),)
        far = followed(plan, moving(10.0), leads=[Lead(30.0, 0.0)]).profile
        assert far.acceleration_mps2[1] == pytest.approx(0.0, abs=0.01)
        beside = followed(plan, moving(10.0), leads=[Lead(18.0, 0.0), Lead(40.0, 5.0)])
        assert beside.profile.distance_m == pytest.approx(found.profile.distance_m)

    def test_a_lead_that_drives_on_takes_its_gap_with_it(self):
        plan = placed(straight_poses(10.0), 10.0)
        assert followed(plan, moving(10.0), leads=[Lead(18.0, 9.5)]).profile.acceleration_mps2[:36].min() > -0.1
        nearer = followed(plan, moving(10.0), leads=[Lead(25.0, -3.0)]).profile
        standing = followed(plan, moving(10.0), leads=[Lead(25.0, 0.0)]).profile
        assert nearer.distance_m[-1] < standing.distance_m[-1] - 3.0

    def test_the_leads_path_and_plan_are_the_trajectorys(self):
        plan = placed(straight_poses(10.0), 10.0)
        motion = moving(10.0, x=1.0, y=0.3)
        path = plan_path(plan, motion)
        assert path.known_m == pytest.approx(plan.path.length - 1.0)
        assert (path.x_m[0], path.y_m[0]) == (pytest.approx(1.0), pytest.approx(0.0, abs=1e-6))
        assert follow_plan(plan, path, motion, 0.0, STAMP, [], FAST, SETTINGS).path is path


class TestStopPath:
    def test_with_a_line_it_joins_it(self):
        path = stop_path(LANE, moving(10.0, y=1.0), SETTINGS)
        assert path.s_m[-1] == pytest.approx(STRAIGHT_M, abs=0.6)
        assert path.offset_m[0] == pytest.approx(1.0)
        assert path.offset_m[np.searchsorted(path.s_m, 20.0)] == pytest.approx(0.0, abs=0.01)
        assert path.offset_m[np.searchsorted(path.s_m, 10.0)] == pytest.approx(0.5, abs=0.02)

    @pytest.mark.parametrize(("speed", "length_m"), [(19.0, STRAIGHT_M), (30.0, 150.0)])
    def test_it_is_as_long_as_the_trajectory_at_least(self, speed, length_m):
        assert stop_path(LANE, moving(speed), SETTINGS).s_m[-1] == pytest.approx(length_m, abs=0.6)

    @pytest.mark.parametrize("yaw_rate", [0.3, -0.3])
    @pytest.mark.parametrize("heading", [0.0, 2.0])
    def test_without_one_the_present_arc_straightens(self, yaw_rate, heading):
        """The heading still changes by curvature times the length over which it fades, here the speed in metres."""
        path = stop_path(None, moving(10.0, 5.0, 6.0, heading, yaw_rate), SETTINGS)
        assert (path.x_m[0], path.y_m[0]) == (5.0, 6.0)
        for s in (5.0, 20.0, 80.0):
            turn = yaw_rate / 10.0 * 10.0 * (1 - math.exp(-s / 10.0))
            assert np.interp(s, path.s_m, path.heading_rad) == pytest.approx(heading + turn, abs=0.02)
        assert path.s_m[-1] == pytest.approx(STRAIGHT_M, abs=1.5)
        assert path.known_m == pytest.approx(STRAIGHT_M - 1.0, abs=1.5)

    def test_standing_without_a_line_it_looks_straight_ahead(self):
        path = stop_path(None, moving(0.0, 5.0, 6.0, 2.0), SETTINGS)
        assert path.heading_rad == pytest.approx(np.full(len(path.s_m), 2.0))
        assert path.x_m[-1] == pytest.approx(5.0 + 100.0 * math.cos(2.0), abs=0.5)

    def test_creeping_the_curve_is_no_sharper_than_at_one_metre_a_second(self):
        path = stop_path(None, moving(0.2, yaw_rate=0.3), SETTINGS)
        assert path.heading_rad[-1] == pytest.approx(0.3, abs=0.02)


class TestInLaneStop:
    def stop(self, speed=10.0, acceleration=0.0, leads=()):
        motion = moving(speed)
        return in_lane_stop(stop_path(LANE, motion, SETTINGS), motion, acceleration, list(leads), SETTINGS, STOP)

    def test_gently_to_standstill(self):
        profile = self.stop(6.0).profile
        assert profile.acceleration_mps2[1] == pytest.approx(-0.1)
        assert profile.acceleration_mps2[15:45] == pytest.approx(np.full(30, -1.5))
        assert self.stop(6.0).leads == ()
        assert profile.distance_m[-1] == pytest.approx(stop_distance(6.0, 0.0, 1.5, 1.0), abs=0.15)

    def test_it_does_not_accelerate_first_and_keeps_the_braking_in_force(self):
        assert self.stop(10.0, 1.0).profile.acceleration_mps2[0] == 0.0
        assert self.stop(10.0, -3.0).profile.acceleration_mps2[0] == -3.0
        assert self.stop(10.0, -3.0).profile.acceleration_mps2[1] == pytest.approx(-2.9)

    @pytest.mark.parametrize(("gap", "wanted"), [(1.0 + 100 / (2 * 2.0), 2.0), (1.0 + 100 / (2 * 1.4), 1.5)])
    def test_where_less_room_is_left_as_hard_as_it_takes(self, gap, wanted):
        profile = self.stop(leads=[Lead(gap, 0.0)]).profile
        # Between building up and where the gate has to make up for the building up.
        assert -profile.acceleration_mps2[6 if wanted > 1.5 else 15] == pytest.approx(wanted)
        jerk = SETTINGS.jerk_mps3 if wanted > 1.5 else STOP.in_lane_jerk_mps3
        assert profile.acceleration_mps2[1] == pytest.approx(-0.1 * jerk)

    def test_the_nearest_need_counts_up_to_the_cap_and_the_gate_beyond(self):
        both = self.stop(leads=[Lead(60.0, 0.0), Lead(22.0, 0.0)]).profile
        assert both.acceleration_mps2[10] == pytest.approx(
            self.stop(leads=[Lead(22.0, 0.0)]).profile.acceleration_mps2[10]
        )
        near = self.stop(leads=[Lead(11.0, 0.0)])
        assert near.profile.acceleration_mps2[1] == pytest.approx(-0.1 * SETTINGS.emergency_jerk_mps3)
        assert -6.0 <= near.profile.acceleration_mps2.min() < -4.5
        assert near.profile.distance_m[-1] < 11.0
        assert near.leads == (Lead(11.0, 0.0),)

    def test_a_lead_that_drives_on_leaves_room(self):
        away = self.stop(leads=[Lead(18.0, 9.0)]).profile
        needed = 100.0 / (2 * (17.0 + 81.0 / 16.0))  # should it brake with 8 m/s^2
        assert away.acceleration_mps2.min() == pytest.approx(-needed)
        towards = self.stop(leads=[Lead(40.0, -4.0)]).profile
        assert towards.acceleration_mps2.min() < -2.5

    @pytest.mark.parametrize(("gap", "speed"), [(0.5, 12.0), (0.2, 11.0), (-40.0, 12.0)])
    def test_for_a_lead_that_gets_away_never_harder_than_the_cap(self, gap, speed):
        """Should it brake hard, more than the cap would be required, or any braking would be too little."""
        profile = self.stop(leads=[Lead(gap, speed)]).profile
        assert profile.acceleration_mps2[profile.speed_mps > 2.0].min() == -STOP.in_lane_cap_mps2
        assert profile.acceleration_mps2.min() >= -STOP.in_lane_cap_mps2


class TestReplaced:
    """What drove until now braked already, or was about to."""

    def stop(self, *replaced, acceleration=0.0):
        motion = moving(20.0)
        path = stop_path(LANE, motion, SETTINGS)
        rows = [row for row in replaced for _ in range(2)] + [replaced[-1]] * (2 * POINTS - 2 * len(replaced))
        found = in_lane_stop(path, motion, acceleration, [], SETTINGS, STOP, replaced_mps2=rows)
        return found.profile.acceleration_mps2

    @pytest.mark.parametrize(("braking", "expected"), [(3.0, 3.0), (1.6, 1.6), (1.4, 1.5), (-2.0, 1.5), (4.5, 4.0)])
    def test_it_is_braked_as_hard_as_that_to_the_cap(self, braking, expected):
        rows = self.stop(-braking, acceleration=-expected)
        assert rows == pytest.approx(np.full(len(rows), -expected))

    @pytest.mark.parametrize(("braking", "jerk"), [(1.4, "in_lane"), (1.6, "calm"), (2.4, "calm"), (2.6, "emergency")])
    def test_the_braking_builds_up_as_behind_a_plan(self, braking, jerk):
        known = {
            "in_lane": STOP.in_lane_jerk_mps3,
            "calm": SETTINGS.jerk_mps3,
            "emergency": SETTINGS.emergency_jerk_mps3,
        }
        assert self.stop(-braking)[1] == pytest.approx(-0.1 * known[jerk])

    def test_each_instant_has_its_own(self):
        rows = self.stop(*[-3.0] * 5, *[0.0] * 25, -2.0, acceleration=-3.0)
        assert rows[4] == pytest.approx(-3.0)
        assert rows[22:30] == pytest.approx(np.full(8, -1.5))
        assert rows[33:] == pytest.approx(np.full(len(rows) - 33, -2.0))

    def test_of_a_trajectory_what_is_left_and_beyond_its_end_as_there(self):
        plan = placed(straight_poses(20.0, -2.0), 20.0)
        model = followed(plan, moving(20.0))
        assert model.planned_mps2 == pytest.approx(np.interp(TIMES_S, plan.times_s, plan.acceleration_mps2))
        rows = braking_of(model, 1.0)
        assert len(rows) == 2 * POINTS
        assert rows[::2][:40] == pytest.approx(model.planned_mps2[10:50])
        assert rows[-20:] == pytest.approx(np.full(20, model.planned_mps2[-1]))
        own = dataclasses.replace(model, planned_mps2=None)
        assert braking_of(own, 0.0)[::2] == pytest.approx(own.profile.acceleration_mps2)


class TestKnownRoom:
    """The in-lane stop where what is known of the path ends; from 10 m/s, 1.5 m/s^2 take 33 m and the jerk's 7 m."""

    def stop(self, room_m, *, speed=10.0, acceleration=0.0, shown=False, settings=SETTINGS, leads=()):
        motion = moving(speed)
        path = stop_path(LANE, motion, settings)
        return in_lane_stop(path, motion, acceleration, list(leads), settings, STOP, room_m, shown=shown)

    def test_with_room_to_spare_nothing_changes(self):
        free, wide = self.stop(math.inf).profile, self.stop(60.0).profile
        assert wide.acceleration_mps2.tolist() == free.acceleration_mps2.tolist()
        assert self.stop(60.0).room_m == 60.0

    @pytest.mark.parametrize("needed", [1.6, 2.0, 3.0, 3.9])
    def test_as_hard_as_it_takes_to_end_there(self, needed):
        profile = self.stop(100.0 / (2 * needed), acceleration=-needed).profile
        moves = profile.speed_mps > 1.0
        assert profile.acceleration_mps2[moves] == pytest.approx(np.full(moves.sum(), -needed), abs=0.02)
        if needed > 2.0:
            assert profile.distance_m[-1] == pytest.approx(100.0 / (2 * needed), abs=0.1)

    def test_it_builds_up_sooner_than_the_gentle_stop_does(self):
        profile = self.stop(25.0).profile
        assert profile.acceleration_mps2[1] == pytest.approx(-0.1 * SETTINGS.jerk_mps3)
        # What building up takes is made up for.
        assert -2.4 < profile.acceleration_mps2[8] < -2.0
        assert profile.distance_m[-1] == pytest.approx(25.0, abs=0.1)

    @pytest.mark.parametrize("room_m", [8.0, 1.0, 0.0, -5.0])
    def test_never_harder_than_the_cap(self, room_m):
        profile = self.stop(room_m).profile
        assert profile.acceleration_mps2.min() == -STOP.in_lane_cap_mps2
        assert profile.speed_mps[-1] == 0.0

    def test_close_to_the_end_it_creeps_on_no_farther(self):
        creeping, slower = (self.stop(0.0, speed=speed).profile for speed in (0.6, 0.5))
        assert creeping.acceleration_mps2[1] == pytest.approx(-0.1 * SETTINGS.jerk_mps3)
        assert slower.acceleration_mps2[1] == pytest.approx(-0.1 * STOP.in_lane_jerk_mps3)

    def test_where_lanes_show_more_as_it_goes_only_sight_is_braked_for(self):
        needed = SETTINGS.sight_deceleration_mps2
        wide = self.stop(100.0 / (2 * (needed - 0.6)), speed=10.0, shown=True).profile
        assert wide.acceleration_mps2[1] == pytest.approx(-0.1 * STOP.in_lane_jerk_mps3)
        assert wide.acceleration_mps2.min() < -1.6  # later, unless lanes have shown more by then
        assert wide.distance_m[-1] == pytest.approx(100.0 / (2 * (needed - 0.6)), abs=0.3)
        near = self.stop(100.0 / (2 * (needed + 0.1)), shown=True).profile
        assert near.acceleration_mps2[1] == pytest.approx(-0.1 * SETTINGS.emergency_jerk_mps3)

    def test_an_end_that_moves_on_asks_for_no_emergency_stop(self):
        assert self.stop(20.0, shown=True).room_m == math.inf
        assert self.stop(20.0).room_m == 20.0

    def test_sight_that_may_be_braked_for_less_than_the_stop_does_changes_nothing(self):
        soft = dataclasses.replace(SETTINGS, sight_deceleration_mps2=0.5)
        room_m = 100.0 / (2 * 1.4)
        one, two = (self.stop(room_m, acceleration=-1.5, shown=shown, settings=soft).profile for shown in (True, False))
        assert one.acceleration_mps2.tolist() == two.acceleration_mps2.tolist()
        assert one.acceleration_mps2[5] == pytest.approx(-1.5)

    def test_a_lead_before_the_end_is_braked_for_harder(self):
        lead = Lead(20.0, 0.0)
        profile, alone = self.stop(30.0, leads=[lead]).profile, self.stop(math.inf, leads=[lead]).profile
        assert profile.acceleration_mps2[3:20] == pytest.approx(alone.acceleration_mps2[3:20], abs=0.1)
        behind = self.stop(18.0, leads=[Lead(60.0, 0.0)]).profile
        assert behind.distance_m[-1] == pytest.approx(18.0, abs=0.1)

    @pytest.mark.parametrize(("needed", "jerk"), [(1.45, "in_lane"), (1.6, "calm"), (3.0, "emergency")])
    def test_a_signal_is_braked_for_at_once_though_lanes_show_more(self, needed, jerk):
        known = {
            "in_lane": STOP.in_lane_jerk_mps3,
            "calm": SETTINGS.jerk_mps3,
            "emergency": SETTINGS.emergency_jerk_mps3,
        }
        motion = moving(10.0)
        path = stop_path(LANE, motion, SETTINGS)
        signal_m = 100.0 / (2 * needed)
        found = in_lane_stop(path, motion, 0.0, [], SETTINGS, STOP, shown=True, signal_m=signal_m)
        assert found.profile.acceleration_mps2[1] == pytest.approx(-0.1 * known[jerk])
        assert found.profile.distance_m[-1] < signal_m + 0.1 or needed < 1.5
        assert found.room_m == math.inf


class TestEmergencyStop:
    def test_as_hard_as_it_goes_and_held(self):
        motion = moving(10.0)
        found = emergency_stop(stop_path(LANE, motion, SETTINGS), motion, 0.0, STOP)
        rows = found.profile.acceleration_mps2
        assert rows[1] == pytest.approx(-1.265)
        assert rows[6:15] == pytest.approx(np.full(9, -6.0))
        assert found.profile.distance_m[-1] == pytest.approx(stop_distance(10.0, 0.0, 6.0, 12.65), abs=0.3)
        assert rows[-1] == pytest.approx(-1.5)
        assert found.profile.speed_mps[-1] == 0.0
        assert found.leads == ()

    def test_it_does_not_accelerate_first(self):
        motion = moving(10.0)
        path = stop_path(LANE, motion, SETTINGS)
        assert emergency_stop(path, motion, 2.0, STOP).profile.acceleration_mps2[0] == 0.0
        assert emergency_stop(path, motion, -4.0, STOP).profile.acceleration_mps2[0] == -4.0


def test_points_begin_with_the_vehicle_and_lie_a_tenth_apart():
    motion = moving(8.0, x=3.0, y=0.4, heading=0.1)
    path = stop_path(LANE, motion, SETTINGS)
    trajectory = emergency_stop(path, motion, 0.0, STOP)
    points = points_of(trajectory, motion)
    assert points.shape == (51, 6)
    assert points[:, 0] == pytest.approx(np.arange(51) * 0.1)
    assert points[0, 1:4] == pytest.approx([3.0, 0.4, 0.1])
    assert points[:, 4] == pytest.approx(trajectory.profile.speed_mps)
    assert points[:, 5] == pytest.approx(trajectory.profile.acceleration_mps2)
    assert points[20, 1:4] == pytest.approx(path.poses(trajectory.profile.distance_m[[20]])[0])
