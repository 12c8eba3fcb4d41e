"""Single figures of the road guard: which corner, which instant, which side of the limit."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.road import LaneObservation, Signal
from onboard_vla.safety.config import RoadLimits
from onboard_vla.safety.guards.road import check_drivable, check_signals, footprints, outside_by

VEHICLE = VehicleGeometry(length_m=4.0, width_m=2.0, wheelbase_m=2.5, rear_overhang_m=1.0)
"""From 1 m behind the rear axle to 3 m ahead of it, 1 m to either side."""
STAMP, SECOND = 20_000_000_000, 1_000_000_000
LIMITS = RoadLimits(outside_m=0.25)


def moving(place, stamp_ns=STAMP):
    """A plan that is at `place(t)` = (x, y, heading) t seconds after its stamp."""
    return SimpleNamespace(stamp_ns=stamp_ns, pose_at=lambda times: np.array([place(t) for t in times], np.float64))


def lane(left=2.0, right=2.0, begin=0.0, end=100.0, signals=()):
    points = np.array([[begin, 0.0], [end, 0.0]])
    return LaneObservation(STAMP, points, np.full(2, left), np.full(2, right), 3.5, np.full(2, 13.9), tuple(signals))


def figures(reason):
    return None if reason is None else (reason.code, reason.measured, reason.limit)


@pytest.mark.parametrize(
    ("pose", "corners"),
    [
        ((10.0, 5.0, 0.0), {(13.0, 6.0), (13.0, 4.0), (9.0, 4.0), (9.0, 6.0)}),
        ((10.0, 5.0, math.pi / 2), {(9.0, 8.0), (11.0, 8.0), (11.0, 4.0), (9.0, 4.0)}),
    ],
)
def test_footprints_reach_from_the_rear_end_to_the_front(pose, corners):
    found = footprints(np.array([pose]), VEHICLE)
    assert found.shape == (1, 4, 2)
    assert {tuple(np.round(corner, 9)) for corner in found[0]} == corners


@pytest.mark.parametrize(
    ("y", "left", "right", "outside"),
    [
        (1.5, 2.0, 2.0, 0.5),
        (-1.5, 2.0, 2.0, 0.5),
        (0.0, 2.0, 2.0, -1.0),
        (0.5, 1.0, 9.0, 0.5),
        (-0.5, 9.0, 1.0, 0.5),
        (-1.0, 1.0, 5.0, -1.0),  # one side exactly on the line, 1 m from the left edge
        (1.0, 5.0, 1.0, -1.0),
    ],
)
def test_the_corner_farthest_beyond_either_edge_counts(y, left, right, outside):
    poses = np.array([[50.0, 0.0, 0.0]] * 4 + [[50.0, y, 0.0]] + [[50.0, 0.0, 0.0]])
    found, row = outside_by(poses, lane(left, right), VEHICLE)
    if outside > -1.0:
        assert (found, row) == (outside, 4)
    assert outside_by(poses[4:5], lane(left, right), VEHICLE) == (outside, 0)


@pytest.mark.parametrize(
    ("x", "judged"),
    [(-2.94, True), (-2.95, False), (-2.96, False), (100.94, True), (100.95, False), (100.96, False)],
)
def test_corners_within_five_centimetres_of_either_end_of_the_lane_are_not_judged(x, judged):
    """The front is 3 m ahead, the rear 1 m behind: one of them alone lies within the lane."""
    outside, _ = outside_by(np.array([[x, 5.0, 0.0]]), lane(), VEHICLE)
    assert outside == (pytest.approx(4.0) if judged else -math.inf)


@pytest.mark.parametrize(("y", "found"), [(1.25, None), (1.5, ("OFF_ROAD", 0.5, 0.25)), (-1.25, None)])
def test_the_tolerance_itself_is_allowed(y, found):
    assert figures(check_drivable(moving(lambda t: (50.0, y, 0.0)), lane(), STAMP, VEHICLE, LIMITS)) == found


@pytest.mark.parametrize(
    ("begin", "end", "at"),
    [(-0.01, 0.01, "0.0"), (0.15, 0.23, "0.2"), (2.15, 2.22, "2.2"), (2.95, 3.1, "3.0"), (3.1, 9.0, None),
     (0.01, 0.19, None)],
)  # fmt: skip
@pytest.mark.parametrize("later_s", [0.0, 1.0])
def test_every_fifth_of_a_second_from_now_to_the_horizon_counts(begin, end, at, later_s):
    """`later_s`: how much older the plan is than the moment from which it is judged."""
    plan = moving(lambda t: (50.0, 5.0 if begin <= t - later_s <= end else 0.0, 0.0), STAMP - round(later_s * SECOND))
    reason = check_drivable(plan, lane(), STAMP, VEHICLE, LIMITS)
    assert figures(reason) == (None if at is None else ("OFF_ROAD", 4.0, 0.25))
    if at is not None:
        assert reason.detail == f"corner outside in {at} s"


def red(x):
    return lane(signals=[Signal(9, 10.0, 0.0, "green"), Signal(7, x, 0.0, "red")])


@pytest.mark.parametrize(
    ("stop_x", "overrun"),
    [(23.0, None), (22.5, None), (22.25, 0.75), (12.75, 10.25), (12.5, 10.5), (12.25, None)],
)
@pytest.mark.parametrize("later_s", [0.0, 1.0])
def test_a_front_may_pass_a_red_signal_by_half_a_metre_and_has_passed_it_beyond(stop_x, overrun, later_s):
    """From 10 m to 20 m in two seconds, then standing; the front is 3 m ahead."""
    plan = moving(lambda t: (10.0 + 5.0 * min(max(t - later_s, 0.0), 2.0), 0.0, 0.0), STAMP - round(later_s * SECOND))
    reason = check_signals(plan, red(stop_x), STAMP, VEHICLE, LIMITS)
    assert figures(reason) == (None if overrun is None else ("RED_SIGNAL", overrun, 0.5))
    if reason is not None:
        assert "signal 7" in reason.detail


@pytest.mark.parametrize(("heading", "x", "y"), [(0.0, 3.0, 0.0), (math.pi / 2, 0.0, 3.0), (math.pi, -3.0, 0.0)])
def test_the_front_lies_ahead_in_the_vehicles_heading(heading, x, y):
    """A lane in that heading with a red signal 1 m behind the front that drives 2 m on."""
    c, s = round(math.cos(heading)), round(math.sin(heading))
    points = np.array([[-10.0 * c, -10.0 * s], [50.0 * c, 50.0 * s]])
    lanes = LaneObservation(STAMP, points, np.full(2, 2.0), np.full(2, 2.0), 3.5, np.full(2, 13.9),
                            (Signal(7, x + c, y + s, "red"),))  # fmt: skip
    plan = moving(lambda t: (min(t, 2.0) * c, min(t, 2.0) * s, heading))
    assert figures(check_signals(plan, lanes, STAMP, VEHICLE, LIMITS)) == ("RED_SIGNAL", pytest.approx(1.0), 0.5)
