"""Candidates ranked by what the vehicle knows: the wall is not hit, the road not left, and standing wins nothing."""

import numpy as np
import pytest

from onboard_vla.core.ego import EgoState, VehicleGeometry
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.scoring.ranking import PdmScorer, motion_of
from onboard_vla.core.scoring.surroundings import RoadArea, Traffic

SPEED = 10.0
EGO = EgoState(0, 100.0, 50.0, 0.0, SPEED, 0.0, 0.0)
TIMES = 0.1 * np.arange(1, 51)
INSTANTS = 50
X = np.arange(0.0, 300.0)
ROAD = RoadArea(
    Polyline(np.stack([X, np.full_like(X, 50.0)], axis=1)),
    np.full(len(X), 5.25),
    np.full(len(X), 1.75),
    ((-1.75, 1.75), (1.75, 5.25)),
    (),
    (),
)


def plan(speed=SPEED, left_m=0.0, braking=0.0):
    """Straight on at a speed, sliding over to the left within two seconds, or braking."""
    along = speed * TIMES - 0.5 * braking * np.minimum(TIMES, speed / max(braking, 1e-9)) ** 2
    if braking:
        stopped = speed / braking < TIMES
        along[stopped] = speed**2 / (2 * braking)
    sideways = left_m * np.clip(TIMES / 2.0, 0, 1) ** 2 * (3 - 2 * np.clip(TIMES / 2.0, 0, 1))
    heading = np.arctan2(np.gradient(sideways, 0.1), speed)
    return np.stack([along, sideways, heading], axis=1).astype(np.float32)


def scorer(boxes=(), speeds=()):
    traffic = Traffic.constant_velocity(
        np.array(boxes, float).reshape(-1, 5), np.array(speeds, float), np.ones(len(speeds), bool), INSTANTS, 0.1
    )
    return PdmScorer(EGO, traffic, ROAD, VehicleGeometry())


def test_an_empty_road_favours_progress():
    assert np.argmax(scorer().scores(np.array([plan(5.0), plan(SPEED), plan(SPEED, braking=4.0)]))) == 1


def test_what_hits_somebody_is_worth_nothing():
    standing = (125.0, 50.0, 0.0, 4.8, 2.0)

    ahead, beside = scorer([standing], [0.0]).scores(np.array([plan(), plan(left_m=3.5)]))

    assert ahead == 0.0
    assert beside > 0.5


def test_who_drives_on_is_no_obstacle():
    """Constant velocity: the same box at the vehicle's own speed is never reached."""
    assert scorer([(125.0, 50.0, 0.0, 4.8, 2.0)], [SPEED]).scores(np.array([plan()]))[0] > 0.8


def test_leaving_the_road_is_worth_nothing():
    assert scorer().scores(np.array([plan(left_m=8.0), plan()]))[0] == 0.0


def test_speeds_of_a_plan_are_its_own():
    motion = motion_of(plan(SPEED, braking=2.0), EGO)

    assert motion.poses[0] == pytest.approx([100, 50, 0])
    assert motion.speed_mps[20] == pytest.approx(SPEED - 4.0, abs=0.15)
    assert motion.acceleration_mps2[10:30] == pytest.approx(-2.0, abs=0.2)


@pytest.mark.parametrize("bad", [plan()[:39], np.full((50, 3), np.nan)])
def test_a_candidate_that_is_short_or_not_finite_is_refused(bad):
    with pytest.raises(GeometryError):
        scorer().scores(bad[None])
