"""Plane geometry against hand values, invariances, and shapely as the oracle."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import Polyline, box_corners, boxes_overlap, compose, inverse, unwrap, wrap_angle

METRES = st.floats(-1e3, 1e3)
ANGLES = st.floats(-10, 10)
POSES = st.tuples(METRES, METRES, ANGLES).map(np.array)
BOXES = st.tuples(st.floats(-5, 5), st.floats(-5, 5), ANGLES, st.floats(0.5, 6), st.floats(0.5, 3))


def corners(box):
    x, y, heading, length, width = box
    return box_corners(np.array([x, y]), np.array(heading), length, width)


def same_pose(a, b, tolerance=1e-8):
    return np.abs(a[:2] - b[:2]).max() < tolerance and abs(wrap_angle(float(a[2] - b[2]))) < tolerance


@given(st.floats(-1e4, 1e4))
def test_wrapping_keeps_the_direction_and_lands_within_half_a_turn(angle):
    wrapped = wrap_angle(angle)

    assert -np.pi <= wrapped <= np.pi
    assert np.cos(wrapped) == pytest.approx(np.cos(angle), abs=1e-9)
    assert np.sin(wrapped) == pytest.approx(np.sin(angle), abs=1e-9)


@pytest.mark.parametrize(
    ("angle", "wrapped"), [(0.0, 0.0), (np.pi, -np.pi), (-np.pi, -np.pi), (1.5 * np.pi, -np.pi / 2)]
)
def test_wrapping_at_the_seam(angle, wrapped):
    assert wrap_angle(angle) == pytest.approx(wrapped)
    assert wrap_angle(np.array([angle]))[0] == pytest.approx(wrapped)


def test_composition_by_hand():
    """At (1, 2) looking left, one metre forward is one metre to the left of the map's x axis."""
    assert compose(np.array([1.0, 2.0, np.pi / 2]), np.array([1.0, 0.5, 0.1])) == pytest.approx(
        [0.5, 3.0, np.pi / 2 + 0.1]
    )


@given(POSES, POSES, POSES)
def test_composition_is_associative(a, b, c):
    assert same_pose(compose(compose(a, b), c), compose(a, compose(b, c)), 1e-7)


@given(POSES)
def test_a_pose_and_its_inverse_cancel(pose):
    assert same_pose(compose(pose, inverse(pose)), np.zeros(3))
    assert same_pose(compose(inverse(pose), pose), np.zeros(3))


def test_composition_broadcasts():
    batch = np.zeros((4, 1, 3)) + np.array([1.0, 0.0, 0.0])

    assert compose(batch, np.zeros((5, 3))).shape == (4, 5, 3)


def test_corners_run_counter_clockwise_from_front_left():
    box = box_corners(np.array([10.0, 5.0]), np.array(0.0), 4.0, 2.0)

    assert box.tolist() == [[12, 6], [8, 6], [8, 4], [12, 4]]


@pytest.mark.parametrize(
    ("x", "overlap"), [(0.0, True), (3.999, True), (4.0, True), (4.001, False), (-4.0, True), (-4.001, False)]
)
def test_touching_boxes_overlap_and_a_millimetre_apart_do_not(x, overlap):
    assert boxes_overlap(corners((0, 0, 0, 4, 2)), corners((x, 0, 0, 4, 2))) == overlap


def test_a_crossing_without_any_corner_inside_is_an_overlap():
    assert boxes_overlap(corners((0, 0, 0, 10, 1)), corners((0, 0, np.pi / 2, 10, 1)))


def test_diagonal_neighbours_whose_bounding_boxes_overlap_are_apart():
    turned = (0, 0, np.pi / 4, 6, 0.5)

    assert not boxes_overlap(corners(turned), corners((1.5, -1.5, np.pi / 4, 6, 0.5)))


@settings(max_examples=300, deadline=None)
@given(BOXES, BOXES)
def test_overlap_agrees_with_shapely(first, second):
    shapely = pytest.importorskip("shapely")
    a, b = shapely.Polygon(corners(first)), shapely.Polygon(corners(second))
    assume(a.distance(b) > 1e-9 or a.intersection(b).area > 1e-9)

    assert bool(boxes_overlap(corners(first), corners(second))) == a.intersects(b)


@settings(max_examples=100, deadline=None)
@given(BOXES, BOXES, st.tuples(st.floats(-50, 50), st.floats(-50, 50), ANGLES).map(np.array))
def test_overlap_does_not_depend_on_the_frame_or_the_order(first, second, frame):
    def moved(box):
        pose = compose(frame, np.array(box[:3]))
        return corners((*pose, *box[3:]))

    shapely = pytest.importorskip("shapely")
    a, b = shapely.Polygon(corners(first)), shapely.Polygon(corners(second))
    assume(a.distance(b) > 1e-6 or a.intersection(b).area > 1e-6)
    here = boxes_overlap(corners(first), corners(second))

    assert boxes_overlap(moved(first), moved(second)) == here
    assert boxes_overlap(corners(second), corners(first)) == here


class TestPolyline:
    corner = Polyline(np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]]))

    def test_length(self):
        assert self.corner.length == 20.0

    @pytest.mark.parametrize(
        ("point", "along", "lateral"),
        [
            ((5, 2), 5, 2),
            ((5, -2), 5, -2),
            ((8, 5), 15, 2),
            ((12, 5), 15, -2),
            ((12, -1), 10, -np.hypot(2, 1)),
            ((-3, 0), 0, 3),
            ((10, 14), 20, 4),
        ],
    )
    def test_projection_by_hand(self, point, along, lateral):
        s, offset = self.corner.project(np.array(point))

        assert s[0] == pytest.approx(along)
        assert abs(offset[0]) == pytest.approx(abs(lateral))
        if 0 < along < self.corner.length:
            assert np.sign(offset[0]) == np.sign(lateral)

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.tuples(METRES, METRES), min_size=2, max_size=8, unique=True), st.tuples(METRES, METRES))
    def test_projection_agrees_with_shapely(self, points, point):
        shapely = pytest.importorskip("shapely")
        assume(np.hypot(*np.diff(np.array(points), axis=0).T).min() > 1e-3)
        line = Polyline(np.array(points))

        s, lateral = line.project(np.array(point))

        distance = shapely.LineString(points).distance(shapely.Point(point))
        # Which of two segments is the nearer is told to 0.1 mm on a kilometre: squares are compared.
        assert abs(lateral[0]) == pytest.approx(distance, abs=1e-4)
        assert np.hypot(*(line.at(s[0]) - point)) == pytest.approx(distance, abs=1e-4)

    @given(st.floats(0, 20))
    def test_points_on_the_line_project_onto_themselves(self, s):
        found, lateral = self.corner.project(self.corner.at(s))

        assert found[0] == pytest.approx(s, abs=1e-9)
        assert lateral[0] == pytest.approx(0.0, abs=1e-9)

    def test_positions_are_clipped_to_the_ends(self):
        assert self.corner.at([-5.0, 25.0]).tolist() == [[0, 0], [10, 10]]

    def test_heading_turns_continuously_through_the_corner(self):
        assert self.corner.heading_at([0.0, 5.0, 10.0, 15.0, 20.0]) == pytest.approx(np.deg2rad([0, 0, 45, 90, 90]))

    def test_heading_does_not_jump_where_the_angle_wraps(self):
        angles = np.linspace(0, 2 * np.pi, 100)
        circle = Polyline(np.stack([np.cos(angles), np.sin(angles)], -1))

        assert np.abs(np.diff(circle.heading_at(np.linspace(0, circle.length, 300)))).max() < 0.1

    @pytest.mark.parametrize(("radius", "sign"), [(20.0, 1), (50.0, 1), (20.0, -1)])
    def test_curvature_of_a_circle(self, radius, sign):
        angles = sign * np.linspace(0, np.pi, 200)
        arc = Polyline(radius * np.stack([np.cos(angles), np.sin(angles)], -1))

        assert arc.curvature_at(arc.length / 2) == pytest.approx(sign / radius, rel=1e-3)

    @pytest.mark.parametrize(
        ("points", "says"),
        [
            (np.zeros((1, 2)), "shape"),
            (np.zeros((3, 3)), "shape"),
            (np.zeros(4), "shape"),
            (np.array([[0.0, 0.0], [np.nan, 1.0]]), "finite"),
            (np.array([[0.0, 0.0], [np.inf, 1.0]]), "finite"),
            (np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]), "coincide"),
        ],
    )
    def test_degenerate_points_are_refused(self, points, says):
        with pytest.raises(GeometryError, match=says):
            Polyline(points)


@given(st.lists(ANGLES, min_size=2, max_size=20).map(np.array))
def test_unwrapping_is_numpys(angles):
    assert unwrap(angles).tolist() == (np.unwrap(angles) + 0.0).tolist()
    assert unwrap(np.cumsum(angles / 10)).tolist() == np.unwrap(np.cumsum(angles / 10)).tolist()
