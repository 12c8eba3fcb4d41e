"""Objects in lane coordinates and who is yielded to: each condition on its own, on both sides of its limit."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.lane_leads import LaneObjects, in_lane_coordinates, lane_leads
from onboard_vla.safety.object_memory import ObjectSet

LINE = Polyline(np.array([[0.0, 0.0], [400.0, 0.0]]))
CORNER = Polyline(np.array([[float(x), 0.0] for x in range(101)] + [[100.0, float(y)] for y in range(1, 101)]))
TIMES = np.arange(0.0, 3.6, 0.5)
VEHICLE = VehicleGeometry(length_m=4.0, width_m=2.0, wheelbase_m=2.5, rear_overhang_m=1.0)
"""Its front is 3 m, its middle 1 m ahead of the rear axle."""
MARGINS = CollisionLimits(vulnerable_margin_m=0.5)


def objects(*rows, on_foot=False, drift=math.nan):
    """Rows of x, y, heading, vx, vy, length, width."""
    states = np.array(rows, np.float64)
    count = len(states)
    walks = np.full(count, on_foot)
    return ObjectSet(states, np.zeros(count, np.int64), walks, walks, np.full(count, 9), np.full(count, drift))


def seen(*rows, line=LINE, reach=2.0, start=100.0, speed=10.0, **kind):
    return in_lane_coordinates(objects(*rows, **kind), line, reach, start, speed)


def car(x, y, vx=0.0, vy=0.0, heading=0.0):
    return [x, y, heading, vx, vy, 4.0, 2.0]


class TestLaneCoordinates:
    @pytest.mark.parametrize("turn", [0.0, 0.3, math.pi / 2, 2.5, -1.0])
    def test_the_extent_of_a_turned_box_along_and_across_the_lane(self, turn):
        found = seen(car(120.0, 0.0, heading=turn))
        c, s = abs(math.cos(turn)), abs(math.sin(turn))
        assert found.half_length_m == pytest.approx([2.0 * c + 1.0 * s])
        assert found.half_width_m == pytest.approx([2.0 * s + 1.0 * c])

    @pytest.mark.parametrize("heading", [0.7, -2.0])
    def test_turned_means_against_the_lanes_own_direction(self, heading):
        c, s = math.cos(heading), math.sin(heading)
        line = Polyline(np.array([[0.0, 0.0], [400.0 * c, 400.0 * s]]))
        found = seen(car(120.0 * c, 120.0 * s, heading=heading), line=line)
        assert (found.half_length_m, found.half_width_m) == (pytest.approx([2.0]), pytest.approx([1.0]))
        assert (found.s_m[0], found.d_m[0]) == (pytest.approx([120.0]), pytest.approx([0.0], abs=1e-9))

    @pytest.mark.parametrize(("y", "kept"), [(4.0, 1), (-4.0, 1), (4.25, 0), (-4.25, 0)])
    def test_standing_objects_are_kept_up_to_a_metre_beyond_the_reach(self, y, kept):
        """2 m of reach, 1 m of slack, and half the width."""
        assert len(seen(car(120.0, y)).along_mps) == kept

    @pytest.mark.parametrize(
        ("y", "vy", "kept"),
        [(18.0, -4.0, 1), (18.25, -4.0, 0), (-18.0, 4.0, 1), (-18.25, 4.0, 0), (18.0, 4.0, 0), (20.0, -12.0, 1),
         (-20.0, 12.0, 1)],
    )  # fmt: skip
    def test_objects_that_come_near_or_cross_within_three_and_a_half_seconds_are_kept(self, y, vy, kept):
        found = seen([120.0, y, math.pi / 2, 0.0, vy, 2.0, 2.0])
        assert len(found.along_mps) == kept
        if kept:
            assert found.d_m[:, 0] == pytest.approx(y + vy * TIMES)

    @pytest.mark.parametrize(("x", "kept"), [(70.0, 1), (69.75, 0), (210.0, 1), (210.25, 0)])
    def test_objects_behind_or_farther_than_eight_seconds_are_left_out(self, x, kept):
        """30 m behind 100 m, or 80 m and 30 m ahead of it."""
        assert len(seen(car(x, 0.0)).along_mps) == kept

    def test_rows_of_those_that_are_kept_belong_together(self):
        found = seen(
            car(300.0, 0.0, 1.0), car(150.0, 1.0, 5.0), car(120.0, 9.0), [130.0, -1.0, 0.0, 8.0, 0.0, 6.0, 2.5]
        )
        assert found.objects.states[:, 0].tolist() == [150.0, 130.0]
        assert found.s_m[0].tolist() == [150.0, 130.0]
        assert found.d_m[0].tolist() == [1.0, -1.0]
        assert found.along_mps.tolist() == [5.0, 8.0]
        assert found.half_length_m.tolist() == [2.0, 3.0]
        assert found.half_width_m.tolist() == [1.0, 1.25]
        assert found.s_m[:, 0] == pytest.approx(150.0 + 5.0 * TIMES)

    @pytest.mark.parametrize(("drift", "expected"), [(-1.0, -1.0), (math.nan, -0.5)])
    def test_who_follows_the_road_drifts_as_it_was_seen_to(self, drift, expected):
        found = seen(car(120.0, 3.0, 8.0, -0.5), drift=drift)
        assert found.d_m[:, 0] == pytest.approx(3.0 + expected * TIMES)

    def test_who_does_not_follow_it_moves_as_it_does(self):
        found = seen([120.0, 3.0, 0.0, 1.0, -1.0, 0.5, 0.5], on_foot=True, drift=-9.0)
        assert found.d_m[:, 0] == pytest.approx(3.0 - TIMES)
        assert found.vulnerable.tolist() == [True]

    def test_on_a_bend_those_who_follow_the_road_go_round_it_and_others_straight_on(self):
        follower = seen(car(90.0, 0.0, 8.0), line=CORNER, start=60.0)
        assert follower.s_m[:, 0] == pytest.approx(90.0 + 8.0 * TIMES)
        assert follower.d_m[:, 0] == pytest.approx(0.0 * TIMES)
        walker = seen([95.0, -3.0, 0.0, 2.0, 0.0, 0.5, 0.5], line=CORNER, start=60.0, on_foot=True)
        x = 95.0 + 2.0 * TIMES
        assert walker.s_m[:, 0] == pytest.approx(np.minimum(x, 100.0))
        assert walker.d_m[:, 0] == pytest.approx(-np.hypot(np.maximum(x - 100.0, 0.0), 3.0))

    @pytest.mark.parametrize(("speed", "moving"), [(0.25, False), (0.3, False), (0.35, True), (0.5, True)])
    def test_slower_than_three_tenths_is_standing(self, speed, moving):
        found = seen([99.4, -3.0, 0.0, speed, 0.0, 0.5, 0.5], line=CORNER, start=60.0, on_foot=True)
        assert found.moving.tolist() == [moving]
        assert found.s_m[-1, 0] == pytest.approx(100.0 if moving else 99.4 + 3.5 * speed)


PATH = SimpleNamespace(line_s_m=np.array([100.0, 200.0]), offset_m=np.array([0.0, 0.0]))


def other(gap, aside=9.0, *, at=None, along=0.0, vulnerable=False, moving=True):
    """An object of 4 m, its rear `gap` ahead of the front and its flank `aside` of the lane's centre.

    `at`: the one instant at which its flank is on the centre itself instead.
    """
    d = np.full((len(TIMES), 1), aside + 1.0)
    if at is not None:
        d[np.flatnonzero(at == TIMES)] = 1.0
    s = 100.0 + 3.0 + gap + 2.0 + along * TIMES[:, None]
    one = np.ones(1)
    return LaneObjects(
        ObjectSet.empty(), s, d, along * one, 2.0 * one, one, np.array([vulnerable]), np.array([moving])
    )  # fmt: skip


def yielded(others, speed=10.0, path=PATH):
    return lane_leads(path, others, speed, VEHICLE, MARGINS, 0.25)


class TestNow:
    @pytest.mark.parametrize(("aside", "vulnerable", "found"), [(1.25, False, True), (1.375, False, False),
                                                                (1.5, True, True), (1.625, True, False)])  # fmt: skip
    @pytest.mark.parametrize("side", [1, -1])
    def test_the_corridor_is_half_the_width_and_the_margin(self, aside, vulnerable, found, side):
        row = other(25.0, aside, vulnerable=vulnerable, along=3.0, moving=False)
        row.d_m[:] *= side
        assert yielded(row) == ([(25.0, 3.0)] if found else [])

    @pytest.mark.parametrize(("s", "d", "found"), [(150.0, 3.25, True), (150.0, 3.5, False), (150.0, -1.25, True),
                                                   (150.0, -1.5, False), (125.0, 2.75, True),
                                                   (125.0, 3.0, False)])  # fmt: skip
    def test_the_corridor_follows_the_paths_offset(self, s, d, found):
        """2 m at 200 m, so 1 m at 150 m and half of that at 125 m; the object is 1 m to either side of `d`."""
        path = SimpleNamespace(line_s_m=PATH.line_s_m, offset_m=np.array([0.0, 2.0]))
        row = other(s - 105.0, moving=False)
        row.d_m[:] = d
        assert bool(yielded(row, path=path)) is found

    @pytest.mark.parametrize(("gap", "aside", "found"), [(-3.0, 1.0, True), (-3.0, 1.125, False), (0.0, 1.0, True),
                                                         (0.0, 1.125, False), (0.25, 1.125, True)])  # fmt: skip
    def test_beside_the_vehicle_only_its_own_width_counts(self, gap, aside, found):
        assert yielded(other(gap, aside, moving=False)) == ([(gap, 0.0)] if found else [])

    @pytest.mark.parametrize(("gap", "found"), [(-4.0, False), (-3.75, True)])
    def test_an_object_is_ahead_beyond_the_vehicles_middle(self, gap, found):
        assert bool(yielded(other(gap, 0.0))) is found

    @pytest.mark.parametrize(("gap", "found"), [(95.0, False), (94.75, True)])
    def test_what_lies_beyond_the_paths_end_is_not_on_it(self, gap, found):
        assert bool(yielded(other(gap, 0.0))) is found

    def test_where_things_are_now_decides_not_where_they_soon_will_be(self):
        assert yielded(other(-4.0, 0.0, along=4.0)) == []
        assert yielded(other(95.0, 0.0, along=-5.0)) == []
        assert yielded(other(-3.0, 1.125, at=0.5, moving=False)) == []

    def test_who_drives_away_is_still_a_lead(self):
        assert yielded(other(25.0, 0.0, along=12.0)) == [(25.0, 12.0)]


class TestEntering:
    """At 10 m/s towards what stands: the gap is gone in a tenth of its metres, and both lengths later it is passed."""

    @pytest.mark.parametrize(("gap", "found"), [(35.0, True), (35.25, False), (2.0, True), (1.75, False)])
    def test_who_comes_in_after_two_seconds_is_reached_half_a_second_before_passing_or_one_and_a_half_later(
        self, gap, found
    ):
        """Reached after 3.5 s at the latest; passed after 1 s at the earliest: 2 m, and 4 m of either."""
        assert yielded(other(gap, at=2.0)) == ([(gap, 0.0)] if found else [])

    @pytest.mark.parametrize("at", [0.5, 1.0, 3.5])
    def test_every_instant_counts(self, at):
        assert bool(yielded(other(15.0, at=at))) is (at - 1.0 <= 2.3)

    @pytest.mark.parametrize(("speed", "found"), [(4.0, True), (5.0, True), (5.5, False)])
    def test_beside_the_vehicle_what_counts_is_that_it_has_not_passed(self, speed, found):
        """The rear is 3 m behind the front: 5 m until both lengths are passed, 1 s at 5 m/s."""
        assert bool(yielded(other(-3.0, at=2.0), speed)) is found

    def test_who_stands_comes_in_nowhere(self):
        assert yielded(other(20.0, at=2.0, moving=False)) == []

    @pytest.mark.parametrize(("along", "found"), [(9.875, True), (9.9375, False), (10.0, False), (12.0, False)])
    def test_nearly_the_same_speed_never_closes_in(self, along, found):
        """An eighth of a metre a second closes 0.375 m in 3 s."""
        assert bool(yielded(other(0.375, at=2.0, along=along))) is found

    @pytest.mark.parametrize(("along", "at", "found"), [(-5.0, 2.0, True), (-5.0, 2.5, False), (-0.3, 2.5, True),
                                                        (-0.35, 2.5, False)])  # fmt: skip
    def test_oncoming_ones_are_believed_for_two_seconds(self, along, at, found):
        assert bool(yielded(other(20.0, at=at, along=along))) is found

    def test_nobody_is_nobody(self):
        assert yielded(in_lane_coordinates(ObjectSet.empty(), LINE, 2.0, 100.0, 10.0)) == []
