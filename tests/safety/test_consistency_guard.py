"""A plan against the vehicle, the plan before it and the present path: both sides of every limit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.safety.config import ConsistencyLimits, HandbackLimits
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.consistency import check_agreement, check_consistency, check_steadiness

from .driving_range import straight_poses
from .plans import STAMP, found, placed


class TestConsistency:
    LIMITS = ConsistencyLimits()

    def motion(self, **changes):
        return Motion(**{**dict(x_m=3.0, y_m=0.0, heading_rad=0.0, speed_mps=10.0, acceleration_mps2=0.0,
                                yaw_rate_rps=0.0), **changes})  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            (lambda k: {"speed_mps": 10.0 + 2.0 * k, "x_m": 3.0}, "PLAN_SPEED"),
            (lambda k: {"speed_mps": 10.0 - 2.0 * k}, "PLAN_SPEED"),
            (lambda k: {"y_m": 1.0 * k}, "PLAN_LATERAL"),
            (lambda k: {"y_m": -1.0 * k}, "PLAN_LATERAL"),
            (lambda k: {"x_m": 3.0 + 2.0 * k}, "PLAN_LONGITUDINAL"),
            (lambda k: {"x_m": 3.0 - 2.0 * k}, "PLAN_LONGITUDINAL"),
            (lambda k: {"heading_rad": 0.35 * k}, "PLAN_YAW"),
            (lambda k: {"heading_rad": -0.35 * k}, "PLAN_YAW"),
        ],
    )
    def test_limits_hold_on_both_sides_of_either_sign(self, change, code):
        plan = placed(straight_poses())
        now = STAMP + 300_000_000
        assert found(check_consistency(plan, self.motion(**change(0.99)), now, self.LIMITS)) == set()
        assert found(check_consistency(plan, self.motion(**change(1.01)), now, self.LIMITS)) == {code}

    @pytest.mark.parametrize("side", [1, -1])
    def test_the_plans_own_first_speed_is_held_against_the_vehicles(self, side):
        for excess, expected in ((1.95, set()), (2.05, {"PLAN_START_SPEED"})):
            plan = placed(straight_poses(10.0 + side * excess))
            assert found(check_consistency(plan, self.motion(x_m=0.0), STAMP, self.LIMITS)) == expected
        for acceleration in (3.0, -6.0):
            plan = placed(straight_poses(10.0, acceleration))
            assert plan.own_start_speed_mps == pytest.approx(10.0, abs=1e-3)

    def test_standing_vehicles_get_the_bare_longitudinal_limit(self):
        plan = placed(np.zeros((10, 3)), 0.0)
        still = self.motion(speed_mps=0.0, x_m=0.99)
        assert found(check_consistency(plan, still, STAMP, self.LIMITS)) == set()
        assert found(check_consistency(plan, replace(still, x_m=1.01), STAMP, self.LIMITS)) == {"PLAN_LONGITUDINAL"}

    def test_steady_plans_pass_and_changed_ones_name_what_changed(self):
        limits = HandbackLimits()
        first = placed(straight_poses())
        again = replace(first, stamp_ns=STAMP + 200_000_000)
        assert check_steadiness(again, first, limits) == []
        for name, code, level in (
            ("acceleration_mps2", "UNSTEADY_ACCELERATION", 0.7),
            ("yaw_rate_rps", "UNSTEADY_YAW_RATE", 0.1),
            ("yaw_acceleration_rps2", "UNSTEADY_YAW_ACCELERATION", 0.1),
        ):
            base = np.zeros(11)
            first = replace(first, **{name: base})
            assert found(check_steadiness(replace(again, **{name: base + 0.99 * level}), first, limits)) == set()
            assert found(check_steadiness(replace(again, **{name: base + 1.01 * level}), first, limits)) == {code}
        ramp = np.arange(11) * 0.5
        flat = replace(first, acceleration_mps2=ramp * 0)
        loose = HandbackLimits(acceleration_rms_mps2=5.0)
        assert found(check_steadiness(replace(again, acceleration_mps2=ramp * 0.49), flat, loose)) == set()
        assert found(check_steadiness(replace(again, acceleration_mps2=ramp * 0.51), flat, loose)) == {"UNSTEADY_JERK"}

    def test_plans_far_apart_in_time_are_not_steady(self):
        first = placed(straight_poses())
        later = replace(first, stamp_ns=STAMP + 4_900_000_000)
        assert found(check_steadiness(later, first, HandbackLimits())) == {"UNSTEADY_HORIZON"}

    @pytest.mark.parametrize(("column", "limit", "code"), [(2, 0.3, "HANDBACK_LATERAL"), (3, 0.05, "HANDBACK_HEADING"),
                                                           (4, 1.0, "HANDBACK_SPEED")])  # fmt: skip
    def test_handback_agreement_holds_on_both_sides_over_the_first_second(self, column, limit, code):
        t = np.arange(51) * 0.1
        current = np.column_stack([t, 10 * t, 0 * t, 0 * t, 0 * t + 10, 0 * t])
        for factor, expected in ((0.99, set()), (1.01, {code})):
            model = current.copy()
            model[10, column] += factor * limit
            assert found(check_agreement(model, current, HandbackLimits())) == expected
        model = current.copy()
        model[11, column] += 5 * limit
        assert check_agreement(model, current, HandbackLimits()) == []
