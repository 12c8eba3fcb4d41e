"""Who passes within the margin beside the vehicle: left out while it drives on, and not to be turned into.

A gap is between the bare boxes. Going straight on never closes one here; moving over by a metre closes all of them.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import box_corners, boxes_overlap, compose, inverse
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.guards.collision import check_collision
from onboard_vla.safety.guards.forecast import forecast
from onboard_vla.safety.object_memory import ObjectSet

from .driving_range import Mover, Range, make_plan
from .test_next_lane import FRAMES, moving_over, straight_lane
from .test_scoring_blame import NEVER_S, first_contact
from .test_scoring_blame import moving_over as proposal_over

VEHICLE, LIMITS = VehicleGeometry(), CollisionLimits()
SPEED = 10.0
SIZES = {"vehicle": (4.6, 1.9), "cyclist": (2.2, 0.8)}
GAPS_M = (0.05, 0.1, 0.2, 0.29, 0.4, 0.49, 0.6)


def bare_contact(poses, x, y, vx, size):
    """Whether bare boxes touch at any of the `poses`, a tenth of a second apart."""
    count = len(poses)
    heading = np.column_stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])])
    own = box_corners(poses[:, :2] + VEHICLE.centre_offset_m * heading, poses[:, 2], VEHICLE.length_m, VEHICLE.width_m)
    places = np.column_stack([x + vx * 0.1 * np.arange(count), np.full(count, y)])
    return bool(boxes_overlap(own, box_corners(places, np.zeros(count), *size)).any())


def refused(poses, x, y, vx, kind, frame, known):
    place = compose(np.array(frame), np.array([[x, y, 0.0]]))[0]
    states = np.array([[*place, vx * math.cos(place[2]), vx * math.sin(place[2]), *SIZES[kind]]])
    no, weak = np.zeros(1, bool), np.array([kind == "cyclist"])
    objects = ObjectSet(states, np.zeros(1, np.int64), weak, no, np.array([9]), np.zeros(1))
    poses = compose(np.array(frame), poses)
    seen = forecast(objects, poses[0, :2], SPEED, 3.0, straight_lane(frame) if known else None, LIMITS)
    return check_collision(poses, seen, VEHICLE, LIMITS) is not None


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("gap", GAPS_M)
def test_turning_into_who_passes_close_is_refused_and_driving_on_is_not(gap, kind, known, frame):
    approaches = [(0.0, 0.5), (1.0, 1.0), (3.0, 2.0), (6.0, 3.0), (8.0, 4.0)]
    for side, (behind_m, dv) in itertools.product((1, -1), approaches):
        y = side * (VEHICLE.width_m / 2 + gap + SIZES[kind][1] / 2)
        passing = (-behind_m, y, SPEED + dv)
        assert not bare_contact(moving_over(0.0), *passing, SIZES[kind])
        assert bare_contact(moving_over(1.0 * side), *passing, SIZES[kind])
        assert refused(moving_over(1.0 * side), *passing, kind, frame, known)
        assert not refused(moving_over(-1.0 * side), *passing, kind, frame, known)
        # Whether driving on is excused is asked where he has not come past the own middle within the horizon.
        if -behind_m + 3.0 * dv < VEHICLE.centre_offset_m:
            assert not refused(moving_over(0.0), *passing, kind, frame, known)


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize(("outside_m", "fault"), [(-0.01, False), (0.01, True)])
def test_bare_contact_is_excused_as_far_as_the_vehicle_itself_is_wide(outside_m, fault, kind, side):
    """Who reaches into the bare vehicle's way from behind runs into it, wherever it moves."""
    y = side * (VEHICLE.width_m / 2 + SIZES[kind][1] / 2 + outside_m)
    assert refused(moving_over(1.0 * side), -6.0, y, 13.0, kind, FRAMES[0], True) is fault


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize("gap", [0.02, 0.05, 0.09])
@pytest.mark.parametrize(("behind_m", "vx"), [(2.0, 11.0), (6.0, 13.0), (9.0, 13.0)])
def test_a_proposal_that_moves_over_into_who_passes_close_is_at_fault(behind_m, vx, gap, side):
    passing = [-behind_m, side * (1.0 + gap + 1.0), 0.0, vx, 0.0, 4.0, 2.0]
    assert first_contact(passing) == NEVER_S
    assert first_contact(passing, along=proposal_over(1.0 * side)) < 3.9
    assert first_contact(passing, along=proposal_over(-1.0 * side)) == NEVER_S


@pytest.mark.parametrize(("kind", "gap", "dv"), [("vehicle", 0.10, 1.0), ("vehicle", 0.10, 2.0), ("cyclist", 0.15, 2.0),
                                                 ("cyclist", 0.15, 3.0)])  # fmt: skip
def test_a_model_that_turns_into_who_passes_close_does_not_hit_him(kind, gap, dv):
    """The whole supervisor, in a closed loop; the model moves over by a metre as soon as he is beside the rear."""
    drive = Range(speed=SPEED)
    drive.half_width_m, drive.limit_mps = 4.0, SPEED
    drive.engage(1.0)
    drive.run(4.0)
    assert drive.published[-1].source == "model"
    (length, width), vehicle = SIZES[kind], drive.vehicle
    passing = Mover(vehicle.x - 8.5, vehicle.y + 1.0 + gap + width / 2, SPEED + dv, 0.0, kind, length, width)
    drive.movers, began = [passing], []

    def turning():
        if not began:
            if passing.x - vehicle.x <= -5.5:
                return straight_on()
            began.append(drive.tick)
        at = np.arange(1, 11) * 0.5
        share = np.clip(((drive.tick - began[0]) * 0.02 + at) / 3.5, 0, 1)
        course = np.arctan2(6 * (share - share**2) / 3.5, SPEED)
        world = np.column_stack([vehicle.x + SPEED * at, 3 * share**2 - 2 * share**3, course])
        drive.plan_id += 1
        here = np.array([vehicle.x, vehicle.y, vehicle.heading])
        return make_plan(drive.now.stamp_ns, compose(inverse(here), world), drive.plan_id)

    straight_on, drive.model_plan = drive.model_plan, turning
    named = set()
    for _ in range(200):
        named |= {reason.code for reason in drive.step().reasons}
        pose = np.array([[vehicle.x, vehicle.y, vehicle.heading]])
        assert not bare_contact(pose, passing.x, passing.y, 0.0, (length, width)), drive.published[-1].source
    assert began
    assert "COLLISION" in named
