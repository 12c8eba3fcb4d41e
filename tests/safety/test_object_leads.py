"""What lies ahead on a path, against a search written from the definitions, one object and one instant at a time."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline, compose
from onboard_vla.core.road import LaneObservation, Signal
from onboard_vla.safety.config import CollisionLimits, FallbackSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.joined_path import join
from onboard_vla.safety.leads import (
    PASSED_M,
    SignalsAhead,
    _in_box_about,
    nearest_distinct,
    object_leads,
    signals_ahead,
)
from onboard_vla.safety.object_memory import ObjectSet

VEHICLE, LIMITS, SETTINGS = VehicleGeometry(), CollisionLimits(), FallbackSettings()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m
MARGIN = 0.3
DELAY_S = LIMITS.delay_s
FRAMES = [(0.0, 0.0, 0.0), (40.0, -700.0, 2.2)]


def lane(frame, start=-100.0, end=300.0):
    x = np.array([start, end])
    return Polyline(compose(np.array(frame), np.stack([x, 0 * x, 0 * x], axis=1))[:, :2])


def path_of(frame, speed=10.0, length=120.0):
    return join(lane(frame), Motion(*frame, speed, 0.0, 0.0), 10.0, length)


def objects(frame, rows, vulnerable=None):
    """From (x, y, heading, vx, vy, length, width) in `frame`."""
    rows = np.asarray(rows, np.float64).reshape(-1, 7)
    poses = compose(np.array(frame), rows[:, :3])
    cos, sin = math.cos(frame[2]), math.sin(frame[2])
    vx, vy = cos * rows[:, 3] - sin * rows[:, 4], sin * rows[:, 3] + cos * rows[:, 4]
    soft = np.zeros(len(rows), bool) if vulnerable is None else np.asarray(vulnerable)
    ones = np.ones(len(rows), np.int64)
    states = np.column_stack([poses, vx, vy, rows[:, 5:]])
    return ObjectSet(states, ones, soft, soft, ones, np.full(len(rows), np.nan))


def expected(rows, vulnerable, speed, length=120.0):
    """On a straight path: leads now, and those who come in at every half second of the next three."""
    leads = []
    for (x, y, heading, vx, vy, long, wide), soft in zip(rows, vulnerable, strict=True):
        if math.hypot(x, y) > 8.0 * speed + 30.0:
            continue
        if not soft and math.hypot(vx, vy) < 3.0:  # slow wheels roll along their heading
            rolling = vx * math.cos(heading) + vy * math.sin(heading)
            there = rolling * math.cos(heading), rolling * math.sin(heading)
        else:
            there = vx, vy
        half = VEHICLE.width_m / 2 + (LIMITS.vulnerable_margin_m if soft else MARGIN)
        along = (abs(math.cos(heading)) * long + abs(math.sin(heading)) * wide) / 2
        across = (abs(math.sin(heading)) * long + abs(math.cos(heading)) * wide) / 2
        for k in range(7):
            t = 0.5 * k
            px, py = x + t * there[0], y + t * there[1]
            gap = px - there[0] * t - along - FRONT
            inside = abs(py) - across <= half and 0.0 < px < length
            if k and (math.hypot(vx, vy) <= 0.3 or gap <= 0.0 or abs(gap / max(speed, 1.0) - t) > 1.5):
                inside = False
            if inside:
                leads.append((gap, there[0]))
    return sorted(leads)


def found(frame, rows, vulnerable, speed, known_lane=True):
    line = lane(frame) if known_lane else None
    return [tuple(lead) for lead in object_leads(
        path_of(frame, speed), objects(frame, rows, vulnerable), speed, VEHICLE, LIMITS, MARGIN, line
    )]  # fmt: skip


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("known_lane", [True, False])
def test_random_scenes_have_the_leads_of_the_definition(frame, known_lane):
    rng = np.random.default_rng(7)
    count = 0
    for _ in range(150):
        rows, soft = [], []
        speed = float(rng.choice([0.0, 0.5, 4.0, 10.0, 16.0]))
        for _ in range(rng.integers(1, 6)):
            course = rng.choice([0.0, math.pi, math.pi / 2, -math.pi / 2, rng.uniform(-3, 3)])
            fast = float(rng.choice([0.0, 0.2, 0.5, 2.0, 6.0, 12.0]))
            x, y = rng.uniform(-30, 150), rng.choice([rng.uniform(-3, 3), rng.uniform(-40, 40)])
            soft.append(bool(rng.random() < 0.3))
            box = (rng.uniform(0.5, 12.0), rng.uniform(0.4, 2.6))
            rows.append((x, y, course, fast * math.cos(course), fast * math.sin(course), *box))
        want = expected(rows, soft, speed)
        got = found(frame, rows, soft, speed, known_lane)
        assert [lead[0] for lead in got] == sorted(lead[0] for lead in got)
        assert np.array(sorted(got)).reshape(-1, 2) == pytest.approx(np.array(want).reshape(-1, 2), abs=1e-6)
        count += len(want)
    assert count > 100


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("soft", "reach"), [(False, 1.0 + 0.3 + 0.95), (True, 1.0 + 0.5 + 0.95)])
def test_the_corridor_is_as_wide_as_the_vehicle_and_its_margin(frame, side, soft, reach):
    for off, inside in ((-1e-4, True), (1e-4, False)):
        leads = found(frame, [(30.0, side * (reach + off), 0.0, 0.0, 0.0, 4.6, 1.9)], [soft], 10.0)
        assert leads == ([pytest.approx((30.0 - 2.3 - FRONT, 0.0))] if inside else [])


@pytest.mark.parametrize(("at", "counts"), [(109.9, True), (110.1, False)])
def test_beyond_eight_seconds_and_thirty_metres_nobody_counts(at, counts):
    assert bool(found(FRAMES[0], [(at, 0.0, 0.0, 0.0, 0.0, 4.6, 1.9)], [False], 10.0)) is counts


def test_one_who_overlaps_the_front_is_a_lead_without_a_gap():
    ((gap, _),) = found(FRAMES[1], [(5.0, 0.0, 0.0, 0.0, 0.0, 4.6, 1.9)], [False], 10.0)
    assert gap == pytest.approx(5.0 - 2.3 - FRONT)
    assert gap < 0.0


def test_who_is_not_there_is_nobody():
    assert object_leads(path_of(FRAMES[0]), ObjectSet.empty(), 10.0, VEHICLE, LIMITS, MARGIN) == []


class TestCrossing:
    """Somebody on foot crosses 30 m ahead, 3 m/s, and is in the corridor when the vehicle arrives, or not."""

    def leads(self, y, speed=10.0, vy=3.0):
        rows = [(30.0, y, math.copysign(math.pi / 2, vy), 0.0, vy, 0.6, 0.6)]
        return found(FRAMES[1], rows, [True], speed)

    def test_he_counts_while_he_is_there_when_the_vehicle_is(self):
        # Its front is 25.85 m away, 2.59 s; he is in the corridor at 2, 2.5 and 3 s.
        assert [gap for gap, _ in self.leads(-7.5)] == pytest.approx([30.0 - 0.3 - FRONT] * 3)
        assert self.leads(-12.0) == []
        assert len(self.leads(0.0)) == 1

    def test_one_who_goes_away_does_not(self):
        assert self.leads(-7.5, vy=-3.0) == []

    @pytest.mark.parametrize(("pace", "counts"), [(0.29, 0), (0.33, 1)])
    def test_who_hardly_moves_comes_in_nowhere(self, pace, counts):
        """0.1 m beside the corridor, 4 m ahead of a front that is there in half a second."""
        rows = [(FRONT + 4.3, -1.9, math.pi / 2, 0.0, pace, 0.6, 0.6)]
        assert (len(found(FRAMES[1], rows, [True], 10.0)) > 0) == counts

    def test_one_who_crosses_fast_is_in_only_between_two_looks(self):
        rows = [(22.0, 7.5, -math.pi / 2, 0.0, -15.0, 1.8, 0.6)]
        ((gap, speed),) = found(FRAMES[1], rows, [True], 10.0)
        assert (gap, speed) == (pytest.approx(22.0 - 0.3 - FRONT), pytest.approx(0.0, abs=1e-9))


class TestOnACurve:
    ANGLES = np.arange(-0.5, 1.5, 0.01)
    LINE = Polyline(np.stack([60.0 * np.sin(ANGLES), 60.0 * (1 - np.cos(ANGLES))], axis=1))

    def leads(self, angle, speed, offset=0.0):
        """One who follows the road at this angle ahead."""
        radius = 60.0 - offset
        heading = angle if speed >= 0 else angle + math.pi
        row = (radius * math.sin(angle), 60.0 - radius * math.cos(angle), heading)
        states = np.array([[*row, speed * math.cos(angle), speed * math.sin(angle), 4.6, 1.9]])
        none, ones = np.zeros(1, bool), np.ones(1, np.int64)
        seen = ObjectSet(states, ones, none, none, ones, np.full(1, np.nan))
        path = join(self.LINE, Motion(0.0, 0.0, 0.0, 10.0, 0.0, 0.0), 10.0, 80.0)
        return object_leads(path, seen, 10.0, VEHICLE, LIMITS, MARGIN, self.LINE)

    def test_a_lead_is_as_far_as_the_road_is_long(self):
        now = self.leads(0.6, 8.0)[0]
        assert now.gap_m == pytest.approx(36.0 - 2.3 - FRONT, abs=0.1)
        assert now.speed_mps == pytest.approx(8.0, abs=0.02)

    def test_oncoming_traffic_on_its_own_lane_stays_there(self):
        assert self.leads(0.6, -8.0, offset=4.0) == []
        assert self.leads(0.6, -8.0, offset=-4.0) == []
        assert self.leads(0.6, -8.0)[0].speed_mps == pytest.approx(-8.0, abs=0.02)


@pytest.mark.parametrize("frame", FRAMES)
def test_who_is_out_of_the_box_about_the_path_is_not_looked_at(frame):
    """The box has the path's direction and reaches as far beyond it as an object does."""
    path = path_of(frame, length=50.0)
    places = [(25.0, 4.9), (25.0, 5.1), (25.0, -4.9), (25.0, -5.1), (-4.9, 0.0), (-5.1, 0.0), (54.9, 0.0), (55.1, 0.0)]
    there = compose(np.array(frame), np.array([[*place, 0.0] for place in places]))[:, :2]
    positions = np.stack([there, there + 1e4])
    expected = [[True, False] * 4, [False] * 8]
    assert _in_box_about(path, positions, np.full(8, 5.0)).tolist() == expected
    assert _in_box_about(path, positions[::-1], np.full(8, 5.0)).tolist() == expected[::-1]


class TestSignals:
    def seen(self, *signals, frame=FRAMES[1]):
        points = lane(frame).points
        wide = np.full(2, 2.0)
        placed = tuple(
            Signal(k, *compose(np.array(frame), np.array([x, y, 0.0]))[:2], state)
            for k, (x, y, state) in enumerate(signals)
        )
        return LaneObservation(0, points, wide, wide, 3.5, wide * 7, placed)

    def ahead(self, *signals, speed=10.0, braking=0.0, begun=(), frame=FRAMES[1], settings=SETTINGS):
        road = self.seen(*signals, frame=frame)
        return signals_ahead(path_of(frame, speed), road, speed, braking, begun, VEHICLE, settings, DELAY_S)

    def leads(self, *signals, **how):
        return list(self.ahead(*signals, **how).leads)

    def test_red_is_a_standing_lead_at_its_stop_point_and_green_none(self):
        others = (20.0, 0.0, "green"), (1.0, 0.0, "red"), (12.0, 9.0, "red")
        for signals in (((30.0, 0.0, "red"), *others), (*others, (30.0, 0.0, "red"))):
            (red,) = self.leads(*signals)
            assert red == pytest.approx((30.0 - FRONT, 0.0))

    def test_amber_that_no_comfortable_braking_reaches_is_passed(self):
        stop = 10.0**2 / (2 * SETTINGS.amber_deceleration_mps2)
        far, near = (FRONT + stop + 0.01, 0.0, "amber"), (FRONT + stop - 0.01, 0.0, "amber")
        found = self.ahead(far)
        assert found == SignalsAhead(found.leads, found.leads)
        assert len(found.leads) == 1
        assert self.ahead(near) == SignalsAhead()
        assert self.ahead(near, braking=6.0, begun={0}) == SignalsAhead()

    @pytest.mark.parametrize("clip", [6.0, 4.0])
    @pytest.mark.parametrize(
        ("braking", "late_s"), [(0.0, 0.4), (-1.0, 0.4), (0.25, 0.3), (0.5, 0.2), (1.0, 0.0), (2.0, 0.0)]
    )
    def test_red_is_yielded_to_where_braking_ends_no_farther_behind_it_than_counts_as_passed(
        self, braking, late_s, clip
    ):
        """`braking`: its share that is in force already; the rest comes after the delay."""
        stop = 10.0**2 / (2 * clip) + late_s * 10.0 - PASSED_M
        how = dict(braking=braking * clip, settings=replace(SETTINGS, idm=replace(SETTINGS.idm, clip_mps2=clip)))
        found = self.ahead((FRONT + stop + 0.01, 0.0, "red"), **how)
        assert found == SignalsAhead(found.leads, found.leads, reds=frozenset({0}))
        assert found.leads == (pytest.approx((stop + 0.01, 0.0)),)
        assert self.ahead((FRONT + stop - 0.01, 0.0, "red"), **how) == SignalsAhead(
            missed_m=(pytest.approx(stop - 0.01),)
        )

    def test_red_that_is_being_braked_for_stays_a_lead_wherever_it_is_seen_and_no_other_does(self):
        near, nearer = (FRONT + 2.0, 0.0, "red"), (FRONT + 1.0, 0.0, "red")
        found = self.ahead(near, nearer, begun={0, 7})
        assert found.leads == (pytest.approx((2.0, 0.0)),)
        assert (found.reached, found.reds) == ((), {0})
        assert found.missed_m == (pytest.approx(1.0),)
        assert self.ahead((FRONT - 1.01, 0.0, "red"), begun={0}) == SignalsAhead()

    @pytest.mark.parametrize(("past", "count"), [(-0.01, 1), (0.01, 0)])
    def test_only_what_full_braking_still_stops_before_counts_as_reached(self, past, count):
        stop = 10.0**2 / 12.0 - PASSED_M
        found = self.ahead((FRONT + stop - past, 0.0, "red"), begun={0})
        assert (len(found.leads), len(found.reached)) == (1, count)

    @pytest.mark.parametrize("state", ["red", "amber"])
    def test_behind_one_that_is_passed_the_next_counts(self, state):
        passed, far = (FRONT + 2.0, 0.0, state), (60.0, 0.0, "red")
        for signals in ((passed, far), (far, passed)):
            assert self.leads(*signals) == [pytest.approx((60.0 - FRONT, 0.0))]

    @pytest.mark.parametrize("gap", [-0.9, -0.5, 0.0, 0.9])
    def test_how_slow_the_vehicle_must_be_close_to_a_red_light(self, gap):
        fastest = -6.0 * DELAY_S + math.sqrt(36.0 * DELAY_S**2 + 12.0 * (gap + PASSED_M))
        assert len(self.leads((FRONT + gap, 0.0, "red"), speed=fastest - 0.01)) == 1
        assert self.leads((FRONT + gap, 0.0, "red"), speed=fastest + 0.01) == []

    def test_a_red_that_is_no_lead_is_told_until_it_is_passed(self):
        far, near, behind = (40.0, 0.0, "red"), (FRONT + 3.0, 0.0, "red"), (FRONT - 1.01, 0.0, "red")
        others = (FRONT + 3.0, 0.0, "amber"), (FRONT + 3.0, 0.0, "green"), (FRONT + 3.0, 3.6, "red")
        assert self.ahead(far, near, behind, *others).missed_m == (pytest.approx(3.0),)
        assert self.ahead((FRONT - 0.5, 0.0, "red")).missed_m == (pytest.approx(-0.5),)

    @pytest.mark.parametrize(("beside", "counts"), [(3.49, 1), (3.51, 0), (-3.49, 1), (-3.51, 0)])
    def test_only_this_lanes(self, beside, counts):
        assert len(self.leads((30.0, beside, "red"))) == counts

    @pytest.mark.parametrize(
        ("x", "leads"), [(FRONT - 0.99, [(0.01, 0.0)]), (FRONT - 1.01, []), (FRONT + 0.005, [(0.01, 0.0)])]
    )
    def test_just_past_the_stop_point_a_standing_vehicle_waits(self, x, leads):
        assert self.leads((x, 0.0, "red"), speed=0.0) == [pytest.approx(lead) for lead in leads]


class TestDistinct:
    def test_of_like_speeds_the_nearest_is_kept_and_farther_ones_only_where_they_are_slower(self):
        leads = [Lead(30.0, 4.0), Lead(10.0, 5.0), Lead(20.0, 4.51), Lead(40.0, 4.49), Lead(50.0, 9.0), Lead(60.0, 0.0)]
        assert nearest_distinct(leads) == [Lead(10.0, 5.0), Lead(30.0, 4.0), Lead(60.0, 0.0)]
        assert nearest_distinct([Lead(10.0, 5.0), Lead(20.0, 4.5)]) == [Lead(10.0, 5.0)]
        assert len(nearest_distinct([Lead(10.0, 5.0), Lead(20.0, 4.45)])) == 2

    def test_no_more_than_are_asked_for(self):
        leads = [Lead(10.0 * k, 20.0 - 2.0 * k) for k in range(8)]
        assert nearest_distinct(leads) == leads[:4]
        assert nearest_distinct(leads, 2) == leads[:2]
        assert nearest_distinct([]) == []
