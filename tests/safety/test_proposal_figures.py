"""Proposals against the same model on plain numbers, one proposal and one step at a time."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.config import FallbackSettings
from onboard_vla.safety.idm import Lead, emergency_brake, following_acceleration, free_acceleration
from onboard_vla.safety.proposals import offsets, poses, unroll

SETTINGS = FallbackSettings()
SHARES = (1.0, 0.8, 0.6, 0.4, 0.2)
COUNT = 160
"""Path points, half a metre apart: 80 m, beyond which the last cap holds."""


def driven(speed, acceleration, caps, leads, share, settings=SETTINGS):
    """Distance, speed and acceleration (3, 41) by the scalar model, for one share of the allowed speed."""
    idm, (rules, physics) = settings.idm, caps
    s, v, a = 0.0, max(speed, 0.0), acceleration
    rows = [(s, v, a)]
    for step in range(40):
        places = [min(int(at / 0.5), len(rules) - 1) for at in (s, s + 0.5 * v)]
        safe = min(physics[place] for place in places)
        target = max(min(share * min(rules[place] for place in places), safe), 0.01)
        wanted, jerk = free_acceleration(v, target, idm, settings.over_speed_mps2), settings.jerk_mps3
        if v > safe:
            wanted = min(wanted, max((safe - v) / 0.5, -settings.sight_deceleration_mps2))
        for lead in leads:
            now = Lead(lead.gap_m + lead.speed_mps * 0.1 * step - s, lead.speed_mps)
            wanted = min(wanted, following_acceleration(v, target, now, idm))
            brake = emergency_brake(v, now, idm)
            if brake is not None:
                wanted, jerk = min(wanted, brake), settings.emergency_jerk_mps3
        a = min(max(wanted, a - 0.1 * jerk), a + 0.1 * jerk)
        faster = max(v + 0.1 * a, 0.0)
        s, v = s + 0.05 * (v + faster), faster
        rows.append((s, v, a))
    return np.array(rows).T


def compared(speed, acceleration, caps, leads, settings=SETTINGS):
    """Unrolled together and one by one: every row is the same."""
    rolled = unroll(speed, acceleration, caps, leads, settings)
    width = min(len(rules) for rules, _ in caps)
    for row in range(len(caps)):
        cut = tuple(column[:width] for column in caps[row])
        for column, share in enumerate(SHARES):
            expected = driven(speed, acceleration, cut, leads[row], share, settings)
            k = row * len(SHARES) + column
            found = np.stack([rolled.distance_m[k], rolled.speed_mps[k], rolled.acceleration_mps2[k]])
            assert found == pytest.approx(expected, abs=1e-9)
    return rolled


def even(rules, physics=40.0, count=COUNT):
    return np.full(count, rules), np.full(count, physics)


@pytest.mark.parametrize("speed", [-0.5, 0.0, 6.0, 14.0, 25.0])
@pytest.mark.parametrize("acceleration", [-2.0, 0.0, 1.5])
def test_the_free_road(speed, acceleration):
    rolled = compared(speed, acceleration, [even(14.0)], [[]])
    assert rolled.distance_m.shape == (5, 41)


@pytest.mark.parametrize("speed", [8.0, 14.0])
def test_speed_caps_that_fall_along_the_path(speed):
    """Rules from 14 to 6 m/s, physics from 20 to 3 m/s, at places of their own and down to a stop."""
    s = np.arange(COUNT) * 0.5
    falling = np.where(s < 20.0, 14.0, 6.0), np.where(s < 25.0, 20.0, np.where(s < 45.0, 3.0, 0.0))
    compared(speed, 0.0, [falling, even(10.0, 9.0)], [[], []])


def test_a_path_that_ends_keeps_its_last_cap_and_the_shortest_path_ends_for_all():
    s = np.arange(60) * 0.5
    compared(12.0, 0.0, [(np.where(s < 29.5, 14.0, 5.0), np.full(60, 30.0)), even(14.0)], [[], []])


@pytest.mark.parametrize(
    "lead",
    [Lead(60.0, 0.0), Lead(25.0, 0.0), Lead(18.0, 0.0), Lead(20.0, 5.0), Lead(12.0, 10.0), Lead(10.0, 12.0),
     Lead(70.0, -4.0), Lead(14.0, 6.0), Lead(11.0, 7.5)],
)  # fmt: skip
@pytest.mark.parametrize("speed", [4.0, 10.0])
def test_one_lead(lead, speed):
    compared(speed, 0.0, [even(14.0)], [[lead]])


def test_every_offset_yields_to_its_own_leads_and_to_all_of_them():
    leads = [[Lead(30.0, 4.0), Lead(22.0, 8.0)], [], [Lead(45.0, 0.0)]]
    compared(10.0, 0.5, [even(14.0), even(12.0), even(14.0, 9.0)], leads)


def test_one_urgent_lead_among_others_hurries_the_brake():
    compared(10.0, 0.0, [even(14.0)], [[Lead(14.0, 0.0), Lead(60.0, 9.0)]])
    compared(10.0, 0.0, [even(14.0)], [[Lead(3.0, 9.6)]])


def test_other_settings_count():
    idm = type(SETTINGS.idm)(
        standstill_gap_m=3.0, time_gap_s=1.2, acceleration_mps2=2.0, comfort_mps2=1.5, clip_mps2=4.0, exponent=2.0,
        brake_start_mps2=1.5, brake_gain=1.5, brake_gap_m=2.0, lead_brake_mps2=6.0,
    )  # fmt: skip
    settings = FallbackSettings(
        idm=idm, over_speed_mps2=1.0, sight_deceleration_mps2=2.0, jerk_mps3=2.0, emergency_jerk_mps3=8.0
    )
    compared(12.0, 0.0, [even(8.0, 7.0), even(14.0)], [[Lead(40.0, 6.0)], [Lead(24.0, 2.0)]], settings)


def test_random_scenes():
    rng = np.random.default_rng(3)
    for _ in range(20):
        caps = [(rng.uniform(2.0, 15.0, COUNT).round(1), rng.uniform(4.0, 20.0, COUNT).round(1)) for _ in range(2)]
        speed = rng.uniform(0.0, 12.0)
        leads = [
            [Lead(rng.uniform(3.0 + speed**2 / 6, 60.0), rng.uniform(0.0, 12.0)) for _ in range(rng.integers(0, 4))]
            for _ in range(2)
        ]
        compared(speed, rng.uniform(-3.0, 1.0), caps, leads)


class TestPoses:
    def path(self, x0):
        s = np.arange(0.0, 40.5, 0.5)
        return SimpleNamespace(s_m=s, x_m=x0 + s, y_m=2.0 * s, heading_rad=0.1 * s)

    def test_each_offset_has_its_own_path_and_its_own_rows(self):
        distance = np.array([[0.0, 1.25, 3.0], [0.0, 2.5, 40.0], [1.0, 2.0, 3.0], [7.25, 8.0, 50.0]])
        found = poses([self.path(0.0), self.path(100.0)], distance)
        at = np.minimum(distance, 40.0)
        assert found.shape == (4, 3, 3)
        assert found[..., 0] == pytest.approx(at + np.array([[0.0], [0.0], [100.0], [100.0]]))
        assert found[..., 1] == pytest.approx(2.0 * at)
        assert found[..., 2] == pytest.approx(0.1 * at)

    def test_one_path_has_all_rows(self):
        distance = np.array([[0.0, 1.0], [0.5, 2.0]])
        assert poses([self.path(3.0)], distance)[..., 0] == pytest.approx(3.0 + distance)


class TestOffsets:
    VEHICLE = VehicleGeometry(length_m=4.0, width_m=2.0, wheelbase_m=2.5, rear_overhang_m=1.0)
    ARCS = np.arange(0.0, 101.0, 10.0)

    def found(self, left=4.0, right=4.0, start=20.0, end=60.0, widest=1.5):
        wide = np.ones(11)
        lanes = LaneObservation(0, np.zeros((11, 2)), left * wide, right * wide, 3.5, wide, ())
        return offsets(lanes, self.ARCS, start, end, self.VEHICLE, widest)

    def test_what_is_left_beside_half_the_width_and_three_tenths(self):
        assert self.found() == (0.0, -1.5, 1.5)
        assert self.found(left=2.0, right=2.25) == pytest.approx((0.0, -0.95, 0.7))

    @pytest.mark.parametrize(("room", "offset"), [(1.59, 0.0), (1.61, 0.31)])
    def test_less_than_three_tenths_are_no_offset(self, room, offset):
        assert self.found(left=room) == pytest.approx((0.0, -1.5, offset))
        assert self.found(right=room) == pytest.approx((0.0, -offset, 1.5))

    @pytest.mark.parametrize(("narrow", "start", "end", "counts"), [(2, 20.0, 60.0, True), (6, 20.0, 60.0, True),
                                                                    (2, 21.0, 60.0, False), (6, 20.0, 59.0, False),
                                                                    (4, 20.0, 60.0, True)])  # fmt: skip
    def test_the_narrowest_place_of_the_stretch_counts_its_ends_among_it(self, narrow, start, end, counts):
        left = np.full(11, 4.0)
        left[narrow] = 2.0
        assert self.found(left=left, start=start, end=end)[2] == pytest.approx(0.7 if counts else 1.5)

    def test_a_stretch_without_a_point_has_the_centre_alone(self):
        assert self.found(start=21.0, end=29.0) == (0.0, 0.0, 0.0)
