"""Footprints against another implementation: commonroad-drivability-checker's oriented boxes."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import box_corners, boxes_overlap
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.guards.forecast import first_overlap, forecast
from onboard_vla.safety.object_memory import ObjectSet

pycrcc = pytest.importorskip(
    "commonroad_dc.pycrcc", reason="commonroad-drivability-checker has wheels for x86-64 Linux, Python 3.10 to 3.13"
)

PAIRS = 20_000
GUARD_CASES = 10_000
TOUCH_M = 1e-6
"""How far from touching the two must agree: the other library leaves this much out at its own discretion."""
VEHICLE = VehicleGeometry()


def random_boxes(rng, count):
    """Rows of x, y, heading, length, width; a fifth with headings on the axes or the same heading."""
    boxes = np.column_stack(
        [
            rng.uniform(-8, 8, (count, 2)),
            rng.uniform(0, 2 * np.pi, count),
            rng.uniform(0.3, 12.0, count),
            rng.uniform(0.3, 3.0, count),
        ]
    )
    aligned = rng.random(count) < 0.2
    boxes[aligned, 2] = rng.choice([0.0, np.pi / 2, np.pi, -np.pi / 2], np.count_nonzero(aligned))
    return boxes


def oracle_overlap(first, second, grow=0.0):
    """The other library's word on each pair, the second box grown by `grow` on all sides."""
    made = [
        [pycrcc.RectOBB(length / 2 + more, w / 2 + more, h, x, y) for x, y, h, length, w in rows.tolist()]
        for rows, more in ((first, 0.0), (second, grow))
    ]
    return np.array([one.collide(two) for one, two in zip(*made, strict=True)])


def own_overlap(first, second):
    corners = [box_corners(rows[:, :2], rows[:, 2], rows[:, 3], rows[:, 4]) for rows in (first, second)]
    return boxes_overlap(*corners)


def test_overlap_of_random_boxes_of_any_heading_equals_the_oracle():
    rng = np.random.default_rng(11)
    first, second = random_boxes(rng, PAIRS), random_boxes(rng, PAIRS)
    expected = oracle_overlap(first, second)
    assert 0.1 < expected.mean() < 0.9
    assert (own_overlap(first, second) == expected).all()


def test_boxes_that_nearly_touch_are_told_apart_as_the_oracle_does():
    """The second box is put along a random direction where the two just touch, then 1 um nearer and farther."""
    rng = np.random.default_rng(12)
    first, second = random_boxes(rng, PAIRS // 2), random_boxes(rng, PAIRS // 2)
    angle = rng.uniform(0, 2 * np.pi, len(first))
    direction = np.column_stack([np.cos(angle), np.sin(angle)])
    near, far = np.zeros(len(first)), np.full(len(first), 40.0)
    for _ in range(36):
        middle = (near + far) / 2
        second[:, :2] = first[:, :2] + middle[:, None] * direction
        hit = own_overlap(first, second)
        near, far = np.where(hit, middle, near), np.where(hit, far, middle)
    for offset, expected in ((-TOUCH_M, True), (TOUCH_M, False)):
        second[:, :2] = first[:, :2] + (near + offset)[:, None] * direction
        assert (own_overlap(first, second) == expected).all()
        assert (oracle_overlap(first, second) == expected).all()


def object_set(states, vulnerable):
    count = len(states)
    none = np.full(count, np.nan)
    return ObjectSet(states, np.zeros(count, np.int64), vulnerable, vulnerable, np.full(count, 5), none)


def test_the_guard_finds_an_overlap_exactly_where_the_oracle_does_with_the_margins_of_its_limits():
    """One standing vehicle and one standing object, in any pose: broad phase, margins and exact test together."""
    limits = CollisionLimits()
    rng = np.random.default_rng(13)
    found, expected = [], []
    for _ in range(GUARD_CASES):
        pose = np.array([*rng.uniform(-3, 3, 2), rng.uniform(-np.pi, np.pi)])
        state = np.array([[*rng.uniform(-9, 9, 2), rng.uniform(-np.pi, np.pi), 0, 0, *rng.uniform(0.4, 8.0, 2)]])
        soft = bool(rng.random() < 0.3)
        seen = forecast(object_set(state, np.array([soft])), pose[:2], 0.0, 0.1, None, limits)
        hit = first_overlap(np.stack([pose, pose]), seen, VEHICLE, 0.0)
        found.append(hit is not None)
        margin = limits.vulnerable_margin_m if soft else limits.lateral_margin_m
        centre = pose[:2] + VEHICLE.centre_offset_m * np.array([np.cos(pose[2]), np.sin(pose[2])])
        own = pycrcc.RectOBB(VEHICLE.length_m / 2, VEHICLE.width_m / 2 + margin, pose[2], *centre)
        other = pycrcc.RectOBB(state[0, 5] / 2, state[0, 6] / 2, state[0, 2], *state[0, :2])
        expected.append(own.collide(other))
    assert 0.1 < np.mean(expected) < 0.9
    assert found == expected
