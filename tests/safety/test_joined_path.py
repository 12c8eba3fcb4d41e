"""Paths from the vehicle onto a line: closed forms on a straight line and a circle, in any frame."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline, compose
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.joined_path import HEADING_ERROR_MAX_RAD, SPACING_M, after, along, join, join_beside

FRAMES = [(0.0, 0.0, 0.0), (50.0, -20.0, 2.5)]


def straight(frame=FRAMES[0], start=-50.0, end=150.0):
    x = np.array([start, (start + end) / 2 - 1.0, end])
    return Polyline(compose(np.array(frame), np.stack([x, 0 * x, 0 * x], axis=1))[:, :2])


def vehicle(frame=FRAMES[0], x=0.0, y=0.0, heading=0.0):
    return Motion(*compose(np.array(frame), np.array([x, y, heading])), 10.0, 0.0, 0.0)


def local(path, frame):
    """(M, 2): the path's points in the line's own frame."""
    dx, dy = path.x_m - frame[0], path.y_m - frame[1]
    cos, sin = math.cos(frame[2]), math.sin(frame[2])
    return np.stack([dx * cos + dy * sin, dy * cos - dx * sin], axis=1)


def cubic(x, offset, slope, length, target=0.0):
    """The cubic that starts at `offset` with `slope` and ends level at `target`."""
    u = np.clip(x / length, 0.0, 1.0)
    gap = offset - target
    return target + gap + slope * length * u - (3 * gap + 2 * slope * length) * u**2 + (2 * gap + slope * length) * u**3


@pytest.mark.parametrize("frame", FRAMES)
class TestJoin:
    @pytest.mark.parametrize(("offset", "error"), [(1.0, 0.0), (-1.5, 0.2), (0.0, -0.3), (0.7, 0.5)])
    def test_offset_and_heading_decay_as_a_cubic(self, frame, offset, error):
        path = join(straight(frame), vehicle(frame, 3.0, offset, error), 20.0, 60.0)
        found = local(path, frame)
        assert found[:, 0] == pytest.approx(3.0 + np.arange(121) * 0.5, abs=1e-9)
        expected = cubic(found[:, 0] - 3.0, offset, math.tan(error), 20.0)
        assert found[:, 1] == pytest.approx(expected, abs=1e-9)
        assert path.offset_m == pytest.approx(expected, abs=1e-9)
        assert path.line_s_m == pytest.approx(53.0 + np.arange(121) * 0.5)
        assert math.remainder(path.heading_rad[0] - frame[2] - error, 2 * math.pi) == pytest.approx(0.0, abs=1e-9)

    def test_a_large_heading_error_is_joined_as_if_it_were_at_the_limit(self, frame):
        for error in (1.2, -1.4):
            path = join(straight(frame), vehicle(frame, 0.0, 0.0, error), 20.0, 40.0)
            slope = math.copysign(math.tan(HEADING_ERROR_MAX_RAD), error)
            assert local(path, frame)[:, 1] == pytest.approx(cubic(np.arange(81) * 0.5, 0.0, slope, 20.0), abs=1e-9)

    def test_several_targets_share_the_start_and_end_beside_the_line(self, frame):
        paths = join_beside(straight(frame), vehicle(frame, 0.0, 0.4, 0.1), 16.0, 40.0, (0.0, -1.0, 0.8))
        for path, target in zip(paths, (0.0, -1.0, 0.8), strict=True):
            expected = cubic(np.arange(81) * 0.5, 0.4, math.tan(0.1), 16.0, target)
            assert local(path, frame)[:, 1] == pytest.approx(expected, abs=1e-9)
            assert path.offset_m[-1] == pytest.approx(target)

    def test_a_given_slope_beats_the_heading(self, frame):
        path = join_beside(straight(frame), vehicle(frame, 0.0, 0.0, 0.3), 16.0, 30.0, (0.0,), slope=-0.05)[0]
        assert local(path, frame)[:, 1] == pytest.approx(cubic(np.arange(61) * 0.5, 0.0, -0.05, 16.0), abs=1e-9)

    def test_headings_are_those_of_the_way_driven(self, frame):
        path = join(straight(frame), vehicle(frame, 0.0, 2.0, 0.0), 30.0, 40.0)
        x = np.arange(81) * 0.5
        slope = np.gradient(cubic(x, 2.0, 0.0, 30.0), x)
        turned = np.array([math.remainder(h - frame[2], 2 * math.pi) for h in path.heading_rad])
        assert turned[1:-1] == pytest.approx(np.arctan(slope)[1:-1], abs=1e-3)
        steps = np.hypot(np.diff(path.x_m), np.diff(path.y_m))
        assert np.diff(path.s_m) == pytest.approx(steps)
        assert path.s_m[0] == 0.0

    def test_before_the_line_begins_and_after_it_ends_it_is_straight(self, frame):
        line = straight(frame, 0.0, 10.0)
        path = join(line, vehicle(frame, -5.0, 1.0), 10.0, 40.0)
        found = local(path, frame)
        assert found[[0, -1], 0] == pytest.approx([-5.0, 35.0])
        assert found[:, 1] == pytest.approx(cubic(np.arange(81) * 0.5, 1.0, 0.0, 10.0), abs=1e-9)
        assert path.known_m == pytest.approx(np.interp(15.0, np.arange(81) * 0.5, path.s_m))
        beyond = join(line, vehicle(frame, 13.0, -1.0), 10.0, 20.0)
        assert local(beyond, frame)[[0, -1], 0] == pytest.approx([13.0, 33.0])
        assert local(beyond, frame)[0, 1] == pytest.approx(-1.0)
        assert beyond.known_m == 0.0
        assert beyond.line_s_m[0] == pytest.approx(13.0)


def test_a_short_wish_still_gives_a_path_of_three_points():
    path = join(straight(), vehicle(), 6.0, 0.0)
    assert path.s_m == pytest.approx([0.0, 0.5, 1.0])


def test_the_first_heading_turns_on_from_the_chords_by_no_whole_turn():
    """The vehicle's heading is given within half a turn, the chords are unwrapped: here just beyond it."""
    for side in (1.0, -1.0):
        frame = (0.0, 0.0, side * (math.pi - 5e-4))
        path = join(straight(frame), vehicle(frame, 0.0, -side * 0.5, 0.0), 10.0, 20.0)
        assert np.abs(np.diff(path.heading_rad)).max() < 0.2


class TestCircle:
    RADIUS = 50.0
    ANGLES = np.arange(-0.4, 2.4, 0.01)
    LINE = Polyline(np.stack([RADIUS * np.sin(ANGLES), RADIUS * (1 - np.cos(ANGLES))], axis=1))

    def test_on_the_line_the_path_has_its_radius(self):
        path = join(self.LINE, Motion(0.0, 0.0, 0.0, 10.0, 0.0, 0.0), 10.0, 60.0)
        assert np.hypot(path.x_m, path.y_m - self.RADIUS) == pytest.approx(np.full(121, self.RADIUS), abs=0.01)
        assert path.curvature_per_m[3:-3] == pytest.approx(np.full(115, 1 / self.RADIUS), rel=0.03)

    def test_beside_a_circle_the_offset_is_radial(self):
        path = join_beside(self.LINE, Motion(0.0, 1.0, 0.0, 10.0, 0.0, 0.0), 10.0, 60.0, (1.0,))[0]
        assert np.hypot(path.x_m, path.y_m - self.RADIUS) == pytest.approx(np.full(121, self.RADIUS - 1.0), abs=0.01)
        assert path.curvature_per_m[3:-3] == pytest.approx(np.full(115, 1 / (self.RADIUS - 1.0)), rel=0.04)
        assert path.s_m[-1] == pytest.approx(60.0 * (1 - 1 / self.RADIUS), abs=0.02)

    def test_beyond_its_end_a_curved_path_goes_on_along_its_tangent(self):
        path = join(self.LINE, Motion(0.0, 0.0, 0.0, 10.0, 0.0, 0.0), 10.0, 60.0)
        end, heading = path.s_m[-1], path.heading_rad[-1]
        rest = after(path, end - 0.2)
        ahead = 0.8 * np.array([math.cos(heading), math.sin(heading)])
        assert [rest.x_m[-1], rest.y_m[-1]] == pytest.approx(np.array([path.x_m[-1], path.y_m[-1]]) + ahead)

        whole = after(path, 30.3)
        beyond = whole.s_m[-1] + 30.3 - end
        assert beyond > 0.1
        assert [whole.x_m[-1], whole.y_m[-1]] == pytest.approx(
            np.array([path.x_m[-1], path.y_m[-1]]) + beyond / 0.8 * ahead
        )

    def test_along_a_circle_headings_turn_with_the_way(self):
        path = along(self.LINE, Motion(0.0, 2.0, 0.0, 10.0, 0.0, 0.0), 60.0)
        assert path.heading_rad == pytest.approx(path.s_m / self.RADIUS, abs=0.01)
        assert np.hypot(path.x_m, path.y_m - self.RADIUS) == pytest.approx(
            np.full(len(path.s_m), self.RADIUS), abs=0.01
        )
        assert path.line_s_m - path.line_s_m[0] == pytest.approx(path.s_m)

    @pytest.mark.parametrize("back", [3.0, -3.0])
    def test_before_it_begins_and_after_it_ends_its_tangent_is_followed(self, back):
        """A turn of 5 m, so that the tangents within a metre of the ends differ."""
        angles = np.arange(0.0, 1.5, 0.02)
        line = Polyline(np.stack([5.0 * np.sin(angles), 5.0 * (1 - np.cos(angles))], axis=1))
        at, way = (line.points[0], line.heading_at(0.0)) if back > 0 else (line.points[-1], line.heading_at(99.0))
        tangent = np.array([math.cos(way), math.sin(way)])
        path = along(line, Motion(*(at - back * tangent), float(way), 5.0, 0.0, 0.0), 2.5)
        expected = at - (back - path.s_m[:, None]) * tangent
        assert np.stack([path.x_m, path.y_m], axis=1) == pytest.approx(expected, abs=1e-6)

    def test_thinned_lines_stay_near(self):
        path = join(self.LINE, Motion(0.0, 0.0, 0.0, 10.0, 0.0, 0.0), 10.0, 61.0)
        assert np.diff(path.line.arc_lengths)[:-1] == pytest.approx(2.0, abs=0.01)
        assert np.diff(path.rough_line.arc_lengths)[:-1] == pytest.approx(8.0, abs=0.02)
        for line in (path.line, path.rough_line):
            assert line.points[-1] == pytest.approx([path.x_m[-1], path.y_m[-1]])
            assert line.points[0] == pytest.approx([0.0, 0.0])
            assert line.length == pytest.approx(path.s_m[-1], abs=0.1)


@pytest.mark.parametrize("length", [4.0, 4.5, 16.0, 16.5, 17.5])
def test_a_thinned_line_ends_once_and_where_the_path_ends(length):
    path = join(straight(), vehicle(), 6.0, length)
    for line, step in ((path.line, 2.0), (path.rough_line, 8.0)):
        expected = np.append(np.arange(0.0, length, step), length)
        assert line.points[:, 0] == pytest.approx(expected)


@pytest.mark.parametrize(("end", "points"), [(10.0, 21), (10.2, 21), (0.3, 2), (-5.0, 2)])
def test_the_known_part_ends_with_the_line(end, points):
    path = join(straight(end=end), vehicle(), 6.0, 30.0)
    assert path.known_m == pytest.approx(max(end, 0.0))
    assert len(path.known_line.points) == points


class TestPoses:
    def test_between_the_points_and_beyond_the_ends(self):
        path = join(straight(), vehicle(y=0.0), 6.0, 10.0)
        poses = path.poses(np.array([-1.0, 0.75, 99.0]))
        assert poses == pytest.approx(np.array([[0.0, 0, 0], [0.75, 0, 0], [10.0, 0, 0]]))

    def test_headings_are_within_half_a_turn(self):
        angles = np.arange(0.0, 6.0, 0.02)
        line = Polyline(np.stack([30 * np.sin(angles), 30 * (1 - np.cos(angles))], axis=1))
        path = join(line, Motion(0.0, 0.0, 0.0, 10.0, 0.0, 0.0), 6.0, 150.0)
        found = path.poses(np.array([30.0, 60.0, 120.0, 150.0]))[:, 2]
        expected = [math.remainder(s / 30.0, 2 * math.pi) for s in (30.0, 60.0, 120.0, 150.0)]
        assert found == pytest.approx(expected, abs=0.02)


class TestAfter:
    PATH = join(straight(end=30.0), vehicle(y=1.0, heading=0.1), 20.0, 40.0)

    def test_the_rest_lies_on_the_path(self):
        rest = after(self.PATH, 7.3)
        s = np.array([0.0, 3.0, 11.1])
        # Its points lie half a metre apart on a curve of a few hundred metres of radius.
        assert rest.poses(s) == pytest.approx(self.PATH.poses(s + 7.3), abs=1e-3)
        assert rest.known_m == pytest.approx(self.PATH.known_m - 7.3)
        assert rest.offset_m[0] == pytest.approx(np.interp(7.3, self.PATH.s_m, self.PATH.offset_m))
        assert rest.line_s_m[0] == pytest.approx(np.interp(7.3, self.PATH.s_m, self.PATH.line_s_m))
        assert np.diff(rest.s_m) == pytest.approx(SPACING_M)
        assert rest.s_m[0] == 0.0
        assert self.PATH.s_m[-1] - 7.3 <= rest.s_m[-1] < self.PATH.s_m[-1] - 7.3 + 2 * SPACING_M

    def test_beyond_its_end_it_goes_straight_on(self):
        end = self.PATH.s_m[-1]
        rest = after(self.PATH, end - 0.2)
        assert rest.s_m == pytest.approx([0.0, 0.5, 1.0])
        last = [self.PATH.x_m[-1], self.PATH.y_m[-1]]
        ahead = 0.8 * np.array([math.cos(self.PATH.heading_rad[-1]), math.sin(self.PATH.heading_rad[-1])])
        assert [rest.x_m[-1], rest.y_m[-1]] == pytest.approx(last + ahead)
        assert rest.line_s_m[-1] == pytest.approx(self.PATH.line_s_m[-1] + 0.8)
        assert rest.known_m == 0.0

    def test_the_straight_end_points_where_the_path_does(self):
        frame = (0.0, 0.0, 2.0)
        path = join(straight(frame), vehicle(frame), 6.0, 10.0)
        rest = after(path, 9.5)
        assert [rest.x_m[-1], rest.y_m[-1]] == pytest.approx([10.5 * math.cos(2.0), 10.5 * math.sin(2.0)])


@pytest.mark.parametrize("frame", FRAMES)
class TestAlong:
    def test_a_vehicle_beside_the_line_is_led_back_to_it_at_once(self, frame):
        path = along(straight(frame, end=20.0), vehicle(frame, 4.0, 1.5, 0.2), 30.0)
        found = local(path, frame)
        assert found == pytest.approx(np.stack([4.0 + np.arange(61) * 0.5, np.zeros(61)], axis=1), abs=1e-9)
        assert path.heading_rad == pytest.approx(np.full(61, frame[2]))
        assert path.known_m == pytest.approx(16.0)
        assert path.line_s_m[0] == pytest.approx(54.0)
        assert not path.offset_m.any()

    def test_it_begins_before_the_line_or_after_its_end_where_the_vehicle_is(self, frame):
        line = straight(frame, 0.0, 20.0)
        early, late = along(line, vehicle(frame, -3.0, 1.0), 10.0), along(line, vehicle(frame, 24.0, 1.0), 10.0)
        assert local(early, frame)[[0, -1]] == pytest.approx(np.array([[-3.0, 0.0], [7.0, 0.0]]), abs=1e-9)
        assert local(late, frame)[[0, -1]] == pytest.approx(np.array([[24.0, 0.0], [34.0, 0.0]]), abs=1e-9)
        assert (early.known_m, late.known_m) == (pytest.approx(23.0), 0.0)

    def test_a_short_wish_still_gives_three_points(self, frame):
        assert along(straight(frame), vehicle(frame), 0.0).s_m == pytest.approx([0.0, 0.5, 1.0])
