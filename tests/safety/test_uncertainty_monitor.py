"""The planner's doubt: both sides of every threshold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.plan import Uncertainty
from onboard_vla.safety.guards.uncertainty import judge_doubt

from .driving_range import make_thresholds
from .plans import found


class TestDoubt:
    def signals(self, spread=0.1, outside=0.0, chosen=1.0):
        row = np.zeros(10, np.float32)
        spreads, outsides, chosens = row + np.float32(0.05), row.copy(), row + 1
        spreads[7], outsides[7], chosens[7] = spread, outside, chosen
        return Uncertainty(spreads, outsides, chosens, 0.1)

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
            ({"spread": -0.01}, {"DOUBT_RANGE"}, set()),
            ({"chosen": 1.01}, {"DOUBT_RANGE"}, set()),
            ({"outside": -0.01}, {"DOUBT_RANGE"}, set()),
        ],
    )
    def test_both_sides_of_every_threshold_at_the_worst_step(self, change, reject, reduce):
        doubt = judge_doubt(self.signals(**change), make_thresholds(), 0.8)
        assert (found(doubt.reject), found(doubt.reduce)) == (reject, reduce)

    def test_calm_begins_below_the_exit_fraction(self):
        assert judge_doubt(self.signals(spread=0.399), make_thresholds(), 0.8).calm
        assert not judge_doubt(self.signals(spread=0.401), make_thresholds(), 0.8).calm

    def test_no_file_may_raise_the_outside_mass_and_none_is_needed_for_it(self):
        limits = tuple(replace(x, value=1.0) if x.signal == "outside_mass" else x for x in make_thresholds().limits)
        generous = replace(make_thresholds(), limits=limits)
        for thresholds in (generous, None):
            assert found(judge_doubt(self.signals(outside=0.06), thresholds, 0.8).reject) == {"OUTSIDE_MASS"}
            assert found(judge_doubt(self.signals(spread=5.0), None, 0.8).reject) == set()
