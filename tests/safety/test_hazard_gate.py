"""When the hazard gate asks for the emergency stop: how much, for how long, and of whom."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.config import CollisionLimits, FallbackSettings, StopSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.hazard_gate import HazardGate
from onboard_vla.safety.idm import Lead, closing_deceleration
from onboard_vla.safety.joined_path import join
from onboard_vla.safety.object_memory import ObjectSet

CONFIRM_NS = 300_000_000


def gate():
    return HazardGate(CollisionLimits(), FallbackSettings(), StopSettings())


def standing(required, speed=10.0):
    """A standing lead behind which `speed` requires this deceleration, 1 m left."""
    return (Lead(1.0 + speed**2 / (2 * required), 0.0),)


@pytest.mark.parametrize(("required", "asks"), [(3.99, False), (4.01, True)])
def test_more_than_the_limit_for_the_confirmation_time_asks_for_the_emergency_stop(required, asks):
    watched = gate()
    assert watched.watch(standing(required), 10.0, 5) is None
    assert watched.watch(standing(required), 10.0, 4 + CONFIRM_NS) is None
    request = watched.watch(standing(required), 10.0, 5 + CONFIRM_NS)
    assert (request is not None) == asks
    if request is not None:
        assert (request.level, request.reason.code, request.reason.limit) == (Mode.EMERGENCY_STOP, "A_REQ", 4.0)
        assert request.reason.measured == pytest.approx(required)
        assert not request.outside


def test_exactly_the_limit_is_not_more():
    watched = gate()
    for now in (0, CONFIRM_NS, 2 * CONFIRM_NS):
        assert watched.watch((Lead(1.0 + 64 / 8.0, 0.0),), 8.0, now) is None


def test_one_calm_moment_begins_the_confirmation_anew():
    watched = gate()
    watched.watch(standing(5.0), 10.0, 0)
    assert watched.watch((), 10.0, CONFIRM_NS // 2) is None
    assert watched.watch(standing(5.0), 10.0, CONFIRM_NS) is None
    assert watched.watch(standing(5.0), 10.0, 2 * CONFIRM_NS - 1) is None
    assert watched.watch(standing(5.0), 10.0, 2 * CONFIRM_NS) is not None


def test_it_goes_on_asking_while_it_lasts():
    watched = gate()
    watched.watch(standing(5.0), 10.0, 0)
    for now in (CONFIRM_NS, CONFIRM_NS + 1, 10 * CONFIRM_NS):
        assert watched.watch(standing(5.0), 10.0, now) is not None


def test_without_any_room_a_finite_figure_is_reported():
    watched = gate()
    watched.watch((Lead(0.5, 0.0),), 10.0, 0)
    assert watched.watch((Lead(0.5, 0.0),), 10.0, CONFIRM_NS).reason.measured == 99.0


@pytest.mark.parametrize(("lead_mps", "asks"), [(10.0, False), (10.1, False), (9.9, True)])
def test_only_leads_that_the_vehicle_closes_in_on_count(lead_mps, asks):
    watched = gate()
    leads = (Lead(-20.0, lead_mps),)
    watched.watch(leads, 10.0, 0)
    assert (watched.watch(leads, 10.0, CONFIRM_NS) is not None) == asks


@pytest.mark.parametrize(("speed", "asks"), [(0.49, False), (0.5, True)])
def test_at_walking_pace_it_is_silent(speed, asks):
    watched = gate()
    watched.watch((Lead(0.5, 0.0),), speed, 0)
    assert (watched.watch((Lead(0.5, 0.0),), speed, CONFIRM_NS) is not None) == asks


def test_the_worst_lead_decides():
    watched = gate()
    leads = standing(1.0) + standing(5.0) + standing(2.0)
    watched.watch(leads, 10.0, 0)
    assert watched.watch(leads, 10.0, CONFIRM_NS).reason.measured == pytest.approx(5.0)


@pytest.mark.parametrize(("lead_mps", "required"), [(0.0, 8.0), (4.0, 2.88), (10.0, 0.0), (-14.0, 8.0)])
def test_required_is_what_brings_the_vehicle_down_to_the_leads_speed(lead_mps, required):
    lead = Lead(1.0 + 100.0 / 16.0, lead_mps)
    assert closing_deceleration(10.0, lead, FallbackSettings().idm) == pytest.approx(required)


LINE = Polyline(np.array([[0.0, 0.0], [200.0, 0.0]]))
PATH = join(LINE, Motion(0.0, 0.0, 0.0, 10.0, 0.0, 0.0), 20.0, 90.0)
FRONT = VehicleGeometry().length_m - VehicleGeometry().rear_overhang_m


def cars(*rows):
    """Cars of 4 m along the lane: (x, y, speed, lists in which they were seen)."""
    states = np.array([[x, y, 0.0, speed, 0.0, 4.0, 2.0] for x, y, speed, _ in rows])
    none, hits = np.zeros(len(rows), bool), np.array([hits for *_, hits in rows])
    return ObjectSet(states, np.zeros(len(rows), np.int64), none, none, hits, np.zeros(len(rows)))


def near(*leads):
    return [(pytest.approx(gap, abs=0.05), pytest.approx(speed)) for gap, speed in leads]


def test_leads_are_the_nearest_objects_in_the_way_by_their_gaps():
    """An object's rear is half of its 4 m before its middle; who is behind a slower one does not matter."""
    objects = cars((50.0, 0.0, 3.0, 2), (30.0, 9.0, 0.0, 2), (40.0, 0.0, 5.0, 2), (60.0, 0.0, 6.0, 2))
    leads = gate().leads(PATH, objects, 10.0, VehicleGeometry(), LINE)
    assert leads == near((40.0 - 2.0 - FRONT, 5.0), (50.0 - 2.0 - FRONT, 3.0))


def test_lasting_are_objects_of_four_lists_and_signals():
    objects = cars((40.0, 0.0, 5.0, 3), (50.0, 0.0, 3.0, 4))
    kept, signal = (50.0 - 2.0 - FRONT, 3.0), Lead(70.0, 0.0)
    assert gate().lasting(PATH, objects, (), 10.0, VehicleGeometry(), LINE) == near(kept)
    assert gate().lasting(PATH, objects, (signal,), 10.0, VehicleGeometry(), LINE) == near(kept, signal)


def test_without_leads_nothing_presses():
    lax = HazardGate(CollisionLimits(), FallbackSettings(), StopSettings(emergency_a_req_mps2=2.0))
    assert lax.pressed((), 10.0) is False
    assert lax.pressed(standing(1.99), 10.0) is False
    assert lax.pressed(standing(2.01), 10.0) is True
