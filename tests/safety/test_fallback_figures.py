"""The fallback planner's single steps: when it proposes, which side it keeps, where it begins, how it drives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import LaneObservation, Signal
from onboard_vla.safety.config import CollisionLimits, FallbackSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.fallback import (
    Choice,
    LaneMemory,
    _anchor,
    _beside,
    _lane,
    _propose,
    _rest,
    _stay_or_switch,
    consider,
    drive,
    join_length,
    look,
)
from onboard_vla.safety.idm import Lead, emergency_brake, following_acceleration, free_acceleration
from onboard_vla.safety.joined_path import join_beside
from onboard_vla.safety.leads import PASSED_M
from onboard_vla.safety.longitudinal import roll
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.scoring import Scores

VEHICLE, MARGINS = VehicleGeometry(), CollisionLimits()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m
SETTINGS = FallbackSettings(speed_cap_mps=30.0)
START_NS, TICK_NS = 10_000_000_000, 20_000_000
LATER_NS = START_NS + 10**12


def lanes(left=3.5, right=3.5, limit=14.0, end=250, signals=()):
    x = np.arange(-20.0, end + 1.0)
    ones = np.ones(len(x))
    return LaneObservation(0, np.column_stack([x, 0 * x]), left * ones, right * ones, 3.5, limit * ones, tuple(signals))


def at(x, values):
    """`values` = (before, from `x` on) along the lane of `lanes()`."""
    return np.where(np.arange(-20.0, 251.0) >= x, values[1], values[0])


def motion(speed=5.0, x=0.0, y=0.0, heading=0.0):
    return Motion(x, y, heading, speed, 0.0, 0.0)


def objects(*rows):
    states = np.array(rows, np.float64).reshape(-1, 7)
    none = np.zeros(len(states), bool)
    return ObjectSet(states, np.zeros(len(states), np.int64), none, none, np.full(len(states), 9), states[:, 0] * 0)


def around(here=None, road=None, others=None, demand=0.0, settings=SETTINGS):
    return look(here or motion(), demand, road or lanes(), others or objects(), VEHICLE, settings, MARGINS)


def plan(memory, now_ns=START_NS, here=None, road=None, others=None, demand=0.0, settings=SETTINGS):
    """One tick of the planner while it drives."""
    now = around(here, road, others, demand, settings)
    if memory.due(now_ns):
        consider(memory, now, now_ns)
    return drive(memory, now)


def test_the_offset_decays_over_two_seconds_and_six_metres_at_least():
    assert [join_length(speed, FallbackSettings()) for speed in (0.0, 3.0, 10.0)] == [6.0, 6.0, 20.0]


@pytest.mark.parametrize("side", [1.0, -1.0])
@pytest.mark.parametrize(("inner_edge", "counts"), [(3.45, True), (3.55, False)])
def test_who_could_touch_the_outermost_path_is_looked_at(side, inner_edge, counts):
    """A metre aside, half a vehicle, the margin to people on foot, and a metre of slack: 3.5 m."""
    found = around(others=objects([20.0, side * (inner_edge + 1.0), 0.0, 0.0, 0.0, 4.0, 2.0]))
    assert (len(found.others.half_width_m) == 1) is counts


class TestRhythm:
    def test_proposals_are_unrolled_in_one_tick_and_scored_in_the_next_twenty_times_a_second(self):
        memory, seen = LaneMemory(), []
        for tick in range(8):
            before = memory.choice
            plan(memory, START_NS + tick * TICK_NS)
            due = None if memory.due_ns is None else memory.due_ns - START_NS
            seen.append((due, memory.proposals is not None, memory.choice is not before))
        first, second, third = 20_000_001, 70_000_001, 120_000_001
        assert seen == [
            (None, False, True), (first, True, False), (first, False, True), (second, True, False),
            (second, False, True), (third, True, False), (third, False, True), (third + 50_000_000, True, False),
        ]  # fmt: skip

    def test_due_is_what_was_never_done_or_half_done_or_whose_time_has_come(self):
        memory = LaneMemory()
        assert memory.due(0)
        memory.due_ns = 100
        assert (memory.due(99), memory.due(100)) == (False, True)
        memory.due_ns = None
        plan(memory)
        plan(memory, START_NS + 1)
        assert memory.proposals is not None
        assert memory.due(0)
        memory.forget()
        assert (memory.choice, memory.proposals, memory.due_ns) == (None, None, None)


class TestProposals:
    def proposed(self, **how):
        memory = LaneMemory()
        plan(memory, **how)
        return _propose(memory.choice, around(**how))

    def test_paths_reach_eight_seconds_and_forty_metres_on(self):
        found = self.proposed()
        assert [lane.path.s_m[-1] for lane in found.lanes] == pytest.approx([80.0] * 3, abs=0.5)
        assert found.targets_m == (0.0, -1.0, 1.0)
        assert [float(lane.path.offset_m[-1]) for lane in found.lanes] == pytest.approx([0.0, -1.0, 1.0])

    @pytest.mark.parametrize(("x", "left"), [(40.0, 0.5), (41.0, 1.0)])
    def test_the_width_counts_for_four_seconds_and_twenty_metres(self, x, left):
        """From the vehicle to 40 m ahead at 5 m/s; 1.8 m of width leave 0.5 m beside half a vehicle and 0.3 m."""
        found = self.proposed(road=lanes(left=np.where(np.arange(-20.0, 251.0) == x, 1.8, 3.5)))
        assert found.targets_m == pytest.approx((0.0, -1.0, left))

    @pytest.mark.parametrize("speed", [0.0, -0.5])
    def test_at_standstill_forty_metres_are_planned(self, speed):
        found = self.proposed(here=motion(speed))
        assert found.lanes[0].path.s_m[-1] == pytest.approx(40.0)
        assert found.now.speed_mps == 0.0

    def test_a_side_without_room_is_none(self):
        found = self.proposed(road=lanes(right=1.2))
        assert (found.sides, found.targets_m) == ([0, 2], (0.0, 1.0))

    def test_a_lane_that_ends_behind_the_vehicle_is_no_lane(self):
        with pytest.raises(GeometryError, match="behind"):
            plan(LaneMemory(), here=motion(x=20.0), road=lanes(end=20))
        plan(LaneMemory(), here=motion(x=19.0), road=lanes(end=20))

    def test_caps_and_leads_are_those_of_each_path(self):
        """Limits of 9 and then 6 m/s, a car of 4 m 40 m ahead that drives 5 m/s, a red signal 60 m ahead."""
        road = lanes(limit=at(30.0, (9.0, 6.0)), signals=[Signal(1, 60.0, 0.0, "red")])
        car = [40.0, 0.0, 0.0, 5.0, 0.0, 4.0, 2.0]
        memory = LaneMemory()
        found = plan(memory, road=road, others=objects(car))
        assert [(pytest.approx(g, abs=0.05), v) for g, v in found.leads] == [(38.0 - FRONT, 5.0), (60.0 - FRONT, 0.0)]
        rules = memory.choice.lane.rules_mps
        assert rules[[60, 100]] == pytest.approx([6.0, 6.0])
        assert rules[40] == pytest.approx(math.sqrt(36.0 + 2 * 1.5 * 10.0))
        assert rules[0] == pytest.approx(9.0)


class TestRedOutOfReach:
    """At 13 m/s a red light 10 m ahead of the front needs 8.5 m/s^2."""

    ROAD = lanes(signals=[Signal(1, FRONT + 10.0, 0.0, "red")])

    def lane(self, speed=13.0, **how):
        now = self.around(speed, **how)
        (path, *_) = join_beside(now.line, now.motion, 20.0, 100.0, (0.0,), None)
        return _lane(path, now)

    def around(self, speed=13.0, demand=0.0, measured=0.0, begun=(), road=ROAD, margins=MARGINS):
        here = replace(motion(speed), acceleration_mps2=measured)
        return look(here, demand, road, objects(), VEHICLE, SETTINGS, margins, frozenset(begun))

    def test_the_present_speed_bounds_the_way_until_the_front_has_passed_it(self):
        lane = self.lane()
        before = lane.path.s_m < 10.0 + PASSED_M
        assert lane.leads == []
        assert lane.rules_mps[before] == pytest.approx(13.0)
        assert lane.rules_mps[~before] == pytest.approx(14.0)

    def test_while_it_is_being_braked_for_it_is_a_lead_and_bounds_nothing(self):
        lane = self.lane(begun={1})
        assert lane.leads == [pytest.approx((10.0, 0.0))]
        assert lane.signals.reached == ()
        assert lane.rules_mps == pytest.approx(14.0)

    @pytest.mark.parametrize(
        ("demand", "measured", "count"), [(0.0, 0.0, 0), (-4.0, -4.0, 1), (-4.0, 0.0, 0), (0.0, -4.0, 0)]
    )
    def test_braking_counts_that_is_asked_for_and_has_come(self, demand, measured, count):
        """At 10.5 m/s a stop takes 9.19 m and, before it, 4.2 m for what is not in force: 11 m are within reach."""
        assert len(self.lane(10.5, demand=demand, measured=measured).leads) == count

    def test_the_delay_is_that_of_the_collision_limits(self):
        assert len(self.lane(10.5, margins=replace(MARGINS, delay_s=0.15)).leads) == 1

    @pytest.mark.parametrize(
        ("road", "speed", "demand", "begun", "expected"),
        [
            (ROAD, 8.0, 0.0, (), {1}),
            (ROAD, 13.0, 0.0, (), set()),
            (ROAD, 13.0, -1.0, (), set()),
            (ROAD, 13.0, -1.0, (1, 5), {1, 5}),
            (lanes(), 13.0, -1.6, (1,), {1}),
            (lanes(), 13.0, -0.9, (1,), {1}),
            (lanes(), 5.0, 0.0, (1,), set()),
            (lanes(signals=[Signal(1, 90.0, 0.0, "red")]), 5.0, 0.0, (), set()),
        ],
    )
    def test_begun_is_what_the_trajectory_brakes_for(self, road, speed, demand, begun, expected):
        """Also what is not seen for a moment, as long as the braking lasts; and nothing that is not yet braked for."""
        memory = LaneMemory()
        now = self.around(speed, demand, begun=begun, road=road)
        consider(memory, now, START_NS)
        assert drive(memory, now).begun == expected

    def test_the_signals_of_a_trajectory_are_those_that_full_braking_stops_before(self):
        memory, now = LaneMemory(), self.around(8.0)
        consider(memory, now, START_NS)
        assert drive(memory, now).signals == (pytest.approx((10.0, 0.0)),)
        assert drive(memory, self.around(13.0, begun={1})).signals == ()

    def test_above_the_limit_the_limit_holds(self):
        assert self.lane(speed=15.0).rules_mps == pytest.approx(14.0)


class TestSides:
    """Two offsets, centre (0) and left (2), of five shares each."""

    SETTINGS = FallbackSettings(switch_margin=0.0625, switch_hold_s=1.0)

    def kept(self, *, here, there, before_side=0, held_ns=10**9, contacts=(99.0, 99.0), sides=(0, 2)):
        total, contact = np.zeros(10), np.repeat(contacts, 5)
        total[[3, 6]] = here, there
        before = None if before_side is None else Choice(before_side, 1.0, None, START_NS, False)
        return _stay_or_switch(before, Scores(total, contact), list(sides), self.SETTINGS, START_NS + held_ns)

    def test_without_a_side_or_where_it_is_gone_the_best_counts(self):
        assert self.kept(here=0.5, there=0.51, before_side=None, held_ns=0) == 6
        assert self.kept(here=0.5, there=0.51, before_side=1, held_ns=0) == 6
        assert self.kept(here=0.52, there=0.51, before_side=1, held_ns=0) == 3

    @pytest.mark.parametrize(("there", "best"), [(0.5625, 3), (0.5703125, 6), (0.25, 3)])
    def test_another_side_must_be_better_by_the_margin(self, there, best):
        assert self.kept(here=0.5, there=there) == best

    def test_the_best_of_the_own_side_is_kept(self):
        assert self.kept(here=0.53, there=0.5, before_side=2) == 6

    @pytest.mark.parametrize(("held_ns", "best"), [(10**9, 6), (10**9 - 1, 3)])
    def test_the_last_switch_must_be_a_second_ago(self, held_ns, best):
        assert self.kept(here=0.5, there=0.75, held_ns=held_ns) == best

    @pytest.mark.parametrize(("contacts", "best"), [((2.0, 2.5), 6), ((2.0, 2.0), 3), ((2.5, 2.0), 3)])
    def test_sooner_contact_on_this_side_does_not_wait(self, contacts, best):
        assert self.kept(here=0.5, there=0.75, held_ns=0, contacts=contacts) == best
        assert self.kept(here=0.5, there=0.5625, held_ns=0, contacts=contacts) == 3

    def test_since_when_a_side_is_kept_counts_from_its_choice(self):
        memory = LaneMemory()
        for tick in range(6):
            plan(memory, START_NS + tick * TICK_NS)
        assert (memory.choice.side, memory.choice.share, memory.choice.since_ns) == (0, 1.0, START_NS)
        memory.choice = replace(memory.choice, side=1)
        for tick in range(6, 9):
            plan(memory, START_NS + tick * TICK_NS, road=lanes(right=1.2))
        assert (memory.choice.side, memory.choice.since_ns) == (0, START_NS + 8 * TICK_NS)

    @pytest.mark.parametrize(("gap", "brakes"), [(17.0, True), (60.0, False)])
    def test_contact_within_two_seconds_in_spite_of_braking_brakes(self, gap, brakes):
        wall = [[FRONT + gap + 2.0, y, 0.0, 0.0, 0.0, 4.0, 2.0] for y in (-3.0, -1.0, 1.0, 3.0)]
        memory = LaneMemory()
        plan(memory, here=motion(20.0), others=objects(*wall), road=lanes(limit=25.0))
        assert memory.choice.brakes is brakes


@pytest.mark.parametrize("turn", [0.0, 0.7, -2.5])
class TestPlace:
    """A path that leaves its line by a tenth of a metre a metre, anywhere in the plane."""

    def path(self, turn, slope=0.0):
        line = Polyline(np.array([[0.0, 0.0], [300.0 * math.cos(turn), 300.0 * math.sin(turn)]]))
        path = join_beside(line, self.there(turn, 0.0, 0.0), 20.0, 60.0, (0.0,), 0.0)[0]
        return replace(path, offset_m=slope * path.s_m)

    def there(self, turn, along, aside, heading=0.0):
        c, s = math.cos(turn), math.sin(turn)
        return Motion(along * c - aside * s, along * s + aside * c, turn + heading, 7.0, 0.5, 0.1)

    @pytest.mark.parametrize(
        ("along", "aside", "heading", "place"),
        [(5.2, 0.3, 0.0, 5.2), (5.2, -0.3, 0.2, 5.2), (5.3, 0.49, 0.0, 5.3), (5.3, 0.51, 0.0, None),
         (5.3, -0.49, 0.0, 5.3), (5.3, -0.51, 0.0, None), (5.3, 0.0, 0.29, 5.3), (5.3, 0.0, 0.31, None),
         (5.3, 0.0, -0.29, 5.3), (5.3, 0.0, -0.31, None), (5.3, 0.0, 1.0, None), (5.3, 0.0, 2 * math.pi, 5.3),
         (-1.0, 0.0, 0.0, 0.0), (19.0, 0.1, 0.0, 19.0)],
    )  # fmt: skip
    def test_beside_the_path_within_half_a_metre_and_three_tenths_of_a_radian(self, turn, along, aside, heading, place):
        path, here = self.path(turn), self.there(turn, along, aside, heading)
        assert _beside(path, here) == (None if place is None else pytest.approx(place, abs=1e-6))
        rest = _rest(path, here)
        assert (rest is path) is (place is None)
        if place is not None:
            assert rest.line_s_m[0] == pytest.approx(place, abs=1e-6)

    def test_beside_a_bend_the_nearest_point_counts(self, turn):
        """A circle of 20 m to the left, 0.3 m outside of it at 0.6 rad."""
        c, s = math.cos(turn), math.sin(turn)
        angle = self.path(turn).s_m / 20.0
        x, y = 20.0 * np.sin(angle), 20.0 * (1.0 - np.cos(angle))
        path = replace(self.path(turn), x_m=c * x - s * y, y_m=s * x + c * y, heading_rad=turn + angle)
        here = self.there(turn, 20.3 * math.sin(0.6), 20.0 - 20.3 * math.cos(0.6), 0.6)
        assert _beside(path, here) == pytest.approx(12.0, abs=0.05)

    def test_a_new_path_begins_on_the_old_one_with_its_slope(self, turn):
        anchor, slope = _anchor(self.path(turn, 0.1), self.there(turn, 5.2, 0.3, 0.1))
        on_it = self.there(turn, 5.2, 0.0)
        assert slope == pytest.approx(0.1)
        assert (anchor.x_m, anchor.y_m) == pytest.approx((on_it.x_m, on_it.y_m), abs=1e-6)
        assert anchor.heading_rad == pytest.approx(turn)
        assert (anchor.speed_mps, anchor.acceleration_mps2, anchor.yaw_rate_rps) == (7.0, 0.5, 0.1)

    def test_a_vehicle_that_strayed_begins_where_it_is(self, turn):
        strayed = self.there(turn, 5.2, 0.8)
        assert _anchor(self.path(turn), strayed) == (strayed, None)


class TestDriving:
    """Quick brakes, so that the jerk hides little of what the model wants."""

    QUICK = FallbackSettings(speed_cap_mps=30.0, jerk_mps3=10.0, emergency_jerk_mps3=30.0)

    def driven(self, speed, *, share=1.0, brakes=False, road=None, others=None, settings=QUICK, demand=0.0):
        memory = LaneMemory()
        here = motion(speed)
        plan(memory, here=here, road=road, others=others, settings=settings)
        memory.choice = replace(memory.choice, share=share, brakes=brakes)
        memory.due_ns = LATER_NS
        found = plan(memory, START_NS + 1, here, road, others, demand, settings)
        return found, memory.choice.lane

    def law(self, found, lane, share):
        """The scalar model: wanted acceleration and jerk limit by time, distance and speed."""
        idm, last = self.QUICK.idm, len(lane.rules_mps) - 1

        def wanted(time_s, s, v):
            places = [min(int(far / 0.5), last) for far in (s, s + 0.5 * v)]
            safe = min(lane.physics_mps[place] for place in places)
            target = max(min(share * min(lane.rules_mps[place] for place in places), safe), 0.01)
            asked, jerk = [free_acceleration(v, target, idm, self.QUICK.over_speed_mps2)], self.QUICK.jerk_mps3
            if v > safe:
                asked.append(max((safe - v) / 0.5, -self.QUICK.sight_deceleration_mps2))
            room = lane.path.known_m - FRONT - self.QUICK.sight_margin_m - s
            if v**2 / 2 > 4.0 * (room + 1.5):
                asked.append(-min(1.1 * v**2 / 2 / max(room, 0.1), 6.0))
                jerk = self.QUICK.emergency_jerk_mps3
            for gap, lead_speed in found.leads:
                lead = Lead(gap + lead_speed * time_s - s, lead_speed)
                brake = emergency_brake(v, lead, idm)
                asked.append(following_acceleration(v, target, lead, idm))
                if brake is not None:
                    asked.append(brake)
                    jerk = self.QUICK.emergency_jerk_mps3
            return min(asked), jerk

        return wanted

    @pytest.mark.parametrize(
        ("speed", "share", "road", "rows"),
        [
            (5.0, 1.0, {}, ()),
            (5.0, 0.6, {}, ()),
            (12.0, 0.4, {}, ()),
            (10.0, 1.0, {"limit": np.where(np.arange(-20.0, 251.0) >= 45.0, 5.0, 14.0)}, ()),
            (12.0, 1.0, {"end": 55}, ()),
            (15.0, 1.0, {"end": 32}, ()),
            (15.0, 1.0, {"end": 30}, ()),
            (15.0, 1.0, {"end": 15}, ()),
            (10.0, 1.0, {}, ([50.0, 0.0, 0.0, 4.0, 0.0, 4.0, 2.0],)),
            (10.0, 1.0, {}, ([36.0, 0.0, 0.0, 0.0, 0.0, 4.0, 2.0],)),
            (10.0, 0.8, {}, ([40.0, 0.0, 0.0, 9.0, 0.0, 4.0, 2.0], [60.0, 0.0, 0.0, 5.0, 0.0, 4.0, 2.0])),
        ],
    )
    def test_the_profile_follows_the_scalar_model(self, speed, share, road, rows):
        found, lane = self.driven(speed, share=share, road=lanes(**road), others=objects(*rows))
        expected = roll(speed, 0.0, self.law(found, lane, share))
        assert found.profile.speed_mps == pytest.approx(expected.speed_mps)
        assert found.profile.acceleration_mps2 == pytest.approx(expected.acceleration_mps2)
        assert found.profile.distance_m == pytest.approx(expected.distance_m)

    def test_where_a_limit_ends_the_vehicle_is_no_longer_bound_by_it(self):
        """3 m/s for 8 m, then 14: from there on 1.2 m/s^2 until the end of 5 s."""
        found = plan(LaneMemory(), here=motion(3.0), road=lanes(limit=at(8.0, (3.0, 14.0))))
        speeds, way = found.profile.speed_mps, found.profile.distance_m
        assert speeds[way < 6.0].max() <= 3.01
        assert speeds[-1] > 4.5

    def test_a_choice_that_brakes_brakes_fully_with_the_emergency_jerk(self):
        found, _ = self.driven(20.0, brakes=True)
        assert found.profile.acceleration_mps2[:4] == pytest.approx([0.0, -3.0, -6.0, -6.0])

    def test_ordinary_braking_has_the_ordinary_jerk_and_an_emergency_the_other(self):
        slow, _ = self.driven(14.0, share=0.2)
        assert slow.profile.acceleration_mps2[:3] == pytest.approx([0.0, -1.0, -2.0])
        near = objects([FRONT + 14.0, 0.0, 0.0, 0.0, 0.0, 4.0, 2.0])
        hard, _ = self.driven(10.0, others=near)
        assert hard.profile.acceleration_mps2[:2] == pytest.approx([0.0, -3.0])

    @pytest.mark.parametrize(("more_m", "reached"), [(0.01, -2.0), (-0.01, -3.0)])
    def test_where_four_metres_a_second_squared_no_longer_stop_in_sight_it_brakes_like_in_an_emergency(
        self, more_m, reached
    ):
        """From 15 m/s that is 28.125 m, of which 1.5 m may be of the margin; a step of 0.05 s later it is too late."""
        settings = replace(self.QUICK, sight_margin_m=35.0 - FRONT - 28.125 + 1.5 - more_m)
        found, _ = self.driven(15.0, road=lanes(end=35), settings=settings)
        assert found.profile.acceleration_mps2[:2] == pytest.approx([0.0, reached])

    def test_a_lane_seen_too_short_is_braked_for_as_hard_as_the_tyres_allow_and_no_harder(self):
        found, _ = self.driven(15.0, road=lanes(end=12))
        assert found.profile.acceleration_mps2.min() == -6.0
        slippery = replace(self.QUICK, sight_deceleration_mps2=1.5, idm=replace(self.QUICK.idm, clip_mps2=2.5))
        found, _ = self.driven(15.0, road=lanes(end=40), settings=slippery)
        assert found.profile.acceleration_mps2.min() == -2.5

    def test_the_demand_in_force_is_where_it_begins(self):
        found, _ = self.driven(5.0, demand=-2.0)
        assert found.profile.acceleration_mps2[:2] == pytest.approx([-2.0, -1.0])
