"""Objects over a few lists: who is who, who counts, and what is smoothed by how much."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.core.objects import CYCLIST, PEDESTRIAN, STATIC, VEHICLE, ObjectList
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.object_memory import MATCH_M, MATCH_PER_S, ObjectMemory, ObjectSet

from .driving_range import make_object

LIST_NS = 100_000_000
EAST = Polyline(np.array([[-50.0, 0.0], [200.0, 0.0]]))
NORTH = Polyline(np.array([[0.0, -50.0], [0.0, 200.0]]))


def filled(*lists, line=None, limits=None):
    """A memory after these lists, one every 0.1 s, None for a list that did not come."""
    memory = ObjectMemory(limits or CollisionLimits())
    for k, rows in enumerate(lists):
        if rows is not None:
            memory.add(ObjectList(k * LIST_NS, tuple(rows)), line)
    return memory


def one(**changes):
    flags = np.zeros(1, bool)
    values = dict(
        states=np.array([[10.0, 5.0, 0.3, 6.0, -8.0, 4.0, 2.0]]), stamps_ns=np.array([1_000_000_000]),
        vulnerable=flags, on_foot=flags, hits=np.array([3]), drift_mps=np.array([0.1]),
    )  # fmt: skip
    return ObjectSet(**{**values, **changes})


class TestSet:
    def test_moved_on_with_constant_velocity(self):
        moved = one().at(1_500_000_000)
        assert moved.states[0] == pytest.approx([13.0, 1.0, 0.3, 6.0, -8.0, 4.0, 2.0])
        assert moved.stamps_ns.tolist() == [1_500_000_000]
        assert moved.hits.tolist() == [3]
        assert one().at(500_000_000).states[0, :2] == pytest.approx([7.0, 9.0])

    def test_the_original_stays(self):
        seen = one()
        seen.at(9_000_000_000)
        seen.braking_to(9_000_000_000, 5.0)
        assert seen.states[0, :5].tolist() == [10.0, 5.0, 0.3, 6.0, -8.0]

    def test_braking_takes_speed_away_along_the_course(self):
        braked = one().braking_to(1_500_000_000, 4.0)
        way = 10.0 * 0.5 - 2.0 * 0.25
        assert braked.states[0, :2] == pytest.approx([10.0 + 0.6 * way, 5.0 - 0.8 * way])
        assert braked.states[0, 3:5] == pytest.approx([0.6 * 8.0, -0.8 * 8.0])
        assert braked.states[0, [2, 5, 6]].tolist() == [0.3, 4.0, 2.0]
        assert braked.stamps_ns.tolist() == [1_500_000_000]

    def test_braking_ends_at_standstill(self):
        stopped = one().braking_to(9_000_000_000, 4.0)
        assert stopped.states[0, :2] == pytest.approx([10.0 + 0.6 * 12.5, 5.0 - 0.8 * 12.5])
        assert not stopped.states[0, 3:5].any()

    def test_who_stands_stays_and_who_walks_walks_on(self):
        standing = one(states=np.array([[10.0, 5.0, 0.3, 0.0, 0.0, 4.0, 2.0]])).braking_to(3_000_000_000, 4.0)
        assert standing.states[0].tolist() == [10.0, 5.0, 0.3, 0.0, 0.0, 4.0, 2.0]
        walking = one(on_foot=np.ones(1, bool)).braking_to(3_000_000_000, 4.0)
        assert walking.states[0, :5] == pytest.approx([22.0, -11.0, 0.3, 6.0, -8.0])

    def test_no_braking_at_all_is_constant_velocity(self):
        assert one().braking_to(2_000_000_000, 0.0).states[0] == pytest.approx(one().at(2_000_000_000).states[0])

    def test_rows_are_chosen_in_every_column(self):
        memory = filled([make_object(10.0 * k, 0.0, track_id=k) for k in range(3)])
        rows = memory.known.select(np.array([True, False, True]))
        assert rows.states[:, 0].tolist() == [0.0, 20.0]
        for column in (rows.stamps_ns, rows.vulnerable, rows.on_foot, rows.hits, rows.drift_mps):
            assert len(column) == 2


class TestConfirming:
    def test_the_second_list_confirms(self):
        memory = filled([make_object(20.0, 0.0)])
        assert (len(memory.known.states), len(memory.confirmed.states)) == (1, 0)
        memory.add(ObjectList(LIST_NS, (make_object(20.0, 0.0),)))
        assert memory.confirmed.hits.tolist() == [2]

    @pytest.mark.parametrize("lists", [1, 3])
    def test_as_many_lists_as_are_set(self, lists):
        limits = CollisionLimits(confirm_lists=lists)
        rows = [make_object(20.0, 0.0)]
        assert len(filled(*[rows] * (lists - 1), limits=limits).confirmed.states) == 0
        assert len(filled(*[rows] * lists, limits=limits).confirmed.states) == 1

    def test_kinds_are_those_of_the_newest_list(self):
        rows = [make_object(10.0 * k, 0.0, kind=kind) for k, kind in enumerate((VEHICLE, PEDESTRIAN, CYCLIST))]
        seen = filled(rows, rows).confirmed
        assert seen.vulnerable.tolist() == [False, True, True]
        assert seen.on_foot.tolist() == [False, True, False]
        assert seen.stamps_ns.tolist() == [LIST_NS] * 3
        changed = filled(rows, [make_object(0.0, 0.0, kind=PEDESTRIAN)]).confirmed
        assert changed.on_foot.tolist() == [True]

    @pytest.mark.parametrize(
        ("kind", "length", "width", "vulnerable"),
        [("motorcycle", 2.2, 0.9, True), ("", 1.2, 1.3, True), ("horse", 2.4, 1.2, True), ("unknown", 4.5, 1.21, False),
         ("truck", 9.0, 2.5, False), (STATIC, 0.4, 0.4, False), (VEHICLE, 2.2, 0.8, False)],
    )  # fmt: skip
    def test_what_is_narrow_and_of_no_known_kind_is_vulnerable(self, kind, length, width, vulnerable):
        rows = [make_object(0.0, 0.0, kind=kind, length=length, width=width)]
        seen = filled(rows, rows).confirmed
        assert (seen.vulnerable.tolist(), seen.on_foot.tolist()) == ([vulnerable], [False])

    def test_who_is_missed_keeps_his_own_stamp_kind_and_state(self):
        rows = [make_object(20.0, 1.0, 4.0, kind=CYCLIST), make_object(50.0, 0.0, track_id=2)]
        memory = filled(rows, rows, [rows[1]])
        seen = memory.confirmed
        assert seen.stamps_ns.tolist() == [2 * LIST_NS, LIST_NS]
        assert seen.vulnerable.tolist() == [False, True]
        assert seen.states[1, 1] == 1.0
        assert seen.hits.tolist() == [3, 2]

    def test_a_list_missing_on_the_way_is_not_held_against_anybody(self):
        row = [make_object(20.0, 0.0)]
        assert len(filled(row, row, None, []).confirmed.states) == 1

    @pytest.mark.parametrize(
        ("seen", "missed", "there"), [(2, 1, 1), (2, 2, 0), (3, 1, 1), (3, 2, 0), (4, 2, 1), (4, 3, 0)]
    )
    def test_who_is_missed_more_often_than_he_was_seen_since_confirmed_is_gone(self, seen, missed, there):
        memory = filled(*[[make_object(20.0, 0.0)]] * seen, *[[]] * missed)
        assert len(memory.confirmed.states) == there

    @pytest.mark.parametrize(("silence_s", "known"), [(0.3, 1), (0.301, 0)])
    def test_nobody_is_remembered_longer_than_the_coast(self, silence_s, known):
        memory = filled(*[[make_object(20.0, 0.0)]] * 9)
        memory.add(ObjectList(8 * LIST_NS + round(silence_s * 1e9), ()))
        assert len(memory.known.states) == known


class TestWhoIsWho:
    def hits(self, first, second, gap_s=0.1):
        memory = ObjectMemory(CollisionLimits())
        memory.add(ObjectList(10**9, tuple(first)))
        memory.add(ObjectList(10**9 + round(gap_s * 1e9), tuple(second)))
        return memory.known.hits[: len(second)].tolist()

    @pytest.mark.parametrize("gap_s", [0.1, 0.5])
    @pytest.mark.parametrize(("beyond", "hits"), [(-0.01, 2), (0.01, 1)])
    def test_how_far_from_the_prediction_somebody_may_be(self, gap_s, beyond, hits):
        place = 20.0 + 8.0 * gap_s + MATCH_M + MATCH_PER_S * gap_s + beyond
        assert self.hits([make_object(20.0, 0.0, 8.0)], [make_object(place, 0.0, 8.0)], gap_s) == [hits]
        assert self.hits(
            [make_object(20.0, 5.0, 8.0)],
            [make_object(20.0 + 8.0 * gap_s, 5.0 + MATCH_M + MATCH_PER_S * gap_s + beyond, 8.0)],
            gap_s,
        ) == [hits]

    def test_the_reach_is_two_metres_and_four_a_second(self):
        assert (MATCH_M, MATCH_PER_S) == (2.0, 4.0)

    def test_each_is_matched_once_and_with_the_nearest(self):
        first = [make_object(20.0, 0.0), make_object(21.5, 0.0, track_id=2)]
        assert self.hits(first, [make_object(21.4, 0.0), make_object(20.1, 0.0)]) == [2, 2]
        assert self.hits(first[:1], [make_object(20.3, 0.0), make_object(20.1, 0.0)]) == [1, 2]
        assert self.hits(first, [make_object(20.4, 0.0)]) == [2]

    def test_who_loses_his_nearest_takes_the_next(self):
        """The last of a row is nearest to a car that another one has taken; the first is what is left, if in reach."""
        first = [make_object(0.6 * k, 0.0) for k in range(3)]
        second = [make_object(0.6 * k + 0.4, 0.0) for k in range(3)]
        assert self.hits(first, second) == [2, 2, 2]
        assert self.hits(first, [make_object(x + 1.2, 0.0) for x in (0.4, 1.0, 1.6)]) == [2, 2, 1]

    def test_columns_follow_the_match_not_the_order(self):
        first = [make_object(0.0, 0.0, vy=1.0, kind=PEDESTRIAN), make_object(30.0, 0.0, 20.0)]
        memory = filled(first, first[::-1])
        memory = filled(
            [first[1], first[0]], [make_object(0.0, 0.1, vy=1.0, kind=PEDESTRIAN), make_object(32.0, 0.0, 20.0)]
        )
        assert memory.known.states[:, 0] == pytest.approx([0.0, 32.0])
        assert memory.known.hits.tolist() == [2, 2]
        assert memory.known.states[0, 4] == pytest.approx(1.0)


class TestSmoothing:
    def seen(self, velocities, kind=VEHICLE, step=0.0, y=0.0, line=None):
        """The newest state after lists with these velocities, positions `step` apart along x."""
        rows = [[make_object(20.0 + step * k, y, *v, kind=kind)] for k, v in enumerate(velocities)]
        return filled(*rows, line=line).known

    def test_slow_velocities_are_means_at_first_then_follow_by_a_quarter(self):
        steps = [(1.0, 0.0), (2.0, 0.4), (2.4, -0.4), (0.0, 0.0), (2.0, 1.0), (1.0, 0.0)]
        vx, vy = 0.0, 0.0
        for count, (x, y) in enumerate(steps, 1):
            share = max(0.25, 1.0 / count)
            vx, vy = vx + share * (x - vx), vy + share * (y - vy)
            found = self.seen(steps[:count], kind=PEDESTRIAN).states[0]
            assert found[3:5] == pytest.approx([vx, vy])

    @pytest.mark.parametrize(("fast", "smoothed"), [(2.99, True), (3.01, False)])
    def test_of_fast_ones_the_newest_velocity_counts(self, fast, smoothed):
        for first, second in ((fast, 1.0), (1.0, fast)):
            found = self.seen([(first, 0.0), (second, 0.0)], kind=PEDESTRIAN).states[0, 3]
            assert found == pytest.approx((first + second) / 2 if smoothed else second)

    def test_parked_wheels_settle_where_they_are_expected(self):
        places = [20.0, 20.4, 19.6, 20.4, 20.4]
        settled = places[0]
        for count, place in enumerate(places[1:], 2):
            settled += max(0.25, 1.0 / count) * (place - settled)
            rows = [[make_object(x, 0.0)] for x in places[:count]]
            assert filled(*rows).known.states[0, 0] == pytest.approx(settled)

    @pytest.mark.parametrize(("speed", "kind", "settles"), [
        (0.99, VEHICLE, True), (1.01, VEHICLE, False), (0.0, PEDESTRIAN, False), (0.99, CYCLIST, True),
    ])  # fmt: skip
    def test_who_moves_or_walks_is_where_he_was_seen(self, speed, kind, settles):
        found = self.seen([(speed, 0.0)] * 2, kind=kind, step=0.5).states[0, 0]
        expected = 20.0 + 0.1 * speed
        assert found == pytest.approx((expected + 20.5) / 2 if settles else 20.5)

    def test_drift_is_smoothed_across_the_lane_whatever_the_speed(self):
        for line, velocity in ((EAST, lambda d: (12.0, d)), (NORTH, lambda d: (-d, 12.0))):
            drifts, smoothed = [0.4, -0.4, 0.8, 0.0, 1.0], 0.0
            for count, drift in enumerate(drifts, 1):
                smoothed += max(0.25, 1.0 / count) * (drift - smoothed)
                rows = []
                for k in range(count):
                    vx, vy = velocity(drifts[k])
                    rows.append(
                        [make_object(1.2 * k if line is EAST else 0.0, 0.0 if line is EAST else 1.2 * k, vx, vy)]
                    )
                assert filled(*rows, line=line).known.drift_mps == pytest.approx([smoothed])

    def test_without_a_lane_there_is_no_drift_and_it_begins_with_the_lane(self):
        rows = (make_object(20.0, 0.0, 12.0, 0.5),)
        memory = filled(rows)
        assert math.isnan(memory.known.drift_mps[0])
        memory.add(ObjectList(LIST_NS, (make_object(21.2, 0.0, 12.0, 0.5),)), EAST)
        assert memory.known.drift_mps == pytest.approx([0.5])


def test_restated_stamps_keep_everybody():
    memory = filled([make_object(20.0, 0.0, 4.0)], [make_object(20.4, 0.0, 4.0)])
    memory.restate(lambda stamp_ns: stamp_ns + 10**12)
    assert memory.known.stamps_ns.tolist() == memory.confirmed.stamps_ns.tolist() == [10**12 + LIST_NS]
    memory.add(ObjectList(10**12 + 2 * LIST_NS, (make_object(20.8, 0.0, 4.0),)))
    assert memory.confirmed.hits.tolist() == [3]


def test_nobody_in_a_list_and_nobody_known():
    memory = filled([], [], [make_object(20.0, 0.0)], [])
    assert len(memory.confirmed.states) == 0
    assert ObjectSet.empty().at(5).states.shape == (0, 7)
