"""What is looked at more closely than a circle or a box about the path is less; what is found must be the same."""

from __future__ import annotations

import numpy as np

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.objects import ObjectList
from onboard_vla.safety import leads, scoring
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.joined_path import join
from onboard_vla.safety.object_memory import ObjectMemory

from .driving_range import arc_line, make_object

LANE = Polyline(arc_line(40.0)[40:500])
LIMITS = CollisionLimits()


def crowd(rng: np.random.Generator):
    """Forty objects on and beside the lane, confirmed."""
    memory = ObjectMemory(LIMITS)
    rows = []
    for k in range(40):
        s, d = rng.uniform(0.0, 110.0), rng.uniform(-12.0, 12.0)
        heading = float(LANE.heading_at(s)) + rng.choice([0.0, np.pi]) + rng.normal(0.0, 0.3)
        (x, y), pace = LANE.at(s), rng.uniform(0.0, 12.0) * rng.choice([0.0, 1.0])
        x, y = x - d * np.sin(heading), y + d * np.cos(heading)
        kind = str(rng.choice(["vehicle", "pedestrian", "cyclist"]))
        rows.append(make_object(x, y, pace * np.cos(heading), pace * np.sin(heading), kind, k, heading=heading))
    for stamp in (0, 1):
        memory.add(ObjectList(stamp, tuple(rows)), LANE)
    return memory.confirmed


def test_the_box_about_the_path_loses_no_lead(monkeypatch):
    """Forty crowds, among which the vehicle has two hundred leads and more."""
    with_box = [find_leads(seed) for seed in range(40)]
    monkeypatch.setattr(leads, "_in_box_about", lambda _path, positions, _reach: np.ones(positions.shape[:2], bool))
    monkeypatch.setattr(leads, "ROUNDING_M", 1e3)

    assert with_box == [find_leads(seed) for seed in range(40)]
    assert sum(map(len, with_box)) > 200


def find_leads(seed: int):
    """A vehicle somewhere on the lane among a crowd."""
    rng = np.random.default_rng(seed)
    objects, start = crowd(rng), float(rng.uniform(0.0, 80.0))
    x, y = LANE.at(start)
    motion = Motion(float(x), float(y), float(LANE.heading_at(start)), float(rng.uniform(0.0, 15.0)), 0.0, 0.0)
    path = join(LANE, motion, 10.0, 60.0)
    return leads.object_leads(path, objects, motion.speed_mps, VehicleGeometry(), LIMITS, 0.3, LANE)


def test_objects_far_from_the_path_are_outside_its_box():
    motion = Motion(0.0, 0.0, 0.0, 10.0, 0.0, 0.0)
    path = join(Polyline(np.array([[0.0, 0.0], [100.0, 0.0]])), motion, 10.0, 50.0)
    places = np.array([[[20.0, 0.0], [20.0, 4.1], [-3.9, 0.0], [-4.1, 0.0], [53.9, -3.9], [60.0, 0.0]]])

    inside = leads._in_box_about(path, places, np.full(6, 4.0))

    assert inside.tolist() == [[True, False, True, False, True, False]]


def test_the_box_about_all_proposals_loses_no_meeting(monkeypatch):
    """Forty crowds about fifteen proposals of eight instants; who is left out meets none of them."""
    with_box = [meetings(seed) for seed in range(40)]
    monkeypatch.setattr(scoring, "ROUNDING_M", 1e3)

    assert with_box == [meetings(seed) for seed in range(40)]
    assert sum(len(rows[0]) for rows in with_box) > 2000


def meetings(seed: int):
    """Vehicles at places of their own in a crowd, which stands."""
    rng = np.random.default_rng(seed)
    objects = crowd(rng)
    states, shape = objects.states, (15, 8)
    s = rng.uniform(0.0, 80.0) + rng.uniform(0.0, 30.0, shape)
    heading, (x, y) = LANE.heading_at(s), np.moveaxis(LANE.at(s), 2, 0)
    places, turns, velocities = (np.tile(states[:, columns], (8, 1, 1)) for columns in ([0, 1], 2, [3, 4]))
    found = scoring._meetings(
        x, y, heading, np.full(shape, 5.0), places, turns.reshape(8, -1), velocities, states[:, 5:7],
        np.where(objects.vulnerable, 0.5, 0.1), VehicleGeometry(),
    )  # fmt: skip
    return [column.tolist() for column in vars(found).values()]


def test_who_is_farther_than_the_reach_from_all_proposals_of_an_instant_is_apart():
    own = np.array([[0.0, 10.0], [4.0, 12.0]])
    theirs = np.array([[-1.1, -0.9, 4.9, 5.1, 10.0], [8.9, 9.1, 12.9, 13.1, 0.0]])

    apart = scoring._apart(own, theirs, np.ones(5))

    assert apart.tolist() == [[True, False, False, True, True]] * 2
