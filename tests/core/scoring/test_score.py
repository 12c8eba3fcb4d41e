"""PDMS and EPDMS by hand, the human filter, and what must hold for any scene."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import Polyline, compose
from onboard_vla.core.scoring.displacement import displacement
from onboard_vla.core.scoring.score import SubMetrics, ego_progress, ego_progress_v1, epdms, measure, pdms
from onboard_vla.core.scoring.surroundings import Traffic

from .scenes import VEHICLE, along_x, other, road, straight_on, together

PERFECT = SubMetrics(1.0, 1.0, 1.0, 1.0, 40.0, 1.0, 1.0, 1.0, 1.0, 1.0, np.inf)


def having(**values):
    return dataclasses.replace(PERFECT, **values)


def test_a_perfect_motion_scores_one():
    assert pdms(PERFECT, PERFECT) == 1.0
    assert epdms(PERFECT, PERFECT, 1.0, PERFECT) == 1.0


def test_pdms_weighs_progress_and_collision_time_five_and_comfort_two():
    own = having(progress_m=20.0, comfort=0.0)
    assert ego_progress_v1(own, PERFECT) == 0.5
    assert pdms(own, PERFECT) == pytest.approx((5 * 0.5 + 5) / 12)
    assert pdms(having(ttc_v1=0.0), PERFECT) == pytest.approx(7 / 12)
    assert pdms(having(nc=0.5), PERFECT) == pytest.approx(0.5 * (5 * 0.5 + 5 + 2) / 12)


@pytest.mark.parametrize("name", ["nc", "dac"])
def test_pdms_is_nothing_after_a_collision_or_off_the_road(name):
    assert pdms(having(**{name: 0.0}), PERFECT) == 0.0


def test_pdms_knows_neither_direction_nor_traffic_lights_nor_lanes():
    assert pdms(having(ddc=0.0, tlc=0.0, lane_keeping=0.0, history_comfort=0.0, ttc=0.0), PERFECT) == 1.0


@pytest.mark.parametrize(
    ("name", "score"),
    [
        ("nc", 0.0), ("dac", 0.0), ("ddc", 0.0), ("tlc", 0.0),
        ("ttc", 11 / 16), ("lane_keeping", 14 / 16), ("history_comfort", 14 / 16),
    ],
)  # fmt: skip
def test_epdms_multiplies_four_rules_and_weighs_the_rest(name, score):
    assert epdms(having(**{name: 0.0}), PERFECT, 1.0) == pytest.approx(score)


def test_epdms_weighs_extended_comfort_or_leaves_it_out():
    own = having(progress_m=20.0, lane_keeping=0.0)
    assert epdms(own, PERFECT, 1.0) == pytest.approx((2.5 + 5 + 2 + 2) / 16)
    assert epdms(own, PERFECT, 0.0) == pytest.approx((2.5 + 5 + 2) / 16)
    assert epdms(own, PERFECT, None) == pytest.approx((2.5 + 5 + 2) / 14)
    assert epdms(having(ddc=0.5), PERFECT, 1.0) == pytest.approx(0.5)


def test_progress_is_measured_against_the_best_allowed_one_beyond_five_metres():
    assert ego_progress(having(progress_m=4.0), having(progress_m=5.0)) == 1.0
    assert ego_progress(having(progress_m=4.0), having(progress_m=5.1)) == pytest.approx(4.0 / 5.1)
    assert ego_progress(having(progress_m=20.0), having(tlc=0.0)) == 1.0
    assert ego_progress_v1(having(progress_m=20.0), having(tlc=0.0)) == 0.5
    assert ego_progress_v1(having(progress_m=4.0, dac=0.0), having(progress_m=4.0)) == 0.0
    assert ego_progress(having(progress_m=30.0), having(progress_m=20.0)) == 1.0


def test_a_rule_that_the_human_breaks_too_is_not_held_against_the_motion():
    own = having(dac=0.0, lane_keeping=0.0, ttc=0.0)
    assert epdms(own, PERFECT, 1.0, having(dac=0.0)) == pytest.approx((5 + 2 + 2) / 16)
    assert epdms(own, PERFECT, 1.0, having(dac=0.0, lane_keeping=0.0, ttc=0.0)) == 1.0
    assert epdms(own, PERFECT, 1.0, having(dac=0.5)) == 0.0
    assert pdms(own, having(dac=0.0)) == 0.0


def test_measured_sub_metrics_of_a_drive_into_a_standing_vehicle():
    found = measure(straight_on(10.0), other(20.0), road(), VEHICLE)
    expected = SubMetrics(0.0, 1.0, 1.0, 1.0, 40.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.5)
    for name, value in dataclasses.asdict(expected).items():
        assert getattr(found, name) == pytest.approx(value), name


def test_history_counts_for_epdms_alone():
    steady, before = straight_on(), straight_on(count=15)
    stamping = dataclasses.replace(steady, acceleration_mps2=np.full(41, -3.3))
    gathering = dataclasses.replace(before, acceleration_mps2=np.full(15, 1.5))
    found = measure(stamping, Traffic.none(50), road(), VEHICLE, gathering)
    assert (found.comfort, found.history_comfort) == (1.0, 0.0)


def test_traffic_that_ends_before_the_motion_is_refused():
    with pytest.raises(GeometryError, match="at least 41 instants, found 40"):
        measure(straight_on(), Traffic.none(40), road(), VEHICLE)


def test_displacement_by_hand():
    driven = np.stack([np.arange(1.0, 11.0), np.zeros(10)], 1)
    planned = driven + np.stack([np.zeros(10), 0.1 * np.arange(1, 11)], 1)
    found = displacement(planned, driven, 0.5)
    assert (found.l2_1s_m, found.l2_2s_m, found.l2_3s_m) == pytest.approx((0.2, 0.4, 0.6))
    assert (found.l2_mean_1s_m, found.l2_mean_2s_m, found.l2_mean_3s_m) == pytest.approx((0.15, 0.25, 0.35))
    assert (found.ade_m, found.fde_m) == pytest.approx((0.55, 1.0))
    with pytest.raises(GeometryError, match="3 s or more"):
        displacement(planned[:5], driven[:5], 0.5)


USERS = st.tuples(
    st.floats(-30, 60), st.floats(-8, 8), st.floats(-8, 8), st.floats(-3, 3), st.floats(0.5, 8), st.floats(0.3, 3)
)
MOTIONS = st.tuples(st.floats(0.0, 15.0), st.floats(-3.0, 3.0), st.floats(-0.3, 0.3))


def moved(scene, pose):
    """The same scene elsewhere."""
    motion, traffic, area = scene
    boxes = traffic.boxes.copy()
    boxes[..., :3] = compose(pose, boxes[..., :3])
    line = compose(pose, np.pad(area.centreline.points, ((0, 0), (0, 1))))[:, :2]
    return (
        dataclasses.replace(motion, poses=compose(pose, motion.poses)),
        dataclasses.replace(traffic, boxes=boxes),
        dataclasses.replace(area, centreline=Polyline(line)),
    )


@settings(max_examples=40, deadline=None)
@given(MOTIONS, st.lists(USERS, min_size=1, max_size=3), st.floats(-200, 200), st.floats(-3.1, 3.1))
def test_scores_lie_between_nothing_and_one_and_do_not_depend_on_the_frame(how, users, shift, turn):
    speed, y, heading = how
    scene = straight_on(speed, y, heading=heading), together(*(other(*user) for user in users)), road()
    own = measure(*scene, VEHICLE)
    reference = measure(along_x(np.linspace(8.0, 0.0, 41)), scene[1], scene[2], VEHICLE)
    for extended in (None, 0.0, 1.0):
        assert 0.0 <= epdms(own, reference, extended) <= epdms(own, reference, extended, reference) <= 1.0
    assert 0.0 <= pdms(own, reference) <= 1.0
    # Exactly on an edge, rounding decides: compare the rules where a hair's breadth changes nothing.
    nudged = [
        measure(dataclasses.replace(scene[0], poses=scene[0].poses + e), *scene[1:], VEHICLE) for e in (-EDGE, EDGE)
    ]
    if all(dataclasses.replace(n, progress_m=own.progress_m) == own for n in nudged):
        again = measure(*moved(scene, np.array([shift, -shift, turn])), VEHICLE)
        assert again.progress_m == pytest.approx(own.progress_m, abs=1e-6)
        assert dataclasses.replace(again, progress_m=own.progress_m) == own


EDGE = 1e-6


@settings(max_examples=40, deadline=None)
@given(MOTIONS, st.lists(USERS, min_size=2, max_size=3))
def test_one_more_road_user_never_makes_a_motion_safer(how, users):
    speed, y, heading = how
    motion = straight_on(speed, y, heading=heading)
    fewer = measure(motion, together(*(other(*user) for user in users[:-1])), road(), VEHICLE)
    more = measure(motion, together(*(other(*user) for user in users)), road(), VEHICLE)
    assert more.nc <= fewer.nc
    assert more.ttc <= fewer.ttc
    assert more.ttc_v1 <= fewer.ttc_v1
    assert more.ttc_v1 <= more.ttc
    assert more.contact_s <= fewer.contact_s


def test_a_contact_at_fault_implies_that_time_to_collision_was_missed_for_a_standing_one_ahead():
    for x in np.arange(8.0, 45.0, 0.7):
        found = measure(straight_on(10.0), other(x), road(), VEHICLE)
        assert found.ttc <= found.nc
