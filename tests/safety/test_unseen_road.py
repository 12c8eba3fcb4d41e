"""Nothing is known of the road beyond the observed lane: no plan is driven that could not stop within it."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.road import LaneObservation, Signal
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.config import RoadLimits, StopSettings
from onboard_vla.safety.config_documents import README
from onboard_vla.safety.driving import plan_path
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.recoverability import PAST_END_M, SIGHT_SHARE, STANDING_M, check_sight, sight_cap
from onboard_vla.safety.guards.road import check_signals
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.operating_domain import OperationalDesignDomain
from onboard_vla.safety.plan_guard import PlanGuard

from .driving_range import CORE_HASH, Range, codes, make_plan, simulation_config, straight_line, straight_poses
from .plans import STAMP, found, history, placed

VEHICLE, STOP, CONFIG = VehicleGeometry(), StopSettings(), simulation_config()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m
NOW = Now(STAMP, STAMP)
MARGIN_M, FOLLOWS_S = CONFIG.fallback.sight_margin_m, CONFIG.recovery.cycle_s + CONFIG.collision.delay_s


def motion_at(speed, acceleration=0.0, x=0.0):
    return Motion(x, 0.0, 0.0, speed, acceleration, 0.0)


def lane(end, signals=(), begin=-20.0):
    x = np.append(np.arange(begin, end - 1e-9, 2.0), end)
    wide = np.full(len(x), 2.75)
    return LaneObservation(STAMP, np.column_stack([x, 0 * x]), wide, wide, 3.5, wide * 10, tuple(signals))


def lane_of(lanes, shown):
    """A lane message that shows another lane."""
    return replace(shown, stamp_ns=lanes.stamp_ns)


def steady(speed):
    """A plan that keeps its speed, with no trace of acceleration."""
    return replace(placed(straight_poses(speed), speed), acceleration_mps2=np.zeros(11), speed_mps=np.full(11, speed))


def stop_m(speed, follows_s=FOLLOWS_S, pushing=0.0):
    """So long at the speed, then an emergency stop, in steps of 0.1 ms."""
    way, v, a, dt = speed * follows_s, speed, pushing, 1e-4
    while v > 0.0:
        a = max(a - STOP.emergency_jerk_mps3 * dt, -STOP.emergency_mps2)
        way, v = way + v * dt, v + a * dt
    return way


def sight(end, speed, plan=None, motion=None, follows_s=FOLLOWS_S, margin_m=MARGIN_M):
    plan, motion = plan or steady(speed), motion or motion_at(speed)
    path = plan_path(plan, motion)
    return check_sight(path, plan, motion, STAMP, [lane(end)], VEHICLE, follows_s, margin_m, STOP)


def judge(end, speed, signals=(), config=CONFIG):
    inputs = Inputs(config)
    inputs.history = history(speed)
    inputs.receive(lane(end, signals), NOW)
    assert not inputs.faults
    guard = PlanGuard(config, CORE_HASH)
    return guard, inputs, guard.judge(make_plan(STAMP, straight_poses(speed)), inputs, motion_at(speed), None, NOW)


@pytest.mark.parametrize("speed", [3.0, 15.0, 25.0, 36.0])
def test_the_front_stops_the_margin_before_the_end_of_the_observed_lane(speed):
    needs = stop_m(speed) + FRONT + MARGIN_M
    assert sight(needs + 0.03, speed) is None
    reason = sight(needs - 0.03, speed)
    assert (reason.code, reason.measured) == ("RECOVERY_UNSEEN", pytest.approx(stop_m(speed), abs=0.02))
    assert reason.limit == pytest.approx(needs - 0.03 - FRONT - MARGIN_M)


def test_the_limit_itself_passes():
    way = sight(1.0, 15.0).measured
    end = FRONT + MARGIN_M + way
    assert sight(math.nextafter(end, math.inf) + 1e-9, 15.0) is None
    assert sight(end - 1e-6, 15.0).code == "RECOVERY_UNSEEN"


def test_margin_and_time_followed_are_those_given():
    assert sight(1.0, 10.0, follows_s=0.2).measured == pytest.approx(stop_m(10.0, 0.2), abs=0.02)
    assert sight(20.0, 10.0, margin_m=5.0).limit == pytest.approx(20.0 - FRONT - 5.0)


def test_it_counts_from_where_the_vehicle_is_and_not_from_the_lanes_begin():
    plan = steady(10.0)
    for x in (0.0, 4.0):
        reason = sight(20.0, 10.0, plan, motion_at(10.0, x=x))
        assert reason.limit == pytest.approx(20.0 - x - FRONT - MARGIN_M)
        assert reason.measured == pytest.approx(stop_m(10.0), abs=0.02)


def test_a_plan_that_brakes_to_a_stop_before_the_margin_passes_all_the_way():
    """From 10 m/s to standstill at 2 m/s^2: the lane is seen half a metre farther than that and the margin takes."""
    end = 10.0**2 / 4.0 + FRONT + MARGIN_M + 0.5
    for speed in (10.0, 6.0, 3.0, 1.0, 0.4):
        x = (10.0**2 - speed**2) / 4.0
        t = np.minimum(np.arange(1, 11) * 0.5, speed / 2.0)
        way = speed * t - t**2
        plan = placed(np.column_stack([way, 0 * t, 0 * t]), speed)
        motion = motion_at(speed, -2.0)
        path = plan_path(plan, motion)
        seen = check_sight(path, plan, motion, STAMP, [lane(end - x)], VEHICLE, FOLLOWS_S, MARGIN_M, STOP)
        assert seen is None, speed


def test_acceleration_in_force_takes_the_stop_farther():
    assert sight(1.0, 10.0, motion=motion_at(10.0, 2.0)).measured > sight(1.0, 10.0).measured + 1.0


def test_a_stop_longer_than_the_plan_is_not_cut_off_with_it():
    """A plan that ends standing after 2 m, and a vehicle too fast for it."""
    t = np.minimum(np.arange(1, 11) * 0.4, 2.0)
    plan = replace(placed(np.column_stack([t, 0 * t, 0 * t]), 4.0), acceleration_mps2=np.zeros(11))
    motion = motion_at(8.0)
    path = plan_path(plan, motion)
    reason = check_sight(path, plan, motion, STAMP, [lane(1.0)], VEHICLE, FOLLOWS_S, MARGIN_M, STOP)
    assert reason.measured == pytest.approx(stop_m(8.0), abs=0.05)
    assert path.s_m[-1] < reason.measured - 3.0


class TestStanding:
    """At the lane's end, within the margin: standing is no offence, driving is."""

    PLAN = replace(placed(np.zeros((10, 3)), 0.0), acceleration_mps2=np.zeros(11), speed_mps=np.zeros(11))

    @pytest.mark.parametrize(
        ("room", "code"),
        [(1.0, None), (-0.2, None), (-PAST_END_M + 0.01, None), (-PAST_END_M - 0.01, "RECOVERY_UNSEEN")],
    )
    def test_who_stands_may_be_at_the_end_as_at_a_stop_point_but_not_beyond(self, room, code):
        reason = sight(FRONT + room, 0.0, self.PLAN)
        assert (reason.code if reason else None) == code
        assert CONFIG.road.red_overrun_m == PAST_END_M

    def test_noise_of_a_standing_vehicle_is_no_motion_and_creeping_is(self):
        noise = motion_at(0.03, 0.2)
        assert sight(FRONT + 1.0, 0.0, self.PLAN, noise) is None
        reason = sight(FRONT + 1.0, 0.0, self.PLAN, motion_at(0.5))
        assert (reason.code, reason.limit) == ("RECOVERY_UNSEEN", pytest.approx(STANDING_M))
        assert stop_m(0.5) > STANDING_M

    def test_even_that_ends_no_farther(self):
        creeping = motion_at(0.2)
        way = stop_m(0.2)
        assert 0.1 < way < STANDING_M
        assert sight(FRONT - PAST_END_M + way + 0.01, 0.0, self.PLAN, creeping) is None
        reason = sight(FRONT - PAST_END_M + way - 0.01, 0.0, self.PLAN, creeping)
        assert reason.limit == pytest.approx(way - 0.01)

    def test_a_vehicle_whose_lane_ends_under_its_front_stands_there_without_falling_back(self):
        drive = Range(speed=0.0)
        drive.plan_speed = 0.0
        drive.edit[LaneObservation] = lambda lanes: lane_of(lanes, lane(FRONT - 0.2))
        drive.engage(4.0)
        begin = len(drive.published)
        drive.run(6.0)
        assert max(message.mode for message in drive.published[begin:]) <= Mode.REDUCED


class TestPlanGuard:
    @pytest.mark.parametrize("end", [4.0, 10.0, 20.0])
    def test_a_plan_beyond_the_end_of_the_lane_is_refused(self, end):
        judgement = judge(end, 15.0)[2]
        assert found(judgement.reasons) == {"RECOVERY_UNSEEN"}
        assert not judgement.passed
        assert not judgement.hard

    def test_the_delay_before_objects_and_the_fallbacks_margin_count(self):
        needs = stop_m(15.0) + FRONT + MARGIN_M
        assert judge(needs + 0.2, 15.0)[2].passed
        assert not judge(needs - 0.2, 15.0)[2].passed
        wide = replace(CONFIG, fallback=replace(CONFIG.fallback, sight_margin_m=4.0))
        assert not judge(needs + 0.2, 15.0, config=wide)[2].passed
        assert judge(needs + 2.2, 15.0, config=wide)[2].passed
        quick = replace(CONFIG, collision=replace(CONFIG.collision, delay_s=0.2))
        assert judge(needs - 0.2 * 15.0 + 0.2, 15.0, config=quick)[2].passed
        assert not judge(needs - 0.2 * 15.0 - 0.2, 15.0, config=quick)[2].passed

    def test_an_accepted_plan_is_held_against_what_is_seen_later(self):
        guard, inputs, judgement = judge(60.0, 15.0)
        later = STAMP + 300_000_000
        assert guard.recheck(judgement, inputs, motion_at(15.0, x=4.5), later) == []
        assert found(guard.recheck(judgement, inputs, motion_at(15.0, x=25.0), later)) == {"RECOVERY_UNSEEN"}

    def test_without_lanes_there_is_nothing_to_hold_a_plan_against(self):
        inputs = Inputs(CONFIG)
        inputs.history = history(15.0)
        plan = make_plan(STAMP, straight_poses(15.0))
        assert PlanGuard(CONFIG, CORE_HASH).judge(plan, inputs, motion_at(15.0), None, NOW).passed

    @pytest.mark.parametrize("end", [100.0, 20.1, 20.0, 19.9, 16.0])
    def test_a_red_signal_counts_wherever_the_lane_ends(self, end):
        judgement = judge(end, 15.0, (Signal(1, 20.0, 0.0, "red"),))[2]
        assert "RED_SIGNAL" in found(judgement.reasons)
        assert "RED_SIGNAL" not in found(judge(end, 15.0, (Signal(1, 20.0, 0.0, "green"),))[2].reasons)


def moving(front_m):
    """A plan from 10 m before the front's place to it, within the horizon."""
    return SimpleNamespace(
        stamp_ns=STAMP,
        pose_at=lambda times: np.array([(front_m - FRONT - 10.0 * max(1.0 - t / 2.0, 0.0), 0.0, 0.0) for t in times]),
    )


@pytest.mark.parametrize("beyond", [-0.1, 0.0, 0.1, 3.0])
def test_the_front_may_pass_a_red_signal_about_the_lanes_end_by_the_tolerance_alone(beyond):
    """`beyond`: from the end of the observed lane to the stop point."""
    limits, stop_x = RoadLimits(), 30.0 + beyond
    lanes = lane(30.0, [Signal(7, stop_x, 0.0, "red")])
    assert check_signals(moving(stop_x + limits.red_overrun_m - 0.01), lanes, STAMP, VEHICLE, limits) is None
    reason = check_signals(moving(stop_x + limits.red_overrun_m + 0.01), lanes, STAMP, VEHICLE, limits)
    assert reason.measured == pytest.approx(limits.red_overrun_m + 0.01)
    passed = moving(stop_x + limits.red_overrun_m + 10.01)
    assert check_signals(passed, lanes, STAMP, VEHICLE, limits) is None


def test_a_stop_point_behind_the_lanes_begin_has_been_passed():
    lanes = lane(30.0, [Signal(7, -1.0, 0.0, "red")], begin=0.0)
    assert check_signals(moving(20.0), lanes, STAMP, VEHICLE, RoadLimits()) is None
    behind = lane(30.0, [Signal(7, 5.0, 0.0, "red")], begin=15.0)
    assert check_signals(moving(14.0), behind, STAMP, VEHICLE, RoadLimits()).measured == pytest.approx(9.0)


@pytest.mark.parametrize("speed", [8.0, 13.9, 25.0])
def test_a_model_that_drives_on_where_the_road_ends_is_stopped_before_the_end(speed):
    end = 12.0 * speed + 60.0
    drive = Range(speed=speed)
    drive.plan_speed, drive.limit_mps, drive.sight_m = speed, speed, 160.0
    drive.edit[LaneObservation] = lambda lanes: _cut(lanes, end)
    drive.engage(3.0)
    drove = 0
    for _ in range(2000):
        message = drive.step()
        drove += message.mode <= Mode.REDUCED
        if drive.vehicle.speed < 0.05 and drive.tick > 300:
            break
    assert drove > 100, "the model drives to where it has to be stopped"
    assert drive.vehicle.speed < 0.05
    left = end - drive.vehicle.x - FRONT
    assert 0.0 < left < 5.0
    assert max(m.mode for m in drive.published) <= Mode.IN_LANE_STOP


def _cut(lanes, end):
    kept = lanes.centreline[:, 0] <= end
    return replace(
        lanes, centreline=lanes.centreline[kept], left_m=lanes.left_m[kept], right_m=lanes.right_m[kept],
        speed_limit_mps=lanes.speed_limit_mps[kept],
    )  # fmt: skip


FAST = replace(CONFIG, odd=OperationalDesignDomain(speed_max_mps=40.0))


def on_a_long_road(speed, sight_m):
    """A model that wants to drive at this speed on an empty straight road."""
    drive = Range(FAST, line=straight_line(6000.0), speed=speed)
    drive.sight_m, drive.limit_mps, drive.plan_speed = sight_m, speed, speed
    drive.engage(3.0)
    return drive


def shown_for_messages(drive, sight_m, messages):
    """So many lane messages end there, the ones after them where they did before."""
    full, sent = drive.sight_m, 0
    while sent < messages:
        drive.sight_m = sight_m
        sent += drive.tick % 5 == 0
        drive.step()
    drive.sight_m = full


class TestLengthOfLanes:
    """The noisiest field of a lane message: a nearer end counts when the next message has it, too."""

    @pytest.mark.parametrize("phase", [0, 5])
    @pytest.mark.parametrize(("speed", "full", "short"), [(25.0, 150.0, 60.0), (13.9, 100.0, 20.0)])
    def test_one_short_message_changes_nothing_and_two_are_believed(self, speed, full, short, phase):
        drive = on_a_long_road(speed, full)
        drive.run(6.0 + phase * 0.02)
        begin = len(drive.published)
        for _ in range(2):
            shown_for_messages(drive, short, 1)
            drive.run(1.0)
        assert max(message.mode for message in drive.published[begin:]) <= Mode.REDUCED, "the fallback would be slower"
        assert not [message for message in drive.published[begin:] if "RECOVERY_UNSEEN" in codes(message)]
        shown_for_messages(drive, short, 2)
        drive.sight_m = short
        assert drive.run(0.22).mode is Mode.FALLBACK, "a cycle between two checks"

    def test_every_other_message_may_be_short(self):
        drive = on_a_long_road(25.0, 150.0)
        drive.run(6.0)
        begin = len(drive.published)
        for tick in range(400):
            drive.sight_m = 60.0 if tick // 5 % 2 else 150.0
            drive.step()
        assert max(message.mode for message in drive.published[begin:]) <= Mode.REDUCED

    def test_plans_are_held_against_the_longer_of_the_newest_two_messages(self):
        inputs = Inputs(CONFIG)
        inputs.history = history(15.0)
        for number, (end, passes) in enumerate([(60.0, True), (20.0, True), (20.0, False), (60.0, True)]):
            now = Now(STAMP + number, STAMP + number)
            inputs.receive(replace(lane(end), stamp_ns=now.stamp_ns), now)
            plan = make_plan(STAMP, straight_poses(15.0))
            judgement = PlanGuard(CONFIG, CORE_HASH).judge(plan, inputs, motion_at(15.0), None, now)
            assert judgement.passed == passes, number

    def test_a_message_of_long_ago_confirms_nothing(self):
        inputs, limit_s = Inputs(CONFIG), CONFIG.freshness.lanes_data_s
        assert inputs.newest_lanes == []
        ages = []
        for late_s in (0.0, limit_s, 2 * limit_s + 0.01):
            now = Now(STAMP + round(late_s * 1e9), STAMP + round(late_s * 1e9))
            inputs.receive(replace(lane(60.0), stamp_ns=now.stamp_ns), now)
            ages.append([(lanes.stamp_ns - STAMP) / 1e9 for lanes in inputs.newest_lanes])
        assert ages == [[0.0], [0.0, limit_s], [pytest.approx(2 * limit_s + 0.01)]]


class TestSpeedThatSightAllows:
    """Sight that is short for the road's speed slows the model down; it does not end the drive."""

    @pytest.mark.parametrize(
        ("limit", "sight_m", "noise_m"), [(25.0, 75.0, 3.0), (13.9, 28.0, 1.0), (36.0, 120.0, 0.0)]
    )
    def test_a_drive_with_short_sight_goes_on_at_what_it_allows(self, limit, sight_m, noise_m):
        drive, rng = on_a_long_road(0.8 * limit, sight_m), np.random.default_rng(1)
        drive.limit_mps = drive.plan_speed = limit
        for _ in range(1200):
            drive.sight_m = sight_m + rng.uniform(-noise_m, noise_m)
            drive.step()
        begin = len(drive.published) - 600
        assert max(message.mode for message in drive.published[begin:]) <= Mode.REDUCED, "the fallback may be slower"
        assert "SIGHT_SPEED" in {code for message in drive.published[begin:] for code in codes(message)}
        most = next(v for v in np.arange(limit, 0.0, -0.05) if stop_m(v) + FRONT + MARGIN_M <= sight_m)
        speeds = np.array([row[2] for row in drive.log[begin:]])
        assert 0.8 * most < speeds.min() <= speeds.max() < 0.97 * most < limit

    @pytest.mark.parametrize("end", [10.0, 20.0, 60.0, 150.0])
    def test_the_speed_is_a_share_of_the_highest_that_passes(self, end):
        cap = sight_cap([lane(end)], motion_at(0.0), VEHICLE, FOLLOWS_S, MARGIN_M, STOP)
        most = cap / SIGHT_SHARE
        assert sight(end, most) is None
        assert sight(end, most + 0.1).code == "RECOVERY_UNSEEN"

    def test_it_counts_the_farther_of_two_messages_from_the_front(self):
        def cap(ends, x=0.0):
            seen = [lane(end) for end in ends]
            return sight_cap(seen, motion_at(0.0, x=x), VEHICLE, FOLLOWS_S, MARGIN_M, STOP)

        assert cap([20.0, 60.0]) == cap([60.0, 20.0]) == cap([60.0]) > cap([20.0])
        assert cap([60.0], x=40.0) == pytest.approx(cap([20.0]))
        assert cap([]) == math.inf
        assert cap([FRONT + MARGIN_M]) == cap([1.0]) == 0.0

    def test_a_plan_counts_as_it_is_driven_and_the_vehicle_as_it_moves(self):
        """20 m/s are planned, 10 m/s are driven: the plan's speed is clipped, that of the vehicle is not."""
        end = stop_m(12.0) + FRONT + MARGIN_M
        fast, slow = steady(20.0), steady(10.0)
        cap = sight_cap([lane(end)], motion_at(10.0), VEHICLE, FOLLOWS_S, MARGIN_M, STOP)
        assert 10.5 < cap < 12.0
        assert sight(end, 10.0, fast, motion_at(10.0)) is None
        assert sight(end, 20.0, slow, motion_at(12.5)).code == "RECOVERY_UNSEEN"
        for planned, code in ((10.0, "RECOVERY_UNSEEN"), (20.0, None)):
            pushing = replace(steady(planned), acceleration_mps2=np.full(11, 3.0))
            end = stop_m(11.5) + FRONT + MARGIN_M
            reason = sight(end, 10.0, pushing, motion_at(10.0))
            assert (reason.code if reason else None) == code, "below the cap a plan's acceleration is driven, not above"

    def test_a_plan_that_is_clipped_pushes_as_hard_as_it_takes_to_get_there_and_no_harder(self):
        """To 0.9 of 5 m/s within 0.6 s: with 3 m/s^2 from 2.7 m/s, with 1 m/s^2 from 3.9."""
        end, hurried = stop_m(5.0) + FRONT + MARGIN_M, replace(steady(20.0), acceleration_mps2=np.full(11, 3.0))
        for v, pushing in ((2.7, 3.0), (3.9, 1.0)):
            cap = sight_cap([lane(end)], motion_at(v), VEHICLE, FOLLOWS_S, MARGIN_M, STOP)
            way = FOLLOWS_S * (v + cap) / 2 + stop_m(cap, 0.0, pushing)
            reason = sight(end, v, hurried, motion_at(v))
            assert (reason is None) == (way <= stop_m(5.0)), v
            if reason is not None:
                assert reason.measured == pytest.approx(way, abs=0.05)

    def test_judgements_tell_what_the_plan_is_clipped_to(self):
        end = stop_m(16.0) + FRONT + MARGIN_M
        notes = {note.code: note for note in judge(end, 15.0)[2].notes}
        assert notes["SIGHT_SPEED"].measured == pytest.approx(15.0, abs=0.1)
        assert notes["SIGHT_SPEED"].limit == pytest.approx(16.0 * SIGHT_SHARE, abs=0.1)
        assert "SIGHT_SPEED" not in found(judge(200.0, 15.0)[2].notes)


def test_the_readme_says_how_far_lanes_have_to_be_seen():
    def least(passes):
        return [next(m for m in range(300) if passes(m, kmh / 3.6)) for kmh in (30, 50, 100, 130)]

    def drives(room, speed):
        return sight_cap([lane(FRONT + room)], motion_at(0.0), VEHICLE, FOLLOWS_S, MARGIN_M, STOP) >= speed

    a, b, c, d = least(drives)
    stops = ", ".join(str(m) for m in least(lambda room, speed: sight(FRONT + room, speed) is None))
    text = README.read_text()
    assert f"less far than {a} m at 30 km/h, {b} m at 50, {c} m at 100, {d} m at 130: the model drives slower" in text
    assert f"less far than a stop takes ({stops} m): `RECOVERY_UNSEEN`, L2" in text
    told = f"longer one, less `sight_margin_m` ({MARGIN_M:g} m); a stop on {STANDING_M} m"
    assert f"{told}, a standing vehicle's: up to {PAST_END_M} m past" in text
    assert f"plan's speed {FOLLOWS_S:g} s from now | {SIGHT_SHARE} of the highest" in text
