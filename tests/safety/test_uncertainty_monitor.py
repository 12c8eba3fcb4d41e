"""The planner's doubt: both sides of every threshold, the worst of the last plans, and what is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.plan import Uncertainty
from onboard_vla.core.thresholds import DELIVERED, SIGNALS, Threshold
from onboard_vla.safety.guards.uncertainty import CODES, DoubtMonitor, Reading, values_of

from .driving_range import VALUES, make_thresholds
from .plans import found


def signals(spread=0.1, outside=0.0, chosen=1.0, second=0.0, apart=2.0, ood=None, step=7):
    row = np.zeros(10, np.float32)
    rows = row + np.float32(0.05), row.copy(), row + 1, row.copy(), row.copy()
    for values, value in zip(rows, (spread, outside, chosen, second, apart), strict=True):
        values[step] = value
    return Uncertainty(*rows, 0.1, ood or {})


def judge(uncertainty, others=None, thresholds=None, monitor=None):
    return (monitor or DoubtMonitor(thresholds or make_thresholds(), 0.8)).judge(uncertainty, others or {})


def with_vision(value=4.0):
    made = make_thresholds()
    return replace(made, limits=(*made.limits, Threshold("vision_ood", value, "nominal q99", "above", "test")))


class TestThresholds:
    @pytest.mark.parametrize(
        ("change", "reject", "reduce"),
        [
            ({}, set(), set()),
            ({"spread": 0.499}, set(), set()),
            ({"spread": 0.501}, set(), {"SPREAD_RAISED"}),
            ({"spread": 0.999}, set(), {"SPREAD_RAISED"}),
            ({"spread": 1.001}, {"SPREAD"}, {"SPREAD_RAISED"}),
            ({"outside": 0.0499}, set(), set()),
            ({"outside": 0.0501}, {"OUTSIDE_MASS"}, set()),
            ({"chosen": 0.101}, set(), set()),
            ({"chosen": 0.099}, set(), {"CHOSEN_MASS"}),
            ({"second": 0.149}, set(), set()),
            ({"second": 0.151}, set(), {"TWO_PLANS"}),
            ({"second": 0.49, "apart": 0.74}, set(), set()),
            ({"second": 0.49, "apart": 0.751}, set(), {"TWO_PLANS"}),
            ({"spread": -0.01}, {"DOUBT_RANGE"}, set()),
            ({"chosen": 1.01}, {"DOUBT_RANGE"}, set()),
            ({"outside": -0.01}, {"DOUBT_RANGE"}, set()),
            ({"second": 1.01, "apart": 0.1}, {"DOUBT_RANGE"}, set()),
            ({"apart": -0.01}, {"DOUBT_RANGE"}, set()),
        ],
    )
    def test_both_sides_of_every_threshold_at_the_worst_step(self, change, reject, reduce):
        doubt = judge(signals(**change))
        assert (found(doubt.reject), found(doubt.reduce)) == (reject, reduce)

    @pytest.mark.parametrize("name", [name for name in CODES if name.split("_")[0] in ("change", "standby", "slow")])
    def test_both_sides_of_every_comparison_with_other_plans(self, name):
        for factor, codes in ((0.99, set()), (1.01, {CODES[name][0]})):
            doubt = judge(signals(), {name: Reading(VALUES[name] * factor)})
            assert (found(doubt.reduce), found(doubt.reject)) == (codes, set())
        assert len([n for n in CODES if n.split("_")[0] in ("change", "standby", "slow")]) == 6

    def test_every_signal_of_the_thresholds_is_judged(self):
        assert set(CODES) | {"spread_fallback", "outside_mass"} == set(SIGNALS) | set(DELIVERED)

    def test_no_file_may_raise_the_outside_mass_and_none_is_needed_for_it(self):
        limits = tuple(replace(x, value=1.0) if x.signal == "outside_mass" else x for x in make_thresholds().limits)
        generous = replace(make_thresholds(), limits=limits)
        assert found(judge(signals(outside=0.06), thresholds=generous).reject) == {"OUTSIDE_MASS"}
        without = DoubtMonitor(None, 0.8)
        assert found(without.judge(signals(outside=0.06), {}).reject) == {"OUTSIDE_MASS"}
        assert without.judge(signals(spread=5.0), {}).reject == ()

    def test_a_reason_says_which_step_and_how_many_plans_ago(self):
        monitor = DoubtMonitor(make_thresholds(), 0.8)
        reason = judge(signals(spread=0.7, step=3), monitor=monitor).reduce[0]
        assert (reason.code, reason.measured, reason.limit) == ("SPREAD_RAISED", pytest.approx(0.7), 0.5)
        assert reason.detail.endswith("step 4")
        later = judge(signals(spread=0.6, step=5), monitor=monitor).reduce[0]
        assert later.measured == pytest.approx(0.7)
        assert later.detail.endswith("step 4, 1 plans ago")


class TestWindow:
    def test_the_worst_of_five_plans_counts_never_their_mean(self):
        monitor = DoubtMonitor(make_thresholds(), 0.8)
        assert found(judge(signals(spread=0.6, chosen=0.05), monitor=monitor).reduce) == {
            "SPREAD_RAISED",
            "CHOSEN_MASS",
        }
        for _ in range(4):
            assert found(judge(signals(), monitor=monitor).reduce) == {"SPREAD_RAISED", "CHOSEN_MASS"}
        last = judge(signals(), monitor=monitor)
        assert (last.reduce, last.calm) == ((), True)

    def test_a_spike_refuses_its_own_plan_alone(self):
        monitor = DoubtMonitor(make_thresholds(), 0.8)
        assert found(judge(signals(spread=1.2), monitor=monitor).reject) == {"SPREAD"}
        after = judge(signals(), monitor=monitor)
        assert (found(after.reject), found(after.reduce)) == (set(), {"SPREAD_RAISED"})

    @pytest.mark.parametrize(
        ("change", "others", "calm"),
        [
            ({"spread": 0.399}, {}, True),
            ({"spread": 0.401}, {}, False),
            ({"chosen": 0.126}, {}, True),
            ({"chosen": 0.124}, {}, False),
            ({"second": 0.119}, {}, True),
            ({"second": 0.121}, {}, False),
            ({}, {"standby_speed": Reading(2.39)}, True),
            ({}, {"standby_speed": Reading(2.41)}, False),
            ({"outside": 0.06}, {}, False),
        ],
    )
    def test_calm_begins_beyond_the_exit_fraction_of_every_limit(self, change, others, calm):
        assert judge(signals(**change), others).calm is calm


class TestMassOutsideOfTheFirstStepAlone:
    @staticmethod
    def first(outside, **others):
        return replace(signals(**others), outside_mass=np.array([outside], np.float32))

    def test_it_is_judged_by_the_same_limit(self):
        for outside, codes in ((0.049, set()), (0.051, {"OUTSIDE_MASS"})):
            doubt = judge(self.first(outside))
            assert found(doubt.reject) == codes
        assert doubt.reject[0].detail.endswith("step 1")

    def test_that_the_others_are_unknown_is_said_and_they_have_no_value(self):
        assert judge(self.first(0.0)).absent == ("vision_ood", "outside_mass behind the first step")
        assert "outside_mass behind the first step" in DoubtMonitor(None, 0.8).judge(self.first(0.0), {}).absent
        assert judge(signals()).absent == ("vision_ood",)

    def test_the_other_signals_are_judged_at_every_step(self):
        assert found(judge(self.first(0.0, spread=1.2)).reject) == {"SPREAD"}
        assert found(judge(self.first(-0.01)).reject) == {"DOUBT_RANGE"}
        assert found(judge(self.first(0.0, chosen=1.01)).reject) == {"DOUBT_RANGE"}


class TestVision:
    def test_a_delivered_signal_is_judged_per_camera_and_names_the_worst(self):
        for worst, codes in ((3.99, set()), (4.01, {"VISION_OOD"})):
            doubt = judge(signals(ood={"front": 1.0, "back": worst, "front_left": 2.0}), thresholds=with_vision())
            assert (found(doubt.reduce), doubt.reject, doubt.absent) == (codes, (), ())
        assert doubt.reduce[0].detail.endswith("camera back")

    def test_what_no_bundle_delivers_is_absent_by_name_and_has_no_value(self):
        doubt = judge(signals())
        assert (doubt.absent, doubt.reject, doubt.reduce) == (("vision_ood",), (), ())

    def test_a_limit_without_a_signal_or_a_signal_without_a_limit_refuses_the_plan(self):
        assert found(judge(signals(), thresholds=with_vision()).reject) == {"SIGNAL_MISSING"}
        assert found(judge(signals(ood={"front": 0.1})).reject) == {"THRESHOLD_MISSING"}

    def test_a_distance_below_zero_is_no_distance(self):
        assert found(judge(signals(ood={"front": -0.1}), thresholds=with_vision()).reject) == {"DOUBT_RANGE"}


class TestExactly:
    """Values that are equal to a limit hold it; limits are chosen that float32 can hold."""

    def limits(self, **values):
        made = make_thresholds()
        return replace(made, limits=tuple(replace(x, value=values.get(x.signal, x.value)) for x in made.limits))

    def test_a_value_at_its_limit_is_no_alarm_and_one_at_the_exit_level_is_calm(self):
        thresholds = self.limits(spread_reduce=0.5, spread_fallback=0.5, chosen_mass=0.25, outside_mass=0.03125)
        monitor = DoubtMonitor(thresholds, 0.5)
        doubt = monitor.judge(signals(spread=0.5, chosen=0.25, outside=0.03125), {})
        assert (doubt.reject, doubt.reduce, doubt.calm) == ((), (), False)
        calm = DoubtMonitor(thresholds, 0.5).judge(signals(spread=0.25, chosen=0.5), {})
        assert calm.calm

    def test_a_mass_of_one_is_calm_however_high_its_limit(self):
        assert DoubtMonitor(self.limits(chosen_mass=0.9), 0.8).judge(signals(chosen=1.0), {}).calm

    def test_without_thresholds_calm_means_that_nothing_is_refused(self):
        assert DoubtMonitor(None, 0.8).judge(signals(), {}).calm
        assert not DoubtMonitor(None, 0.8).judge(signals(outside=0.06), {}).calm

    def test_what_is_missing_is_reported_as_none_of_one(self):
        for uncertainty, thresholds in ((signals(), with_vision()), (signals(ood={"front": 0.1}), make_thresholds())):
            reason = judge(uncertainty, thresholds=thresholds).reject[0]
            assert (reason.measured, reason.limit) == (0.0, 1.0)

    def test_the_least_of_all_cameras_must_be_a_distance(self):
        doubt = judge(signals(ood={"front": -0.1, "back": 1.0}), thresholds=with_vision())
        assert found(doubt.reject) == {"DOUBT_RANGE"}

    def test_rounding_beyond_one_passes(self):
        row = np.full(10, 1.0 + 0.0009765625, np.float32)
        assert found(judge(replace(signals(), chosen_mass=row)).reject) == set()


def test_groups_three_quarters_of_a_metre_apart_are_two_plans():
    assert [reason.code for reason in judge(signals(second=0.4, apart=0.75)).reduce] == ["TWO_PLANS"]
    assert judge(signals(second=0.4, apart=0.7421875)).reduce == ()


def test_values_are_those_of_the_worst_steps_by_name():
    made = signals(spread=0.5, outside=0.25, chosen=0.125, second=0.375, ood={"front": 2.0, "back": 3.0})
    assert values_of(made) == {
        "spread_reduce": 0.5, "outside_mass": 0.25, "chosen_mass": 0.125, "second_mass": 0.375, "vision_ood": 3.0,
    }  # fmt: skip


@pytest.mark.parametrize(("beyond", "codes"), [(0.0009, []), (0.0011, ["DOUBT_RANGE"])])
def test_a_thousandth_is_rounding(beyond, codes):
    for doubt in (judge(signals(chosen=1.0 + beyond)), judge(signals(spread=-beyond))):
        assert [reason.code for reason in doubt.reject] == codes
