"""Object lists: what one may hold, and how it may differ from the one before."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.objects import ObjectList
from onboard_vla.safety.guards.objects import ObjectWatch, list_fault
from onboard_vla.safety.input_config import ObjectLimits
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.object_memory import ObjectSet

from .driving_range import make_ego, make_object, simulation_config

LIMITS, MS = ObjectLimits(), 1_000_000
CONFIG = simulation_config()


@pytest.mark.parametrize(
    ("speed", "code"), [(79.9, None), (80.1, "OBJECTS_IMPLAUSIBLE"), (math.nan, "OBJECTS_NOT_FINITE")]
)
@pytest.mark.parametrize("turn", [0.0, 2.0])
def test_impossible_speeds_are_refused(speed, code, turn):
    item = replace(make_object(1.0, 2.0), vx_mps=speed * math.cos(turn), vy_mps=speed * math.sin(turn))
    fault = list_fault(1, ObjectList(0, (item,)).states(), LIMITS)
    assert (fault.code if fault else None) == code


class Lists:
    """Lists at 10 Hz of six cars that drive along, into `Inputs`."""

    def __init__(self, near=10.0):
        self.inputs, self.k = Inputs(CONFIG), 0
        self.cars = [make_object(near + 8.0 * i, 4.0 * (i % 2), vx=9.0, track_id=i) for i in range(6)]
        self.inputs.receive(make_ego(0), Now(0, 0))

    def send(self, change=lambda cars: cars, count=1):
        """Codes with their levels after the last list."""
        for _ in range(count):
            now = Now(self.k * 100 * MS, self.k * 100 * MS)
            self.cars = [replace(car, x_m=car.x_m + 0.9) for car in self.cars]
            self.inputs.receive(ObjectList(now.stamp_ns, tuple(change(self.cars))), now)
            self.k += 1
        requests = self.inputs.object_watch.requests(now)
        return {(int(request.level), request.reason.code): request.reason.measured for request in requests}


def with_ids(cars, ids):
    return [replace(car, track_id=i) for car, i in zip(cars, ids, strict=True)]


def test_cars_that_drive_along_ask_for_nothing():
    rng = np.random.default_rng(2)
    lists = Lists()
    for _ in range(100):
        noise = rng.normal(0, 0.3, (6, 2))
        assert lists.send(lambda cars, n=noise: [replace(c, x_m=c.x_m + a, y_m=c.y_m + b)
                                        for c, (a, b) in zip(cars, n, strict=True)]) == {}  # fmt: skip


def test_shuffled_identities_reduce_the_speed_and_move_no_box():
    lists = Lists()
    lists.send(count=3)
    seen = lists.send(lambda cars: with_ids(cars, [1, 2, 3, 4, 5, 0]))
    assert seen == {(1, "OBJECTS_MIXED_UP"): 6.0}
    assert len(lists.inputs.objects.confirmed.states) == 6
    assert lists.send(lambda cars: with_ids(cars, [1, 2, 3, 4, 5, 0]), count=11) == {}


def test_one_identity_given_twice_again_and_again_is_mixed_up():
    lists = Lists()
    assert lists.send(lambda cars: with_ids(cars, [0, 1, 2, 3, 4, 4]), count=2) == {}
    assert lists.send(lambda cars: with_ids(cars, [0, 1, 2, 3, 4, 4])) == {(1, "OBJECTS_MIXED_UP"): 3.0}


@pytest.mark.parametrize(("moved", "found"), [(2, False), (3, True)])
def test_so_many_jumps_in_a_second_lead_to_the_fallback(moved, found):
    lists = Lists()
    lists.send(count=3)
    seen = lists.send(lambda cars: [replace(c, y_m=c.y_m + 60.0) if i < moved else c for i, c in enumerate(cars)])
    assert seen == ({(2, "OBJECTS_JUMP"): float(moved)} if found else {})


@pytest.mark.parametrize(("jump", "found"), [(3.5, False), (3.7, True)])
def test_the_reach_of_a_jump_holds_on_both_sides(jump, found):
    lists = Lists()
    lists.cars = [replace(car, x_m=40.0 * i) for i, car in enumerate(lists.cars)]
    lists.send(count=3)
    assert bool(lists.send(lambda cars: [replace(c, y_m=c.y_m + jump) for c in cars])) is found


def test_an_identity_unseen_for_long_may_stand_anywhere():
    lists = Lists()
    lists.send(count=3)
    lists.k += 6
    assert lists.send(lambda cars: [replace(c, y_m=c.y_m + 60.0) for c in cars]) == {}


@pytest.mark.parametrize(("count", "found"), [(2, False), (3, True)])
def test_near_objects_that_are_gone_at_once_reduce_the_speed_for_a_while(count, found):
    lists = Lists()
    lists.send(lambda cars: cars[:count], count=3)
    gone = {(1, "OBJECTS_VANISHED"): float(count)} if found else {}
    assert lists.send(lambda cars: []) == gone
    assert lists.send(lambda cars: [], count=20) == gone
    assert lists.send(lambda cars: []) == {}


def test_far_objects_may_leave_the_sight_and_objects_that_come_back_clear_the_fault():
    lists = Lists(near=60.0)
    lists.send(count=3)
    assert lists.send(lambda cars: []) == {}
    lists = Lists()
    lists.send(count=3)
    assert lists.send(lambda cars: [])
    assert lists.send() == {}


def test_the_worst_object_of_a_list_counts_and_is_reported_with_its_limit():
    slow, fast = make_object(1.0, 2.0, vx=3.0), make_object(9.0, 2.0, vx=81.0)
    fault = list_fault(2, ObjectList(0, (slow, fast)).states(), LIMITS)
    assert (fault.code, fault.measured, fault.limit) == ("OBJECTS_IMPLAUSIBLE", 81.0, 80.0)
    assert list_fault(1, ObjectList(0, (make_object(9.0, 2.0, vx=80.0),)).states(), LIMITS) is None
    flat = list_fault(2, ObjectList(0, (slow, replace(fast, width_m=0.0))).states(), LIMITS)
    assert (flat.measured, flat.limit) == (0.0, 0.0)
    lost = list_fault(1, ObjectList(0, (replace(slow, x_m=math.nan),)).states(), LIMITS)
    assert (lost.measured, lost.limit) == (1.0, 0.0)


@pytest.mark.parametrize(("lists_later", "found"), [(10, True), (11, False)])
def test_mixed_up_identities_count_for_a_second(lists_later, found):
    lists = Lists()
    lists.k = 500
    lists.send(count=3)
    lists.send(lambda cars: with_ids(cars, [1, 2, 3, 4, 5, 0]))
    assert bool(lists.send(lambda cars: with_ids(cars, [1, 2, 3, 4, 5, 0]), count=lists_later)) is found


@pytest.mark.parametrize(("ahead", "found"), [(20.0, True), (-20.0, True), (45.0, False)])
def test_vanished_objects_are_near_where_the_vehicle_is(ahead, found):
    lists = Lists()
    lists.inputs.receive(make_ego(1, x_m=0.001), Now(1, 1))
    here = np.array([1000.0, -500.0])
    objects = ObjectSet.empty()
    rows = np.array([[1000.0 + ahead + i, -500.0, 0.0, 0.0, 0.0, 4.0, 2.0] for i in range(3)])
    objects = replace(objects, states=rows)
    watch = lists.inputs.object_watch
    watch.add(
        ObjectList(10 * MS, tuple(lists.cars)), ObjectList(0, tuple(lists.cars)).states(), objects, here, Now(10, 0)
    )
    watch.add(ObjectList(110 * MS, ()), np.zeros((0, 7)), objects, here, Now(110, 0))
    assert [r.reason.code for r in watch.requests(Now(110, 0))] == (["OBJECTS_VANISHED"] if found else [])


def test_a_small_object_is_no_fault():
    person = make_object(1.0, 2.0, kind="pedestrian", length=0.4, width=0.5)
    assert list_fault(1, ObjectList(0, (person,)).states(), LIMITS) is None


def compared(rows, later, elapsed_ms=500):
    """Requests after two lists of (identity, x): standing objects that then are elsewhere."""
    watch = ObjectWatch(replace(LIMITS, jumps=1))
    for ms, row in ((0, rows), (elapsed_ms, later)):
        message = ObjectList(ms * MS, tuple(make_object(x, 0.0, track_id=i) for i, x in row))
        watch.add(message, message.states(), ObjectSet.empty(), np.zeros(2), Now(ms * MS, ms * MS))
    return [(r.reason.code, r.reason.measured, r.reason.limit) for r in watch.requests(Now(elapsed_ms * MS, 0))]


@pytest.mark.parametrize(("moved", "elapsed_ms", "found"), [(6.0, 500, []), (6.25, 500, [("OBJECTS_JUMP", 1.0, 1.0)]),
                                                            (6.25, 501, []), (90.0, 501, [])])  # fmt: skip
def test_the_reach_after_half_a_second_is_six_metres_and_later_there_is_none(moved, elapsed_ms, found):
    """3 m, and 6 m/s for the time between the lists; an identity unseen for longer than 0.5 s may stand anywhere."""
    assert compared([(1, 10.0)], [(1, 10.0 + moved)], elapsed_ms) == found


@pytest.mark.parametrize(("aside", "code"), [(6.0, "OBJECTS_MIXED_UP"), (6.25, "OBJECTS_JUMP")])
def test_who_stands_within_the_reach_of_another_has_changed_places_with_it(aside, code):
    assert compared([(1, 10.0), (2, 100.0)], [(1, 100.0 + aside), (2, 100.0)]) == [(code, 1.0, 1.0)]


@pytest.mark.parametrize(("away", "found"), [(40.0, True), (40.25, False)])
def test_vanished_objects_count_up_to_forty_metres(away, found):
    watch = ObjectWatch(replace(LIMITS, vanished=1))
    there = ObjectList(0, (make_object(away, 0.0),))
    confirmed = replace(ObjectSet.empty(), states=there.states())
    watch.add(there, there.states(), confirmed, np.zeros(2), Now(0, 0))
    watch.add(ObjectList(100 * MS, ()), np.zeros((0, 7)), confirmed, np.zeros(2), Now(100 * MS, 0))
    found_now = [(r.reason.code, r.reason.measured, r.reason.limit) for r in watch.requests(Now(100 * MS, 0))]
    assert found_now == ([("OBJECTS_VANISHED", 1.0, 1.0)] if found else [])
