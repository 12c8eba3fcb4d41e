"""Ghosts of perception come and go within three lists; road users are missed now and then. Neither may rule."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.ego import EgoState
from onboard_vla.core.objects import ObjectList
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.object_memory import ObjectMemory
from onboard_vla.world.object_sensor import ObjectSensor

from .driving_range import make_object

LIST_NS = 100_000_000
STANDING = (make_object(30.0, 0.0),)


def braked_for(pattern: str) -> str:
    """For each list, whether what was seen (x) or missed (.) in it is braked for after it (x) or not (.)."""
    memory, found = ObjectMemory(CollisionLimits()), ""
    for k, letter in enumerate(pattern):
        rows = (make_object(20.0 + 0.4 * k, 0.0, 4.0),) if letter == "x" else ()
        memory.add(ObjectList(k * LIST_NS, rows))
        found += "x" if len(memory.confirmed.states) else "."
    return found


@pytest.mark.parametrize(
    ("seen", "braked"),
    [
        ("x......", "......."),  # a ghost of one list
        ("xx.....", ".xx...."),  # of two
        ("xxx....", ".xxx..."),  # of three
        ("xxxx...", ".xxxxx."),
        ("xxxxx....", ".xxxxxxx."),
        ("xxxxxxx....", ".xxxxxxxxx."),  # three lists and no more
        ("xx.x.x.x", ".xxxxxxx"),  # whoever is seen in every second list is there
        ("xx..x..x", ".xx.xx.x"),  # and whoever comes back is confirmed at once
        ("xxx..xx", ".xxx.xx"),
        ("x.x.x", "....."),
    ],
)
def test_who_is_missed_is_braked_for_no_longer_than_he_was_seen(seen, braked):
    assert braked_for(seen) == braked


def test_a_restated_clock_changes_nobody_who_is_missed():
    memory = ObjectMemory(CollisionLimits())
    for k in range(4):
        memory.add(ObjectList(k * LIST_NS, (make_object(20.0, 0.0),)))
    memory.add(ObjectList(4 * LIST_NS, ()))
    memory.restate(lambda stamp_ns: stamp_ns + 10**12)
    assert len(memory.confirmed.states) == 1
    memory.add(ObjectList(10**12 + 6 * LIST_NS, ()))
    assert len(memory.confirmed.states) == 1
    memory.add(ObjectList(10**12 + 7 * LIST_NS, ()))
    assert len(memory.confirmed.states) == 0


def perceived(rows: tuple, seconds: float, seed: int):
    """What the sensor model makes of standing objects: (list, confirmed objects) ten times a second."""
    sensor, memory = ObjectSensor(np.random.default_rng(seed)), ObjectMemory(CollisionLimits())
    for k in range(round(10 * seconds)):
        ego = EgoState(k * LIST_NS, 0.0, 0.0, 0.0, 10.0, 0.0, 0.0)
        seen = sensor.measure(ObjectList(k * LIST_NS, rows), ego)
        memory.add(seen)
        yield seen, memory.confirmed


def test_ghosts_of_the_sensor_model_are_braked_for_a_sixth_of_a_second_each():
    """They live for one to three lists. With 0.3 s of coasting for everybody it was 0.30 s."""
    born, braked = set(), 0
    for seen, confirmed in perceived((), 2000.0, 4):
        born |= {ghost.track_id for ghost in seen.objects}
        braked += len(confirmed.states)
    assert len(born) > 80
    assert 0.14 < 0.1 * braked / len(born) < 0.19


def test_a_road_user_in_sight_is_braked_for_through_every_miss():
    """The sensor model misses 3.5 % of its frames."""
    lists = [(len(seen.objects), len(confirmed.states)) for seen, confirmed in perceived(STANDING, 1000.0, 4)]
    assert min(seen for seen, _ in lists) == 0
    assert all(confirmed for _, confirmed in lists[5:])


def test_of_road_users_that_appear_one_in_a_hundred_at_most_is_lost_for_a_moment():
    """Missed twice in a row, before he was seen four times."""
    rng = np.random.default_rng(5)
    patterns = ["xx" + "".join("x" if seen else "." for seen in rng.random(6) > 0.035) for _ in range(2000)]
    assert sum("." in braked_for(pattern)[1:] for pattern in patterns) / len(patterns) < 0.01
