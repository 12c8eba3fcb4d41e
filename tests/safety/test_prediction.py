"""Where objects will be: closed forms on straight and circular roads, and who follows the road at all."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.prediction import predict, seen_from, without_sliding

TIMES = np.array([0.0, 1.0, 2.5])
RADIUS = 60.0
ANGLES = np.arange(0.0, 1.6, 0.002)
LEFT_TURN = Polyline(np.stack([RADIUS * np.sin(ANGLES), RADIUS * (1 - np.cos(ANGLES))], axis=1))
LANE = Polyline(np.array([[0.0, 0.0], [100.0, 0.0]]))


def objects(*rows, on_foot=False, drift=math.nan):
    """From (x, y, heading, vx, vy)."""
    states = np.array([[*row, 4.6, 1.9] for row in rows], np.float64).reshape(-1, 7)
    count = len(states)
    flags, ones = np.full(count, on_foot), np.ones(count, np.int64)
    return ObjectSet(states, ones, flags, flags, ones, np.full(count, drift))


def on_circle(angle, speed, offset=0.0, drift=0.0, turned=0.0):
    """A row on the left turn at this angle, its velocity along (and across) the lane, its heading turned by more."""
    radius = RADIUS - offset
    along, across = np.array([math.cos(angle), math.sin(angle)]), np.array([-math.sin(angle), math.cos(angle)])
    vx, vy = speed * along + drift * across
    return (radius * math.sin(angle), RADIUS - radius * math.cos(angle), angle + turned, vx, vy)


class TestWithoutARoad:
    def test_everybody_goes_straight_on(self):
        positions, headings, velocities = predict(objects((1.0, 2.0, 0.3, 4.0, -3.0)), TIMES, None)
        assert positions[:, 0] == pytest.approx(np.array([1.0, 2.0]) + TIMES[:, None] * [4.0, -3.0])
        assert headings[:, 0] == pytest.approx(0.3)
        assert velocities[:, 0] == pytest.approx(np.tile([4.0, -3.0], (3, 1)))

    def test_nobody_is_nowhere(self):
        for line in (None, LANE):
            positions, headings, velocities = predict(ObjectSet.empty(), TIMES, line)
            assert (positions.shape, headings.shape, velocities.shape) == ((3, 0, 2), (3, 0), (3, 0, 2))


class TestAlongTheRoad:
    @pytest.mark.parametrize("speed", [12.0, -12.0])
    def test_on_a_circle_the_way_is_that_along_it_at_the_same_offset(self, speed):
        turned = 0.0 if speed > 0 else math.pi
        row = on_circle(0.7, speed, offset=3.0, turned=turned)
        positions, headings, velocities = predict(objects(row), TIMES, LEFT_TURN)
        angles = 0.7 + speed * TIMES / RADIUS
        for k, angle in enumerate(angles):
            there = on_circle(angle, speed, offset=3.0, turned=turned)
            assert positions[k, 0] == pytest.approx(there[:2], abs=0.01)
            assert headings[k, 0] == pytest.approx(there[2], abs=2e-3)
            assert velocities[k, 0] == pytest.approx(there[3:], abs=0.03)

    def test_the_measured_drift_carries_aside(self):
        positions, _, velocities = predict(objects(on_circle(0.5, 10.0, drift=0.8)), TIMES, LEFT_TURN)
        for k, t in enumerate(TIMES):
            there = on_circle(0.5 + 10.0 * t / RADIUS, 10.0, offset=0.8 * t, drift=0.8)
            assert positions[k, 0] == pytest.approx(there[:2], abs=0.01)
            assert velocities[k, 0] == pytest.approx(there[3:], abs=0.03)

    def test_a_smoothed_drift_beats_the_measured_one(self):
        positions, _, velocities = predict(objects((10.0, 1.0, 0.0, 8.0, 1.0), drift=-0.2), TIMES, LANE)
        assert positions[:, 0] == pytest.approx(np.stack([10 + 8 * TIMES, 1 - 0.2 * TIMES], axis=1))
        assert velocities[:, 0] == pytest.approx(np.tile([8.0, -0.2], (3, 1)))

    @pytest.mark.parametrize(("x", "vx"), [(95.0, 10.0), (5.0, -10.0)])
    def test_beyond_the_observed_lane_it_goes_straight_on(self, x, vx):
        heading = 0.0 if vx > 0 else math.pi
        positions, headings, velocities = predict(objects((x, 2.0, heading, vx, 0.0)), TIMES, LANE)
        assert positions[:, 0] == pytest.approx(np.stack([x + vx * TIMES, 2.0 + 0 * TIMES], axis=1))
        assert headings[:, 0] == pytest.approx(heading)
        assert velocities[:, 0] == pytest.approx(np.tile([vx, 0.0], (3, 1)))

    def test_beyond_a_curve_it_goes_on_along_the_tangent(self):
        end = ANGLES[-1]
        positions, _, _ = predict(objects(on_circle(end - 0.1, 20.0, offset=-2.0)), np.array([2.0]), LEFT_TURN)
        beyond = 20.0 * 2.0 - 0.1 * RADIUS
        corner = np.array(on_circle(end, 1.0, offset=-2.0)[:2])
        assert positions[0, 0] == pytest.approx(corner + beyond * np.array([math.cos(end), math.sin(end)]), abs=0.05)

    def test_backwards_beyond_the_begin_of_a_curve_as_well(self):
        tight = Polyline(np.stack([8.0 * np.sin(ANGLES[:600]), 8.0 * (1 - np.cos(ANGLES[:600]))], axis=1))
        row = (
            8.0 * math.sin(0.5),
            8.0 - 8.0 * math.cos(0.5),
            0.5 + math.pi,
            -6.0 * math.cos(0.5),
            -6.0 * math.sin(0.5),
        )
        positions, _, _ = predict(objects(row), np.array([2.0]), tight)
        assert positions[0, 0] == pytest.approx([4.0 - 12.0, 0.0], abs=0.02)

    def test_each_goes_its_own_way(self):
        rows = (10.0, 0.0, 0.0, 8.0, 0.0), (20.0, 1.0, 1.57, 0.0, 5.0), on_circle(0.5, 9.0)
        together = predict(objects(*rows), TIMES, LEFT_TURN)
        for k, row in enumerate(rows):
            alone = predict(objects(row), TIMES, LEFT_TURN)
            for all_of_them, one in zip(together, alone, strict=True):
                assert all_of_them[:, k] == pytest.approx(one[:, 0])


class TestWhoFollows:
    """On the left turn: who follows bends away from the straight continuation, by v t^2 / 2 R after a while."""

    def follows(self, row, **flags):
        positions, _, _ = predict(objects(row, **flags), np.array([3.0]), LEFT_TURN)
        straight = np.array(row[:2]) + 3.0 * np.array(row[3:5])
        return bool(np.linalg.norm(positions[0, 0] - straight) > 0.03)

    def test_wheels_do_and_feet_do_not(self):
        assert self.follows(on_circle(0.5, 5.0))
        assert not self.follows(on_circle(0.5, 5.0), on_foot=True)

    @pytest.mark.parametrize(("speed", "expected"), [(1.05, True), (0.95, False), (-1.05, True), (-0.95, False)])
    def test_only_who_moves_has_a_course(self, speed, expected):
        assert self.follows(on_circle(0.5, speed, turned=0.0 if speed > 0 else math.pi)) is expected

    @pytest.mark.parametrize(("offset", "expected"), [(14.9, True), (15.1, False), (-14.9, True), (-15.1, False)])
    def test_only_who_is_near(self, offset, expected):
        assert self.follows(on_circle(0.5, 10.0, offset=offset)) is expected

    @pytest.mark.parametrize(("course", "expected"), [(0.49, True), (0.51, False), (-0.49, True), (-0.51, False)])
    @pytest.mark.parametrize("way", [1.0, -1.0])
    def test_only_whose_course_is_along_it_either_way(self, course, expected, way):
        row = on_circle(0.5, way * 10.0 * math.cos(course), drift=10.0 * math.sin(course))
        assert self.follows(row) is expected


class TestSliding:
    @pytest.mark.parametrize(("speed", "slides"), [(2.99, False), (3.01, True)])
    def test_slow_wheels_roll_along_their_heading(self, speed, slides):
        course, heading = 0.6, 0.2
        row = (0.0, 0.0, heading, speed * math.cos(course), speed * math.sin(course))
        velocity = without_sliding(objects(row))[0, 3:5]
        rolled = speed * math.cos(course - heading) * np.array([math.cos(heading), math.sin(heading)])
        assert velocity == pytest.approx(row[3:] if slides else rolled)

    def test_feet_go_any_way(self):
        row = (0.0, 0.0, 0.2, 1.0, 1.0)
        assert without_sliding(objects(row, on_foot=True))[0, 3:5] == pytest.approx([1.0, 1.0])

    def test_the_others_are_untouched_and_the_objects_themselves_too(self):
        seen = objects((0.0, 0.0, 0.0, 1.0, 1.0), (5.0, 0.0, 0.0, 9.0, 1.0))
        assert without_sliding(seen)[:, 3:5] == pytest.approx(np.array([[1.0, 0.0], [9.0, 1.0]]))
        assert seen.states[0, 4] == 1.0

    @pytest.mark.parametrize("line", [None, LANE])
    def test_a_parked_car_does_not_slide_aside(self, line):
        positions, _, _ = predict(objects((20.0, 3.0, 0.0, 0.0, -0.9)), TIMES, line)
        assert positions[:, 0] == pytest.approx(np.tile([20.0, 3.0], (3, 1)))


class TestSeenFrom:
    def test_beside_the_line(self):
        s, d, along, across, direction = seen_from(LEFT_TURN, objects(on_circle(0.5, 7.0, 2.0, -0.5)).states)
        assert [s[0], d[0], along[0], across[0], direction[0]] == pytest.approx(
            [0.5 * RADIUS, 2.0, 7.0, -0.5, 0.5], abs=0.01
        )

    def test_beyond_its_ends_it_goes_straight_on(self):
        line = Polyline(np.array([[100.0, 30.0], [100.0, 60.0], [100.0, 80.0]]))  # north
        rows = (98.0, 20.0, 0.0, 3.0, 4.0), (105.0, 100.0, 0.0, 3.0, 4.0), (101.0, 50.0, 0.0, 3.0, 4.0)
        s, d, along, across, direction = seen_from(line, objects(*rows).states)
        assert s == pytest.approx([-10.0, 70.0, 20.0])
        assert d == pytest.approx([2.0, -5.0, -1.0])
        assert along == pytest.approx(np.full(3, 4.0))
        assert across == pytest.approx(np.full(3, -3.0))
        assert direction == pytest.approx(np.full(3, math.pi / 2))

    @pytest.mark.parametrize("course", [0.6, -2.0])
    def test_beyond_the_ends_of_a_slanting_line_too(self, course):
        way, left = np.array([math.cos(course), math.sin(course)]), np.array([-math.sin(course), math.cos(course)])
        start = np.array([40.0, -9.0])
        line = Polyline(np.array([start, start + 7.0 * way, start + 20.0 * way]))
        for along, beside in ((-6.0, 2.0), (26.0, -3.0), (11.0, 1.5)):
            place = start + along * way + beside * left
            s, d, *_ = seen_from(line, objects((*place, 0.0, 1.0, 0.0)).states)
            assert (s[0], d[0]) == (pytest.approx(along), pytest.approx(beside))
