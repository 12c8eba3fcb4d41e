"""Which line a stop runs along."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import AMBER, GREEN, RED, LaneObservation, Signal
from onboard_vla.safety.config import SIMULATION_PROFILE, FallbackSettings, SupervisorConfig
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.input_config import LaneLimits
from onboard_vla.safety.joined_path import join
from onboard_vla.safety.stop_line import StopLine, lane_obstacles

LIMITS = LaneLimits()
LINE = np.stack([np.arange(0.0, 60.0, 2.0), np.zeros(30)], axis=1)
WIDE = np.full(30, 5.0)
LANES = LaneObservation(0, LINE, WIDE, WIDE, 3.5, WIDE, ())


REACH_M = 6.0
SETTINGS = FallbackSettings()


def stop_line() -> StopLine:
    return StopLine(LIMITS, REACH_M)


def found(line: StopLine, lanes: LaneObservation | None, at: Motion) -> Polyline | None:
    """The line alone."""
    way = line.find(lanes, at, SETTINGS)
    return None if way is None else way.line


def motion(x: float = 10.0, y: float = 0.0, heading: float = 0.0) -> Motion:
    return Motion(x, y, heading, 10.0, 0.0, 0.0)


def test_what_the_system_followed_counts_while_it_has_the_vehicle():
    line, followed = stop_line(), Polyline(LINE + np.ones(2))
    line.follow(followed, lane=False)
    assert found(line, LANES, motion(y=9.0)) is followed
    line.hand_over()
    line.follow(followed, lane=False)
    assert found(line, LANES, motion(y=9.0)) is followed


def test_a_system_that_never_drove_stops_along_the_lane_that_it_is_in():
    assert found(stop_line(), LANES, motion()) is LANES.line


@pytest.mark.parametrize(("heading", "there"), [(2.0, True), (2.1, True), (-2.0, False), (1.8, False)])
def test_a_lane_may_lie_anywhere_in_the_plane(heading, there):
    turn = np.array([[np.cos(2.0), np.sin(2.0)], [-np.sin(2.0), np.cos(2.0)]])
    turned = replace(LANES, centreline=LINE @ turn)
    x, y = turned.centreline[5]
    at = motion(float(x), float(y), heading)
    assert found(stop_line(), turned, at) is (turned.line if there else None)
    assert lane_obstacles(turned, at, LIMITS) == () or not there


@pytest.mark.parametrize(
    "where", [{"y": 1.75}, {"y": -1.75}, {"heading": 0.15}, {"heading": -0.15}, {"x": 0.1}, {"x": 57.9}]
)
def test_after_a_person_had_it_the_lane_that_the_vehicle_is_in_is_kept_when_it_is_seen_no_more(where):
    line = stop_line()
    line.follow(Polyline(LINE + 1.0), lane=False)
    line.hand_over()
    assert found(line, LANES, motion(**where)) is LANES.line
    assert found(line, None, motion(y=9.0)) is LANES.line
    line.hand_over()
    assert found(line, None, motion(y=9.0)) is None


ELSEWHERE = [{"y": 1.76}, {"y": -1.76}, {"heading": 0.16}, {"heading": -0.16}, {"x": -0.1}, {"x": 58.1}, {"heading": 3}]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_lane_that_it_is_not_in_is_none(where):
    assert found(stop_line(), LANES, motion(**where)) is None


@pytest.mark.parametrize(
    ("where", "on_it"),
    [({}, True), ({"y": 0.75}, True), ({"y": -0.76}, False), ({"heading": 0.15}, True), ({"heading": 0.16}, False),
     ({"x": 58.1}, False)],
)  # fmt: skip
def test_without_such_a_lane_what_was_followed_before_where_the_vehicle_is_on_it_still(where, on_it):
    line, followed = stop_line(), Polyline(LINE)
    line.follow(followed, lane=False)
    line.hand_over()
    assert found(line, None, motion(**where)) is (followed if on_it else None)
    assert found(line, None, motion()) is (followed if on_it else None)
    assert found(line, LANES, motion(y=1.0)) is LANES.line


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"y": 1.75}, {}),
        ({"y": 1.875}, {"NOT_IN_LANE": (1.875, 1.75)}),
        ({"y": -3.5}, {"NOT_IN_LANE": (3.5, 1.75)}),
        ({"heading": -0.15}, {}),
        ({"heading": 3.0}, {"NOT_ALONG_LANE": (3.0, 0.15)}),
        ({"y": -3.5, "heading": -0.25}, {"NOT_IN_LANE": (3.5, 1.75), "NOT_ALONG_LANE": (0.25, 0.15)}),
    ],
)
def test_a_vehicle_engages_within_its_lane_and_along_it(where, expected):
    obstacles = lane_obstacles(LANES, motion(**where), LIMITS)
    assert {o.code: (o.measured, o.limit) for o in obstacles} == expected


def test_what_is_unknown_is_asked_for_elsewhere():
    assert lane_obstacles(None, motion(), LIMITS) == lane_obstacles(LANES, None, LIMITS) == ()


LONG = np.stack([np.arange(-20.0, 202.0, 2.0), np.zeros(111)], axis=1)


def lane(turned_rad: float = 0.0, y: float = 0.0, width_m: float = 3.5, line: np.ndarray = LONG) -> LaneObservation:
    """To x = 200, past (58, `y`), where what is followed ends."""
    cos, sin = np.cos(turned_rad), np.sin(turned_rad)
    points = (line - [58.0, 0.0]) @ np.array([[cos, sin], [-sin, cos]]) + [58.0, y]
    wide = np.full(len(points), 5.0)
    return LaneObservation(0, points, wide, wide, width_m, wide, ())


class TestGoingOn:
    """What was followed ends at x = 58."""

    FOLLOWED = Polyline(LINE)

    def drives(self, *, lane: bool = False) -> StopLine:
        line = stop_line()
        line.follow(self.FOLLOWED, lane=lane)
        return line

    @pytest.mark.parametrize(("of_lane", "known_m"), [(False, 58.0), (True, 52.0)])
    def test_without_lanes_it_ends_where_the_plan_does_and_before_the_lanes_end(self, of_lane, known_m):
        way = self.drives(lane=of_lane).find(None, motion(), SETTINGS)
        assert (way.line, way.known_m) == (self.FOLLOWED, known_m)

    def test_a_lane_that_runs_there_goes_on(self):
        way = self.drives().find(lane(), motion(), SETTINGS)
        assert way.known_m == pytest.approx(220.0 - 20.0 - REACH_M, abs=2.0)
        assert way.line.points[:30].tolist() == LINE.tolist()
        assert way.line.points[30:, 1] == pytest.approx(np.zeros(len(way.line.points) - 30))
        assert way.line.length == pytest.approx(way.known_m + REACH_M)
        assert np.diff(way.line.arc_lengths).max() < 2.1

    @pytest.mark.parametrize("y", [1.75, -1.75, 0.8])
    def test_from_beside_the_lane_without_a_kink_to_its_middle(self, y):
        way = self.drives().find(lane(y=-y), motion(), SETTINGS)
        points = way.line.points
        beside = np.interp([60.0, 68.0, 78.0, 100.0], points[:, 0], points[:, 1] + y)
        # A cubic over two seconds' way, 20 m.
        assert beside == pytest.approx([0.972 * y, 0.5 * y, 0.0, 0.0], abs=0.02)
        assert np.abs(np.diff(way.line.heading_at(way.line.arc_lengths))).max() < 0.08

    @pytest.mark.parametrize("turned_rad", [0.149, -0.149])
    def test_from_a_line_that_runs_otherwise_it_turns_without_a_kink(self, turned_rad):
        way = self.drives().find(lane(turned_rad), motion(), SETTINGS)
        s = way.line.arc_lengths
        assert abs(float(way.line.heading_at(60.0))) < 0.06
        assert way.line.heading_at(s[-1]) == pytest.approx(turned_rad, abs=0.01)
        assert np.abs(np.diff(way.line.heading_at(s))).max() < 0.06

    @pytest.mark.parametrize(
        "elsewhere",
        [lane(y=1.76), lane(y=-1.76), lane(0.151), lane(-0.151), lane(y=1.5, width_m=2.9), LANES, lane(np.pi)],
    )
    def test_a_lane_that_runs_elsewhere_does_not(self, elsewhere):
        way = self.drives().find(elsewhere, motion(), SETTINGS)
        assert (way.line, way.known_m) == (self.FOLLOWED, 58.0)

    def test_a_lane_that_shows_no_more_does_not(self):
        short = lane(line=LONG[LONG[:, 0] <= 58.0 + REACH_M])
        assert self.drives().find(short, motion(), SETTINGS).line is self.FOLLOWED
        more = lane(line=LONG[LONG[:, 0] <= 60.0 + REACH_M])
        assert self.drives().find(more, motion(), SETTINGS).known_m == pytest.approx(60.0)

    def test_it_is_taken_once_a_message_and_stays_when_lanes_come_no_more(self):
        line, seen = self.drives(), lane()
        way = line.find(seen, motion(), SETTINGS)
        assert line.find(seen, motion(12.0), SETTINGS) is way
        assert line.find(None, motion(12.0), SETTINGS) is way
        assert line.find(lane(y=9.0), motion(12.0), SETTINGS) is way
        newer = line.find(lane(y=0.5), motion(12.0), SETTINGS)
        assert newer.line.points[-1, 1] == pytest.approx(0.5)
        assert newer.line.points[29].tolist() == [58.0, 0.0]

    def test_what_is_followed_anew_is_not_continued_by_lanes_of_before(self):
        line, seen = self.drives(), lane()
        line.find(seen, motion(), SETTINGS)
        line.follow(self.FOLLOWED, lane=False)
        assert line.find(None, motion(), SETTINGS).line is self.FOLLOWED
        assert line.find(seen, motion(), SETTINGS).known_m > 100.0

    @pytest.mark.parametrize(("x", "y", "there"), [(57.9, 0.5, False), (58.0, 0.5, True), (70.0, 1.0, True)])
    def test_behind_its_end_it_is_the_lane_alone(self, x, y, there):
        line, seen = self.drives(), lane(y=0.5)
        way = line.find(seen, motion(x, y), SETTINGS)
        assert (way.line is seen.line) is there
        assert way.known_m == pytest.approx(222.0 - 2.0 - REACH_M if there else 200.0 - REACH_M, abs=0.1)

    def test_behind_its_end_a_lane_that_the_vehicle_is_not_in_changes_nothing(self):
        line = self.drives()
        way = line.find(lane(), motion(), SETTINGS)
        assert line.find(lane(y=3.0), motion(70.0), SETTINGS) is way

    def test_a_person_who_lets_go_on_the_way_goes_on_along_it(self):
        line = self.drives()
        way = line.find(lane(), motion(), SETTINGS)
        line.hand_over()
        assert line.find(None, motion(100.0, 0.5), SETTINGS) is way
        line.hand_over()
        assert line.find(None, motion(100.0, 0.8), SETTINGS) is None

    def test_of_a_lane_so_much_is_known_as_the_front_may_reach(self):
        assert stop_line().find(LANES, motion(), SETTINGS).known_m == 58.0 - REACH_M


def test_no_lane_goes_on_where_a_plan_comes_to_a_stand():
    line, followed = stop_line(), Polyline(LINE[:15])
    line.follow(followed, lane=False, stands=True)
    way = line.find(LANES, motion(), SETTINGS)
    assert (way.line, way.known_m) == (followed, followed.length)
    line.follow(followed, lane=False)
    assert line.find(LANES, motion(), SETTINGS).known_m > followed.length


def seen_to(end_m: float) -> LaneObservation:
    """A fresh message of the lane along y = 0, as far as this."""
    points = np.stack([np.linspace(-20.0, end_m, 60), np.zeros(60)], axis=1)
    wide = np.full(60, 5.0)
    return LaneObservation(0, points, wide, wide, 3.5, wide, ())


class TestShown:
    """Whether lanes show more of the way with every message."""

    def shown(self, line: StopLine, lanes: LaneObservation | None, x: float = 10.0) -> bool:
        line.find(lanes, motion(x), SETTINGS)
        return line.shown

    def drives(self) -> StopLine:
        line = stop_line()
        line.follow(Polyline(LINE), lane=False)
        return line

    def test_each_that_goes_on_beyond_those_before_does_until_the_next_or_none(self):
        line = self.drives()
        first = seen_to(100.0)
        assert self.shown(line, first)
        assert self.shown(line, first, 10.5)
        assert self.shown(line, seen_to(100.6), 11.0)
        assert not self.shown(line, seen_to(101.0), 11.5)
        assert self.shown(line, seen_to(101.2), 12.0)
        assert not self.shown(line, None, 12.0)

    def test_an_end_of_the_road_that_is_seen_a_little_nearer_and_farther_shows_no_more(self):
        line = self.drives()
        self.shown(line, seen_to(100.0))
        assert [self.shown(line, seen_to(end)) for end in (98.2, 99.9, 98.6, 100.4)] == [False] * 4

    @pytest.mark.parametrize("refused", [lane(y=3.0), lane(0.5), LANES])
    def test_one_that_does_not_go_on_where_the_plan_ends_shows_nothing(self, refused):
        line = self.drives()
        assert not self.shown(line, refused)
        assert self.shown(line, lane())
        assert not self.shown(line, refused)

    def test_nor_does_one_where_the_plan_comes_to_a_stand(self):
        line = stop_line()
        line.follow(Polyline(LINE), lane=False, stands=True)
        assert not self.shown(line, lane())

    def test_the_lane_of_a_vehicle_that_nobody_drove_does_from_its_second_message_on(self):
        line = stop_line()
        assert not self.shown(line, seen_to(100.0))
        assert self.shown(line, seen_to(101.0), 11.0)
        line.hand_over()
        assert self.shown(line, seen_to(102.0), 12.0)
        assert not self.shown(line, seen_to(102.0), 12.0)

    def test_of_the_lane_that_the_fallback_followed_what_is_seen_beyond_its_end(self):
        line = stop_line()
        assert not line.shown
        line.follow(Polyline(LINE), lane=True)
        assert not self.shown(line, seen_to(58.4))
        assert self.shown(line, seen_to(60.6))

    @pytest.mark.parametrize(("y", "there"), [(0.0, True), (3.0, False)])
    def test_behind_the_plans_end_the_lane_that_the_vehicle_is_in_does(self, y, there):
        line = self.drives()
        line.find(lane(y=y), motion(60.0), SETTINGS)
        assert line.shown is there

    def test_where_a_person_had_it_the_place_of_the_vehicle_counts_and_no_plans_end(self):
        line = self.drives()
        line.hand_over()
        line.find(seen_to(100.0), motion(y=3.0), SETTINGS)
        assert not line.shown
        line.find(seen_to(101.0), motion(), SETTINGS)
        assert line.shown


class TestSignals:
    """From 10 m/s, 4 m/s2 take 12.5 m and 3 m/s2 16.7 m; braking that is not in force yet, 0.4 s more, 4 m."""

    CONFIG = SupervisorConfig(profile=SIMULATION_PROFILE)
    FRONT = CONFIG.vehicle.length_m - CONFIG.vehicle.rear_overhang_m
    BEFORE_M = CONFIG.fallback.idm.brake_gap_m

    def room_m(self, line, *signals, speed=10.0, demand=-4.0, config=CONFIG):
        """`signals`: distance from the front and state, or also the id."""
        at = motion()
        rows = [
            Signal(rest[0] if rest else k, at.x_m + self.FRONT + ahead_m, 0.0, state)
            for k, (ahead_m, state, *rest) in enumerate(signals)
        ]
        lanes = replace(lane(), signals=tuple(rows))
        return line.signals_m(join(lanes.line, at, 6.0, 100.0), lanes, speed, demand, config)

    @pytest.mark.parametrize(("state", "least_m"), [(RED, 12.5), (AMBER, 100.0 / 6.0)])
    def test_the_stop_ends_before_one_that_it_reaches_and_no_other(self, state, least_m):
        assert self.room_m(stop_line(), (least_m + 0.01, state)) == pytest.approx(least_m + 0.01 - self.BEFORE_M)
        assert self.room_m(stop_line(), (least_m - 0.01, state)) == math.inf
        assert self.room_m(stop_line(), (50.0, GREEN)) == math.inf
        assert self.room_m(stop_line()) == math.inf

    @pytest.mark.parametrize(("demand", "late_m"), [(0.0, 4.0), (1.0, 4.0), (-2.0, 2.0), (-4.0, 0.0), (-6.0, 0.0)])
    def test_braking_that_is_not_in_force_comes_late(self, demand, late_m):
        assert self.room_m(stop_line(), (12.51 + late_m, RED), demand=demand) < math.inf
        assert self.room_m(stop_line(), (12.49 + late_m, RED), demand=demand) == math.inf

    def test_amber_is_braked_for_no_harder_than_the_stop_may(self):
        soft = replace(self.CONFIG, stop=replace(self.CONFIG.stop, in_lane_cap_mps2=2.0))
        assert self.room_m(stop_line(), (25.01, AMBER), config=soft) < math.inf
        assert self.room_m(stop_line(), (24.99, AMBER), config=soft) == math.inf

    def test_the_nearest_that_is_reached_counts(self):
        assert self.room_m(stop_line(), (40.0, RED), (5.0, RED), (20.0, RED)) == pytest.approx(20.0 - self.BEFORE_M)

    def test_one_that_was_reached_stays_until_it_is_green_or_passed(self):
        line = stop_line()
        assert self.room_m(line, (20.0, AMBER, 7)) < math.inf
        assert self.room_m(line, (8.0, RED, 7)) == pytest.approx(8.0 - self.BEFORE_M)
        assert self.room_m(line, (-0.9, RED, 7)) == pytest.approx(-0.9 - self.BEFORE_M)
        assert self.room_m(line, (-1.1, RED, 7), (8.0, RED, 8)) == math.inf
        assert self.room_m(line, (8.0, RED, 7)) == math.inf

    def test_what_was_reached_is_forgotten_with_the_stop(self):
        for ends in (StopLine.hand_over, lambda line: line.follow(Polyline(LINE), lane=False)):
            line = stop_line()
            self.room_m(line, (20.0, RED))
            ends(line)
            assert self.room_m(line, (8.0, RED)) == math.inf

    def test_without_lanes_there_are_none(self):
        assert stop_line().signals_m(join(LANES.line, motion(), 6.0, 50.0), None, 10.0, 0.0, self.CONFIG) == math.inf
