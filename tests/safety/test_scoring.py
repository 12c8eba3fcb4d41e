"""What a proposal is worth, term by term: weights of 5, 5, 2 and 2, from proposals that are written out by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from shapely.affinity import rotate, translate
from shapely.geometry import box

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.proposals import Rollouts
from onboard_vla.safety.scoring import boxes_touch, drivable_m, score

VEHICLE = VehicleGeometry(length_m=4.0, width_m=2.0, wheelbase_m=2.5, rear_overhang_m=1.0)
"""From 1 m behind the rear axle to 3 m ahead of it, 1 m to either side."""
MARGINS = CollisionLimits(lateral_margin_m=0.5)
SPEEDS = (10.0, 8.0, 6.0, 4.0, 2.0)
"""Of the five shares; judged up to 3.9 s, where they are 39, 31.2, 23.4, 15.6 and 7.8 m on."""
TIMES = np.arange(41) * 0.1
S = np.arange(0.0, 101.0, 0.5)


def lanes(left=4.0, right=4.0, end=200):
    wide = np.ones(end + 1)
    points = np.column_stack([np.arange(end + 1.0), 0 * wide])
    return LaneObservation(0, points, left * wide, right * wide, 3.5, wide, ())


def path(offset=0.0, curvature=0.0, start=0.0):
    """Along the lane, `offset` (a number or by arc length) beside it."""
    beside = offset + 0.0 * S
    return SimpleNamespace(s_m=S, x_m=start + S, y_m=beside, heading_rad=0.0 * S, curvature_per_m=curvature + 0.0 * S,
                           line_s_m=start + S, offset_m=beside)  # fmt: skip


def objects(*rows, on_foot=False):
    """Rows of x, y, heading, vx, vy, length, width."""
    states = np.array(rows, np.float64).reshape(-1, 7)
    walks = np.full(len(states), on_foot)
    return ObjectSet(states, np.zeros(len(states), np.int64), walks, walks, np.full(len(states), 9), states[:, 0] * 0)


def steady(count=1):
    """Each share at its own constant speed, for each of `count` paths."""
    speed = np.tile(np.array(SPEEDS), count)[:, None] + 0 * TIMES
    return Rollouts(speed * TIMES, speed, 0 * speed)


def judged(rollouts=None, paths=None, targets=(0.0,), others=None, road=None, own=(0.0, 0.0)):
    paths = paths or [path()] * len(targets)
    return score(
        paths, rollouts or steady(len(paths)), targets, np.array(own), others or objects(), road or lanes(), VEHICLE,
        MARGINS,
    )  # fmt: skip


def worth(progress=1.0, close=False, comfort=True, keeps=True):
    return 0.1 + 0.9 * (5.0 * (not close) + 5.0 * progress + 2.0 * comfort + 2.0 * keeps) / 14.0


def test_on_an_empty_road_progress_alone_differs():
    found = judged()
    assert found.total == pytest.approx([worth(share) for share in (1.0, 0.8, 0.6, 0.4, 0.2)])
    assert found.contact_s.tolist() == [99.0] * 5


@pytest.mark.parametrize(("farthest", "progress"), [(5.0, 1.0), (5.25, 0.8)])
def test_where_nobody_gets_farther_than_five_metres_all_progress_counts_alike(farthest, progress):
    speed = steady().speed_mps
    rollouts = Rollouts(speed * TIMES * (farthest / (10.0 * TIMES[39])), speed, 0 * speed)
    assert judged(rollouts).total[1] == pytest.approx(worth(progress))


@pytest.mark.parametrize(("acceleration", "comfort"), [(-4.05, True), (-4.0625, False), (-9.0, False), (6.0, True)])
@pytest.mark.parametrize("step", [0, 1, 40])
def test_hard_braking_at_any_step_is_no_comfort(acceleration, comfort, step):
    rollouts = steady()
    rollouts.acceleration_mps2[2, step] = acceleration
    found = judged(rollouts).total
    assert found[2] == pytest.approx(worth(0.6, comfort=comfort))
    assert found[1] == pytest.approx(worth(0.8))


@pytest.mark.parametrize(("curvature", "comfort"), [(0.048, [1, 1]), (-0.048, [1, 1]), (0.05, [0, 1]), (-0.05, [0, 1]),
                                                    (0.08, [0, 0])])  # fmt: skip
def test_a_curve_at_speed_is_no_comfort(curvature, comfort):
    """100, 64 and 36 (m/s)^2 times the curvature; 4.89 m/s^2 are allowed."""
    along = path(curvature=np.where(S == 50.0, curvature, 0.0))
    found = judged(paths=[along]).total
    assert found[:3] == pytest.approx([worth(1.0, comfort=comfort[0]), worth(0.8, comfort=comfort[1]), worth(0.6)])


def test_the_highest_speed_of_all_counts_in_a_curve():
    rollouts = steady()
    rollouts.speed_mps[2, 30] = 10.0
    assert judged(rollouts, [path(curvature=0.05)]).total[2] == pytest.approx(worth(0.6, comfort=False))


@pytest.mark.parametrize(("target", "keeps"), [(0.5, True), (-0.5, True), (0.625, False), (-0.625, False)])
def test_half_a_metre_from_the_centre_is_lane_keeping(target, keeps):
    found = judged(targets=(0.0, target)).total
    assert found[5:] == pytest.approx([worth(share, keeps=keeps) for share in (1.0, 0.8, 0.6, 0.4, 0.2)])
    assert found[0] == pytest.approx(1.0)


def test_what_leaves_the_road_is_worth_nothing_and_no_measure_of_progress():
    """The front would be beyond 30 m + 3 m, where the road narrows to the vehicle's half; 23.4 m are the most."""
    found = judged(road=lanes(left=np.where(np.arange(201) >= 33, 0.5, 4.0)))
    assert found.total == pytest.approx([0.0, 0.0, worth(1.0), worth(15.6 / 23.4), worth(7.8 / 23.4)])
    assert found.contact_s.tolist() == [99.0] * 5


def standing(gap, y=0.0, length=4.0, width=2.0):
    """A box whose rear is `gap` ahead of the front."""
    return [3.0 + gap + length / 2, y, 0.0, 0.0, 0.0, length, width]


class TestContact:
    """Judged every 0.3 s; at 10 m/s the gap shrinks by 3 m in that time."""

    @pytest.mark.parametrize(("gap", "at"), [(12.0, 1.2), (12.1, 1.5), (2.9, 0.3), (35.9, 3.6), (38.9, 3.9)])
    def test_contact_is_the_first_instant_of_touch_and_later_is_better(self, gap, at):
        found = judged(others=objects(standing(gap)))
        assert found.contact_s[0] == pytest.approx(at)
        assert found.total[0] == pytest.approx(0.001 * at)
        assert found.contact_s[4] == pytest.approx(99.0 if gap > 7.8 else 1.5)

    def test_progress_is_measured_by_those_without_contact(self):
        found = judged(others=objects(standing(25.0)))
        assert (found.contact_s < 90.0).tolist() == [True, True, False, False, False]
        assert found.total[2:] == pytest.approx([worth(1.0, close=True), worth(15.6 / 23.4), worth(7.8 / 23.4)])

    @pytest.mark.parametrize(("y", "on_foot", "touch"), [(2.09, False, True), (2.11, False, False),
                                                         (2.49, True, True), (2.51, True, False),
                                                         (-2.09, False, True), (-2.11, False, False)])  # fmt: skip
    def test_a_tenth_of_a_metre_to_the_side_is_contact_and_of_people_the_margin(self, y, on_foot, touch):
        found = judged(others=objects(standing(12.0, y), on_foot=on_foot))
        assert bool(found.contact_s[0] < 90.0) is touch

    def test_the_soonest_object_counts_and_a_crossing_one_where_it_will_be(self):
        """At 6 m/s from 12 m aside: in the lane from 1.7 s on, when the vehicle is 17 m on."""
        crosser = [21.0, -12.0, math.pi / 2, 0.0, 6.0, 2.0, 2.0]
        assert judged(others=objects(crosser)).contact_s[0] == pytest.approx(1.8)
        assert judged(others=objects(crosser, standing(35.0))).contact_s[0] == pytest.approx(1.8)
        assert judged(others=objects(standing(9.0), crosser)).contact_s[0] == pytest.approx(0.9)


@pytest.mark.parametrize("turn", [0.7, 2.5, -1.2])
class TestAnywhere:
    """The same in a frame that is turned: paths, lane and objects alike."""

    def judged(self, turn, *rows, on_foot=False):
        c, s = math.cos(turn), math.sin(turn)
        along = path()
        along.x_m, along.y_m, along.heading_rad = c * S, s * S, turn + 0.0 * S
        road = lanes()
        road = replace(road, centreline=np.column_stack([c * np.arange(201), s * np.arange(201)]))
        turned = [[c * x - s * y, s * x + c * y, heading + turn, c * vx - s * vy, s * vx + c * vy, length, width]
                  for x, y, heading, vx, vy, length, width in rows]  # fmt: skip
        return judged(paths=[along], others=objects(*turned, on_foot=on_foot), road=road).contact_s[0]

    @pytest.mark.parametrize("side", [1, -1])
    def test_standing_and_crossing_ones(self, turn, side):
        assert self.judged(turn, standing(12.0)) == pytest.approx(1.2)
        assert self.judged(turn, standing(12.0, side * 2.09)) == pytest.approx(1.2)
        assert self.judged(turn, standing(12.0, side * 2.11)) == 99.0
        crosser = [21.0, -12.0 * side, side * math.pi / 2, 0.0, 6.0 * side, 2.0, 2.0]
        assert self.judged(turn, crosser) == pytest.approx(1.8)
        oblique = [13.0, side * 2.5, side * math.pi / 4, 0.0, 0.0, 4.0, 2.0]
        assert self.judged(turn, oblique) == pytest.approx(0.9)

    def test_who_runs_into_the_vehicle(self, turn):
        assert self.judged(turn, [-0.5, 1.5, 0.0, 9.0, 0.0, 4.0, 2.0]) == 0.0
        assert self.judged(turn, [-0.5, 1.5, 0.0, 12.0, 0.0, 4.0, 2.0]) > 0.0
        assert self.judged(turn, [-0.5, 1.5, 0.0, 12.0, -9.0, 4.0, 2.0], on_foot=True) > 0.0
        assert self.judged(turn, [-0.5, 1.5, 0.0, 9.0, -9.0, 4.0, 2.0], on_foot=True) == 0.0

    def test_people_at_the_corner(self, turn):
        assert self.judged(turn, [3.24, 1.74, 0.0, 0.0, 0.0, 0.5, 0.5], on_foot=True) == 0.0


class TestClose:
    """Short of contact: at any instant, held speed would touch within 0.9 s."""

    def stopping(self, at_m, first=10.0):
        """All proposals drive `first` and stand from `at_m` on."""
        distance = np.minimum(first * TIMES, at_m) + np.zeros((5, 1))
        speed = np.where(distance < at_m, first, 0.0)
        return Rollouts(distance, speed, 0 * speed)

    @pytest.mark.parametrize(("gap", "close"), [(29.9, True), (30.1, False)])
    def test_nine_tenths_of_a_second_ahead(self, gap, close):
        """Standing from 22 m on, the last instant of driving is that at 2.1 s, 21 m on; 9 m more would be 30 m."""
        found = judged(self.stopping(22.0), others=objects(standing(gap)))
        assert found.contact_s.tolist() == [99.0] * 5
        assert found.total == pytest.approx([worth(close=close)] * 5)

    @pytest.mark.parametrize("gap", [23.9, 26.9])
    def test_three_and_six_tenths_ahead_count_too(self, gap):
        assert judged(self.stopping(22.0), others=objects(standing(gap))).total[0] == pytest.approx(worth(close=True))

    @pytest.mark.parametrize(("x", "close"), [(8.0, True), (13.0, True), (20.0, True), (10.0, False), (16.0, False),
                                              (22.0, False)])  # fmt: skip
    def test_each_of_three_projections_counts_by_itself(self, x, close):
        """20 m/s at the first instant alone, then standing 3 m on: 5 to 9, 11 to 15 and 17 to 21 m."""
        found = judged(self.stopping(3.0, 20.0), others=objects([x, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]))
        assert found.total == pytest.approx([worth(close=close)] * 5)

    @pytest.mark.parametrize(("speed", "close"), [(0.005, False), (0.006, True)])
    def test_who_stands_is_close_to_nobody(self, speed, close):
        """An oncoming vehicle reaches the standing one after the 3.9 s that are judged, and within the 0.9 s ahead."""
        still = np.full((5, 41), speed)
        oncoming = [3.0 + 42.0 + 2.0, 0.0, math.pi, -10.0, 0.0, 4.0, 2.0]
        found = judged(Rollouts(still * TIMES, still, 0 * still), others=objects(oncoming))
        assert found.contact_s.tolist() == [99.0] * 5
        assert found.total == pytest.approx([worth(close=close)] * 5)

    def test_the_projection_follows_the_heading(self):
        """Turned by a right angle in place: what lies ahead of it then is close, what lay ahead before is not."""
        turned = path()
        turned.heading_rad = turned.heading_rad + math.pi / 2
        slow = np.full((5, 41), 4.0)
        rollouts = Rollouts(0 * slow, slow, 0 * slow)
        ahead = [0.0, 3.0 + 2.0 + 2.0, math.pi / 2, 0.0, 0.0, 4.0, 2.0]
        assert judged(rollouts, [turned], others=objects(ahead)).total[0] == pytest.approx(worth(close=True))
        assert judged(rollouts, [turned], others=objects(standing(2.0))).total[0] == pytest.approx(worth())


def drivable(*paths, road):
    return drivable_m(list(paths), road, VEHICLE).tolist()


class TestDrivable:
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_it_ends_where_the_front_comes_to_a_narrow_place(self, side):
        """Narrow from 60 m on: the front is there when the rear axle is at 57 m."""
        road = lanes(**{side: np.where(np.arange(201) >= 60, 0.75, 4.0)})
        assert drivable(path(), path(start=20.0), road=road)[0] == 57.0
        assert drivable(path(start=20.0), road=road) == [37.0]

    @pytest.mark.parametrize(("left", "end"), [(0.995, math.inf), (0.98, 57.0)])
    def test_a_centimetre_is_forgiven(self, left, end):
        assert drivable(path(), road=lanes(left=np.where(np.arange(201) >= 60, left, 4.0))) == [end]

    def test_where_it_begins_outside_only_more_of_it_counts(self):
        assert drivable(path(), road=lanes(left=0.75)) == [math.inf]
        assert drivable(path(), road=lanes(left=np.where(np.arange(201) >= 60, 0.5, 0.75))) == [57.0]
        assert drivable(path(), road=lanes(left=np.where(np.arange(201) >= 60, 0.745, 0.75))) == [math.inf]

    def test_what_lies_beyond_the_observed_lane_is_not_judged(self):
        """100 m of lane; the front is at its very end when the rear axle is at 97 m."""
        narrow = np.where(np.arange(101) >= 100, 0.75, 4.0)
        assert drivable(path(), road=lanes(left=narrow, end=100)) == [97.0]
        assert drivable(path(offset=np.where(S > 99.5, 5.0, 0.0)), road=lanes(end=98)) == [math.inf]

    @pytest.mark.parametrize("side", [1.0, -1.0])
    def test_a_path_that_leaves_at_an_angle_leaves_with_its_front_corner(self, side):
        """The front centre is 3 sin ahead of the offset, the corner cos of half a width farther."""
        for slope in (0.1, 0.45):
            turn = math.atan(slope)
            out = (4.01 - math.cos(turn) - 3.0 * math.sin(turn)) / slope
            assert drivable(path(offset=side * slope * S), road=lanes()) == [math.ceil(out)]

    def test_the_rear_is_judged_where_the_front_is_beyond_the_lane_already(self):
        assert drivable(path(offset=np.where(S > 98.0, 5.0, 0.0)), road=lanes(end=98)) == [99.0]

    def test_each_path_by_itself(self):
        road = lanes(left=np.where(np.arange(201) >= 60, 2.5, 4.0))
        assert drivable(path(), path(offset=2.0), path(offset=-2.0), path(offset=4.0), road=road) == [
            math.inf, 57.0, math.inf, 57.0,
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("along", "across", "turn", "touch"),
    [(3.0, 0.0, 0.0, True), (3.25, 0.0, 0.0, False), (-3.0, 0.0, 0.0, True), (0.0, 1.5, 0.0, True),
     (0.0, 1.75, 0.0, False), (0.0, -1.5, 0.0, True), (3.0, 1.5, 0.0, True), (2.6, 0.0, math.pi / 2, False),
     (2.4, 0.0, math.pi / 2, True), (0.0, 2.1, math.pi / 2, False), (0.0, 1.9, math.pi / 2, True)],
)  # fmt: skip
def test_boxes_that_share_an_edge_touch(along, across, turn, touch):
    """Half sizes: 2 m and 1 m of the one, 1 m and half a metre of the other."""
    args = [np.array([value]) for value in (along, across, turn)]
    assert boxes_touch(*args, 2.0, 1.0, np.array([1.0]), np.array([0.5]))[0] == touch


@pytest.mark.parametrize("turn", [0.0, 0.3, 0.8, 1.4, 2.2, -0.6, -2.9])
def test_boxes_touch_where_shapely_says_so_all_around(turn):
    """Places all around, as near as the two can be to touching."""
    ours, theirs = box(-2.0, -1.0, 2.0, 1.0), rotate(box(-3.0, -0.4, 3.0, 0.4), turn, use_radians=True, origin=(0, 0))
    for bearing in np.arange(0.0, 6.28, 0.2):
        for distance in np.arange(0.5, 5.5, 0.25):
            x, y = distance * math.cos(bearing), distance * math.sin(bearing)
            args = [np.array([value]) for value in (x, y, turn)]
            found = boxes_touch(*args, 2.0, 1.0, np.array([3.0]), np.array([0.4]))[0]
            assert found == ours.intersects(translate(theirs, x, y))
