"""Single decisions of a supervisor that drives already, asked for directly, with one thing changed at a time."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.plan import PassCount
from onboard_vla.core.road import Signal
from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety import supervisor as module
from onboard_vla.safety.driving import TIMES_S
from onboard_vla.safety.ladder import Request
from onboard_vla.safety.stop_line import Way
from onboard_vla.safety.supervisor import Supervisor

from .driven_range import LADDER, RECOVERY, SPEED, driving
from .driving_range import Range, simulation_config
from .test_no_perception import blind


def asked(drive):
    """The supervisor's own view of this instant."""
    return drive.supervisor, drive.supervisor._motion(drive.now), drive.now


@pytest.fixture
def ready():
    """In L2, one plan before the handback, and everything agrees."""
    drive = driving(Mode.FALLBACK)
    drive.silent.discard("planner")
    while drive.published[-1].shadow_passes < LADDER.shadow_passes - 1:
        drive.step()
        assert drive.tick < 400
    assert drive.published[-1].mode is Mode.FALLBACK
    return drive


class TestHandback:
    def test_where_all_agrees_the_model_is_handed_the_wheel(self, ready):
        supervisor, motion, now = asked(ready)
        assert supervisor.state.shadow_passes == LADDER.shadow_passes - 1
        assert supervisor._handback(motion, now) is True

    def test_not_without_knowing_the_motion_or_a_fallback_to_compare_with(self, ready):
        supervisor, motion, now = asked(ready)
        assert supervisor._handback(None, now) is False
        supervisor._standby.forget()
        assert supervisor._handback(motion, now) is False

    @pytest.mark.parametrize("mode", [Mode.NOMINAL, Mode.IN_LANE_STOP])
    def test_only_in_l2(self, ready, mode):
        supervisor, motion, now = asked(ready)
        supervisor.state = module.replace(supervisor.state, mode=mode)
        assert supervisor._handback(motion, now) is False

    def test_not_before_enough_plans_have_passed(self, ready):
        supervisor, motion, now = asked(ready)
        supervisor.state = module.replace(supervisor.state, shadow_passes=LADDER.shadow_passes - 2)
        assert supervisor._handback(motion, now) is False

    def test_not_without_a_plan_in_force(self, ready):
        supervisor, motion, now = asked(ready)
        supervisor._accepted = None
        assert supervisor._handback(motion, now) is False

    def test_not_on_a_plan_that_changed_too_much_or_was_followed_by_a_refused_one(self, ready):
        supervisor, motion, now = asked(ready)
        steady = supervisor._accepted
        supervisor._accepted = supervisor._judged = module.replace(steady, unsteady=(RECOVERY,))
        assert supervisor._handback(motion, now) is False
        supervisor._accepted, supervisor._judged = steady, module.replace(steady, passed=False)
        assert supervisor._handback(motion, now) is False

    def test_not_on_a_plan_that_could_not_be_placed(self, ready):
        supervisor, motion, now = asked(ready)
        supervisor._accepted = supervisor._judged = module.replace(supervisor._accepted, placed=None)
        assert supervisor._follow(motion, now) is None
        assert supervisor._handback(motion, now) is False


class TestLadderInputs:
    @pytest.fixture
    def told(self, monkeypatch):
        """A supervisor in L2 that would hand back, and what it tells the ladder when it is asked for these levels."""
        drive = driving(Mode.FALLBACK)
        heard = []
        inner = module.step

        def listening(state, inputs, *arguments):
            heard.append(inputs)
            return inner(state, inputs, *arguments)

        monkeypatch.setattr(module, "step", listening)
        monkeypatch.setattr(drive.supervisor, "_handback", lambda motion, now: True)

        def ask(*levels):
            requests = [Request(level, RECOVERY) for level in levels]
            monkeypatch.setattr(drive.supervisor, "_requests", lambda motion, now: list(requests))
            drive.step()
            return heard[-1]

        return ask

    @pytest.mark.parametrize(
        ("levels", "handback"),
        [((), True), ((Mode.REDUCED,), True), ((Mode.NOMINAL, Mode.FALLBACK), False), ((Mode.IN_LANE_STOP,), False)],
    )
    def test_nobody_hands_back_while_l2_or_more_is_asked_for(self, told, levels, handback):
        assert told(*levels).handback is handback

    @pytest.mark.parametrize("mode", [Mode.NOMINAL, Mode.FALLBACK])
    def test_the_standby_plans_as_who_drives_in_l2_alone(self, monkeypatch, mode):
        drive = driving(mode)
        drives = []
        inner = drive.supervisor._standby.refresh

        def listening(*arguments, **named):
            drives.append(named["drives"])
            return inner(*arguments, **named)

        monkeypatch.setattr(drive.supervisor._standby, "refresh", listening)
        drive.step()
        assert drives == [mode is Mode.FALLBACK]


class TestSecondAnswers:
    """Slow plans on pictures that a fast one has answered."""

    def judged(self, drive, monkeypatch, *judgements):
        supervisor = drive.supervisor
        found = iter(judgements)
        monkeypatch.setattr(supervisor._guard, "judge", lambda *arguments: next(found))
        supervisor._inputs.plans.extend((drive.model_plan(), drive.now.monotonic_ns) for _ in judgements)
        return supervisor._judge_plans(supervisor._motion(drive.now), drive.now)

    def slow(self, drive, **changes):
        noted = Reason("SLOW", 1.0, 0.0, "said of the slow one")
        return module.replace(drive.supervisor._accepted, second=True, reasons=(noted,), **changes)

    def test_one_that_is_not_preferred_is_noted_and_the_next_plan_judged(self, monkeypatch):
        drive = driving()
        before = drive.supervisor._accepted
        refused, fast = self.slow(drive, passed=False, placed=None), module.replace(before, plan_id=99)

        outcomes = self.judged(drive, monkeypatch, refused, fast)

        assert drive.supervisor._accepted is fast
        assert [outcome.passed for outcome in outcomes] == [True]
        assert "SLOW" in [noted.code for noted in drive.supervisor._notes]

    def test_one_that_is_preferred_drives_and_counts_for_no_outcome(self, monkeypatch):
        drive = driving()
        good = self.slow(drive)

        assert self.judged(drive, monkeypatch, good) == ()
        assert drive.supervisor._accepted is good
        assert "SLOW" not in [noted.code for noted in drive.supervisor._notes]

    def test_one_of_broken_structure_is_refused_as_any_plan(self, monkeypatch):
        drive = driving()
        broken = self.slow(drive, passed=False, placed=None, hard=True)

        (outcome,) = self.judged(drive, monkeypatch, broken)

        assert (outcome.passed, outcome.hard, drive.supervisor._judged) == (False, True, broken)

    @pytest.mark.parametrize(
        ("passed", "mode", "doubt", "preferred"),
        [
            (True, Mode.NOMINAL, (), True),
            (False, Mode.NOMINAL, (), False),
            (True, Mode.REDUCED, (), False),
            (True, Mode.NOMINAL, (RECOVERY,), False),
        ],
    )
    def test_it_drives_in_l0_alone_where_it_passed_and_agrees(self, passed, mode, doubt, preferred):
        drive = driving()
        drive.supervisor.state = module.replace(drive.supervisor.state, mode=mode)
        slow = SimpleNamespace(passed=passed, doubt=SimpleNamespace(reduce=doubt))
        assert drive.supervisor._prefers(slow) is preferred


class TestStops:
    def test_the_line_is_the_one_that_was_driven_before_the_newest_lane(self, monkeypatch):
        drive = driving()
        supervisor, motion, now = asked(drive)
        lines = []
        inner = module.stop_path
        monkeypatch.setattr(module, "stop_path", lambda line, *more: lines.append(line) or inner(line, *more))
        driven = supervisor._line._followed.line
        supervisor._stop(motion, now, Mode.EMERGENCY_STOP)
        supervisor._line.hand_over()
        supervisor._line._lane = supervisor._line._followed = None
        supervisor._stop(motion, now, Mode.EMERGENCY_STOP)
        lane = supervisor._inputs.lane_line
        assert lines[1] is lane
        assert lines[0].points[: len(driven.points)].tolist() == driven.points.tolist()
        # On to the end of the lane, which is farther than the plan.
        assert lane.length - 14.0 < lines[0].length < lane.length
        assert driven.length < 45.0

    @pytest.mark.parametrize("mode", [Mode.NOMINAL, Mode.FALLBACK])
    def test_of_the_lane_so_much_is_known_as_the_front_may_reach(self, monkeypatch, mode):
        supervisor, motion, now = asked(driving(mode))
        supervisor._stop(motion, now, Mode.IN_LANE_STOP)
        monkeypatch.setattr(supervisor._inputs, "fresh_lanes", lambda now: None)
        stop = supervisor._stop(motion, now, Mode.IN_LANE_STOP)
        end = supervisor._inputs.lane_line.points[-1, 0]
        vehicle, margin_m = supervisor.config.vehicle, supervisor.config.fallback.sight_margin_m
        reach_m = vehicle.length_m - vehicle.rear_overhang_m + margin_m
        assert stop.room_m == pytest.approx(end - motion.x_m - reach_m, abs=1.1)

    def test_without_perception_the_room_is_what_was_checked_last(self):
        drive = blind()
        drive.run(1.0)
        supervisor, motion, now = asked(drive)
        stop = supervisor._stop(motion, now, Mode.IN_LANE_STOP)
        assert stop.leads == ()
        assert stop.room_m == pytest.approx(stop.path.known_m)
        assert stop.room_m == pytest.approx(supervisor._line._followed.line.points[-1, 0] - motion.x_m)

    def test_without_any_line_there_is_always_as_much_of_the_arc_that_is_made_up(self):
        drive = blind()
        drive.run(1.0)
        supervisor, motion, now = asked(drive)
        supervisor._line.hand_over()
        supervisor._line._followed = None
        stop = supervisor._stop(motion, now, Mode.IN_LANE_STOP)
        assert stop.path.known_m == pytest.approx(100.0, abs=1.5)
        assert stop.room_m == math.inf

    @pytest.mark.parametrize(("shown", "harder"), [(True, False), (False, True)])
    def test_what_is_known_is_braked_for_later_where_lanes_show_more_of_it(self, monkeypatch, shown, harder):
        supervisor, motion, now = asked(driving())
        supervisor._line.shown = shown
        length_m = motion.speed_mps**2 / (2 * 2.0)
        line = Polyline([[motion.x_m - 1.0, 0.0], [motion.x_m + length_m, 0.0]])
        monkeypatch.setattr(supervisor._line, "find", lambda *_: Way(line, line.length))
        stop = supervisor._stop(motion, now, Mode.IN_LANE_STOP)
        assert stop.room_m == (math.inf if shown else pytest.approx(length_m))
        assert bool(stop.profile.acceleration_mps2[8] < -1.9) is harder

    @pytest.mark.parametrize(("end_mps", "stands"), [(0.0, True), (0.5, True), (0.51, False)])
    @pytest.mark.parametrize("mode", [Mode.NOMINAL, Mode.FALLBACK])
    def test_no_lane_goes_on_where_the_plan_that_drives_comes_to_a_stand(self, monkeypatch, end_mps, stands, mode):
        supervisor, motion, now = asked(driving(mode))
        accepted = supervisor._accepted
        placed = module.replace(accepted.placed, speed_mps=np.full(len(accepted.placed.speed_mps), end_mps))
        supervisor._accepted = module.replace(accepted, placed=placed)
        followed = []
        monkeypatch.setattr(supervisor._line, "follow", lambda line, **how: followed.append(how))
        supervisor._publish(motion, [], now)
        drives = mode is Mode.NOMINAL
        assert followed == [{"lane": not drives, "stands": drives and stands}]
        assert supervisor._driven[1] == now.monotonic_ns

    def test_where_no_plan_is_placed_none_comes_to_a_stand(self):
        supervisor, _, _ = asked(driving())
        supervisor._accepted = module.replace(supervisor._accepted, placed=None)
        assert supervisor._stands() is False
        supervisor._accepted = None
        assert supervisor._stands() is False

    def test_what_drove_before_is_read_from_now_on(self):
        supervisor, motion, now = asked(driving())
        planned = np.where((TIMES_S >= 1.0) & (TIMES_S <= 2.0), -3.0, 0.0)
        driven = module.replace(supervisor._driven[0], planned_mps2=planned)
        supervisor._driven = driven, now.monotonic_ns - 1_000_000_000
        rows = supervisor._stop(motion, now, Mode.IN_LANE_STOP).profile.acceleration_mps2
        assert rows[5:10] == pytest.approx(np.full(5, -3.0))
        supervisor._driven = driven, now.monotonic_ns - 3_000_000_000
        assert supervisor._stop(motion, now, Mode.IN_LANE_STOP).profile.acceleration_mps2.min() > -1.6
        supervisor._driven = None
        assert supervisor._stop(motion, now, Mode.IN_LANE_STOP).profile.acceleration_mps2.min() > -1.6

    def test_without_a_plan_that_is_placed_the_fallback_is_chosen(self):
        supervisor, motion, now = asked(driving())
        supervisor._accepted = module.replace(supervisor._accepted, placed=None)
        assert supervisor._choose(motion, now)[0] == "fallback"

    def test_who_only_stands_by_publishes_no_points(self):
        drive = Range(simulation_config(ladder=LADDER), speed=SPEED)
        drive.run(0.4)
        message = drive.published[-1]
        assert (message.engagement, message.source, len(message.points)) == (Engagement.STANDBY, "none", 0)
        assert drive.supervisor._stored is None


class TestGate:
    @pytest.mark.parametrize(("needed", "asks"), [(4.01, True), (3.99, False)])
    def test_l4_where_the_path_ends_too_soon_for_the_most_that_l3_may_brake(self, needed, asks):
        supervisor, motion, now = asked(driving())
        room_m = motion.speed_mps**2 / (2 * needed) - supervisor.config.recovery.overrun_m
        stop = module.replace(supervisor._stop(motion, now, Mode.IN_LANE_STOP), leads=(), room_m=room_m)
        supervisor._watch(stop, motion, now)
        assert supervisor._emergency is None
        supervisor._watch(stop, motion, Now(now.monotonic_ns + 300_000_000, now.stamp_ns))
        assert (supervisor._emergency is not None) is asks
        if asks:
            assert supervisor._emergency.level is Mode.EMERGENCY_STOP
            assert supervisor._emergency.reason.measured == pytest.approx(needed)

    @pytest.mark.parametrize(
        ("pressed", "perceives", "asked_again"), [(True, True, 1), (False, True, 0), (True, False, 0)]
    )
    def test_leads_are_looked_at_again_only_where_they_press(self, monkeypatch, pressed, perceives, asked_again):
        drive = driving()
        supervisor, motion, now = asked(drive)
        supervisor._perceives = perceives
        calls = []
        monkeypatch.setattr(supervisor._gate, "pressed", lambda leads, speed: pressed)
        monkeypatch.setattr(supervisor._gate, "lasting", lambda *arguments: calls.append(arguments) or ())
        supervisor._watch(supervisor._choose(motion, now)[2], motion, now)
        assert len(calls) == asked_again

    @pytest.mark.parametrize("own", [True, False])
    def test_signals_press_the_fallbacks_trajectory_alone(self, monkeypatch, own):
        drive = driving(Mode.FALLBACK if own else Mode.NOMINAL)
        drive.signals = (Signal(1, drive.vehicle.x + 60.0, 0.0, "red"),)
        drive.run(0.1)
        supervisor, motion, now = asked(drive)
        signals = []
        monkeypatch.setattr(supervisor._gate, "pressed", lambda leads, speed: True)
        monkeypatch.setattr(
            supervisor._gate, "lasting", lambda path, objects, found, *more: signals.append(found) or ()
        )
        supervisor._watch(supervisor._choose(motion, now)[2], motion, now)
        assert len(signals[0]) == own


class TestWords:
    def test_after_a_life_that_ended_driving_it_must_be_rearmed(self):
        assert Supervisor(simulation_config(), died_driving=True).state.must_rearm is True
        assert Supervisor(simulation_config()).state.must_rearm is False

    def test_an_error_of_any_length_is_told_in_300_letters(self, monkeypatch):
        supervisor = Supervisor(simulation_config())

        def fail(*arguments):
            raise RuntimeError("x" * 1000)

        monkeypatch.setattr(supervisor._inputs, "receive", fail)
        supervisor.receive(PassCount(1, 1, 1), Now(1, 1))
        assert len(supervisor._internal.detail) == 300
        monkeypatch.setattr(supervisor, "_tick", fail)
        supervisor.tick(Now(2, 2))
        assert len(supervisor._internal.detail) == 300

    def test_an_error_nobody_explained_is_told_all_the_same(self):
        supervisor = Supervisor(simulation_config())
        supervisor._internal = None
        (found,) = supervisor._after_error(Now(1, 1)).reasons
        assert (found.code, found.measured, found.limit) == ("INTERNAL_ERROR", 1.0, 0.0)
