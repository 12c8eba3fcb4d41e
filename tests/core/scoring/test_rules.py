"""Drivable area, driving direction, traffic lights, lane keeping and progress, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.scoring.rules import (
    drivable_area_compliance,
    driving_direction_compliance,
    lane_keeping,
    metres_made,
    traffic_light_compliance,
)
from onboard_vla.core.scoring.surroundings import RedStretch
from onboard_vla.core.scoring.whereabouts import locate

from .scenes import INSTANTS, VEHICLE, along_x, road, s_of, sideways, straight_on


def at(motion, area=None):
    return locate(motion, area or road(), VEHICLE)


@pytest.mark.parametrize(("y", "score"), [(-2.0, 1.0), (-2.01, 0.0), (4.0, 1.0), (4.01, 0.0)])
def test_drivable_area_ends_where_a_corner_crosses_its_edge(y, score):
    # Edges 3 m right and 5 m left of the lane's middle, half the vehicle's width is 1 m.
    assert drivable_area_compliance(at(straight_on(10.0, y))) == score


def test_one_instant_off_the_drivable_area_is_enough():
    offsets = np.zeros(INSTANTS)
    offsets[17] = -2.5
    assert drivable_area_compliance(at(sideways(offsets))) == 0.0


@pytest.mark.parametrize(
    ("speed", "score"),
    [(1.8, 1.0), (1.85, 0.5), (5.4, 0.5), (5.5, 0.0)],
)
def test_driving_direction_counts_metres_outside_the_routes_lanes(speed, score):
    # Eleven steps of 0.1 s lie in a window of 1 s: 1.98, 2.035, 5.94 and 6.05 m against limits of 2 and 6 m.
    motion = straight_on(speed, y=2.0)
    assert driving_direction_compliance(motion, at(motion), VEHICLE) == score


def test_driving_direction_does_not_count_in_lane_or_in_a_crossing():
    inside, outside = straight_on(10.0), straight_on(10.0, y=2.0)
    assert driving_direction_compliance(inside, at(inside), VEHICLE) == 1.0
    crossing = road(junctions=((s_of(-10.0), s_of(100.0)),))
    assert driving_direction_compliance(outside, at(outside, crossing), VEHICLE) == 1.0


@pytest.mark.parametrize(
    ("begin", "end", "red_steps", "score"),
    [
        (20.0, 40.0, range(INSTANTS), 0.0),
        (20.0, 40.0, range(17), 1.0),  # the front reaches 20 m after 1.615 s
        (20.0, 40.0, range(18), 0.0),
        (43.9, 60.0, range(INSTANTS), 1.0),  # the front ends at 43.85 m
        (-20.0, -1.0, range(INSTANTS), 1.0),  # the rear starts at -0.95 m
        (20.0, 22.0, range(24, INSTANTS), 1.0),  # the rear leaves 22 m after 2.295 s
        (20.0, 22.0, range(22, INSTANTS), 0.0),
    ],
)
def test_a_footprint_on_a_red_stretch_breaks_the_traffic_light_rule(begin, end, red_steps, score):
    red = np.isin(np.arange(INSTANTS), list(red_steps))
    area = road(signals=(RedStretch(s_of(begin), s_of(end), red),))
    assert traffic_light_compliance(at(straight_on(10.0), area), area) == score


def offset_for(*parts):
    return np.concatenate([np.full(count, value) for count, value in parts])


@pytest.mark.parametrize(
    ("parts", "score"),
    [
        (((41, 0.5),), 1.0),  # on the limit
        (((19, 0.51), (22, 0.0)), 1.0),
        (((20, 0.51), (21, 0.0)), 0.0),
        (((19, -0.6), (1, 0.0), (19, -0.6), (2, 0.0)), 1.0),
        (((10, 0.6), (10, -0.6), (21, 0.0)), 0.0),
    ],
)
def test_lane_keeping_fails_after_two_seconds_beyond_half_a_metre(parts, score):
    assert lane_keeping(at(sideways(offset_for(*parts)))) == score


def test_lane_keeping_leaves_crossings_out():
    # 10 m/s: 1 m a step, the centre 1.45 m ahead. Steps 10 to 14 lie in the crossing and neither count nor break.
    area = road(junctions=((s_of(11.0), s_of(16.0)),))
    assert lane_keeping(at(sideways(offset_for((10, 0.6), (5, 0.0), (10, 0.6), (16, 0.0))), area)) == 0.0
    assert lane_keeping(at(sideways(offset_for((10, 0.0), (5, 3.0), (26, 0.0))), area)) == 1.0


def test_progress_is_metres_along_the_centreline():
    assert metres_made(at(straight_on(10.0))) == pytest.approx(40.0)
    assert metres_made(at(straight_on(10.0, heading=np.pi / 6))) == pytest.approx(40.0 * np.cos(np.pi / 6))
    assert metres_made(at(straight_on(10.0, heading=np.pi, x=50.0))) == 0.0
    assert metres_made(at(along_x(np.linspace(10.0, 0.0, INSTANTS)))) == pytest.approx(20.0)
