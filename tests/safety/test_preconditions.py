"""Thresholds, the own rate, latency and what engaging needs; and the settings on a slippery road: every limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import SHADOW, Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import VEHICLE_PROFILE, FallbackSettings, FreshnessLimits, LadderSettings
from onboard_vla.safety.config_file import config_hash
from onboard_vla.safety.friction import for_friction
from onboard_vla.safety.ladder_state import Request
from onboard_vla.safety.preconditions import (
    change_obstacle,
    engaging_obstacles,
    latency_requests,
    standing_requests,
    threshold_requests,
    tick_gap_requests,
)

from .driving_range import DECLARED, make_thresholds, simulation_config

SIMULATED = simulation_config()
ON_VEHICLE = replace(SIMULATED, profile=VEHICLE_PROFILE, odd=DECLARED, thresholds=make_thresholds(provisional=False))


def figures(requests):
    return [(r.level, r.reason.code, r.reason.measured, r.reason.limit) for r in requests]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (SIMULATED, []),
        (ON_VEHICLE, []),
        (replace(SIMULATED, thresholds=None), [(Mode.FALLBACK, "THRESHOLDS_MISSING", 0.0, 1.0)]),
        (replace(ON_VEHICLE, thresholds=None), [(Mode.FALLBACK, "THRESHOLDS_MISSING", 0.0, 1.0)]),
        (replace(ON_VEHICLE, thresholds=make_thresholds()), [(Mode.FALLBACK, "THRESHOLDS_PROVISIONAL", 1.0, 0.0)]),
        (replace(SIMULATED, thresholds=make_thresholds(provisional=False)), []),
    ],
)
def test_without_measured_thresholds_the_fallback_is_the_best(config, expected):
    assert figures(threshold_requests(config)) == expected


@pytest.mark.parametrize(
    ("gap_ms", "expected"),
    [
        (40, []),
        (50, [(Mode.NOMINAL, "TICK_GAP", 0.05, 0.04)]),
        (190, [(Mode.NOMINAL, "TICK_GAP", 0.19, 0.04)]),
        (191, [(Mode.IN_LANE_STOP, "TICK_STARVED", 0.191, 0.19)]),
    ],
)
def test_ticks_that_come_too_late_are_reported_and_then_stop_the_vehicle(gap_ms, expected):
    before = 5_000_000_000
    assert figures(tick_gap_requests(before, Now(before + gap_ms * 1_000_000, 0), FreshnessLimits())) == expected
    assert tick_gap_requests(None, Now(before, 0), FreshnessLimits()) == []


def test_who_asks_for_it_has_the_stop_at_forty_milliseconds():
    strict = FreshnessLimits(tick_gap_stop_s=0.04)
    assert tick_gap_requests(0, Now(40_000_000, 0), strict) == []
    assert figures(tick_gap_requests(0, Now(41_000_000, 0), strict)) == [
        (Mode.IN_LANE_STOP, "TICK_STARVED", 0.041, 0.04)
    ]


@pytest.mark.parametrize(
    ("ages", "late"),
    [
        ([], None),
        ([0.8], None),
        ([0.9], 0.9),
        ([0.1] * 19 + [0.9], None),  # one in twenty: the nineteenth is the 95th percentile
        ([0.1] * 18 + [0.9, 1.0], 0.9),
        ([1.0, 0.9] + [0.1] * 18, 0.9),
        ([0.1] * 20 + [0.9], None),
        ([0.1] * 9 + [0.9], 0.9),
    ],
)
def test_the_95th_percentile_of_the_plans_ages_is_held_against_the_budget(ages, late):
    expected = [] if late is None else [(Mode.REDUCED, "PLAN_LATENCY", late, 0.8)]
    assert figures(latency_requests(ages, 0.8)) == expected


@pytest.mark.parametrize(("late", "died"), [(False, False), (True, False), (False, True), (True, True)])
def test_what_stands_from_before_is_asked_for_together(late, died):
    expected = [(Mode.FALLBACK, "THRESHOLDS_MISSING", 0.0, 1.0)]
    expected += [(Mode.REDUCED, "PLAN_LATENCY", 0.9, 0.8)] * late
    expected += [(Mode.NOMINAL, "SUPERVISOR_RESTARTED", 1.0, 0.0)] * died
    config = replace(SIMULATED, thresholds=None)
    assert figures(standing_requests(config, [0.9] if late else [0.1], died)) == expected


class TestEngaging:
    REDUCED = Request(Mode.REDUCED, Reason("ODD_SPEED", 1.0, 0.0, ""))
    FALLBACK = Request(Mode.FALLBACK, Reason("ODD_LIGHT", 1.0, 0.0, ""))
    STOP = Request(Mode.IN_LANE_STOP, Reason("ODD_AREA", 1.0, 0.0, ""))
    FAILED = Reason("SELF_TEST", 1.0, 0.0, "")

    UNHEARD = Reason("DRIVER_UNHEARD", 0.0, 1.0, "")

    def obstacles(self, config, domain=(), failed=None, driver=None):
        return [reason.code for reason in engaging_obstacles(config, list(domain), failed, driver)]

    def test_nothing_stands_against_it_in_the_declared_domain(self):
        assert self.obstacles(SIMULATED) == self.obstacles(ON_VEHICLE) == []

    def test_leaving_the_domain_and_a_failed_self_test_do(self):
        found = self.obstacles(SIMULATED, [self.REDUCED, self.FALLBACK, self.STOP], self.FAILED)
        assert found == ["ODD_SPEED", "ODD_LIGHT", "SELF_TEST"]

    def test_an_undeclared_domain_does_on_a_vehicle_alone(self):
        open_domain = replace(DECLARED, areas=())
        assert self.obstacles(replace(SIMULATED, odd=open_domain)) == []
        assert len(self.obstacles(replace(ON_VEHICLE, odd=open_domain))) == 1

    def test_a_driver_of_whom_nothing_is_known_does_on_a_vehicle_alone(self):
        assert self.obstacles(ON_VEHICLE, driver=self.UNHEARD) == ["DRIVER_UNHEARD"]
        assert self.obstacles(SIMULATED, driver=self.UNHEARD) == []

    def test_to_watch_alone_does_and_says_so_by_its_figures(self):
        watching = engaging_obstacles(replace(SIMULATED, authority=SHADOW), [], None, None)
        assert [(r.code, r.measured, r.limit) for r in watching] == [("SHADOW_ONLY", 1.0, 0.0)]


class TestChanging:
    OTHER = replace(SIMULATED, ladder=LadderSettings(dwell_s=3.0))
    WATCHING = replace(SIMULATED, authority=SHADOW)

    @pytest.mark.parametrize("engagement", [e for e in Engagement if e is not Engagement.STANDBY])
    def test_nothing_changes_while_somebody_drives(self, engagement):
        against = change_obstacle(SIMULATED, self.WATCHING, engagement, 0.0)
        assert (against.code, against.measured, against.limit) == ("CONFIG_CHANGE_REFUSED", 1.0, 0.0)
        hash_ = config_hash(SIMULATED)[:12]
        assert against.detail == f"{engagement.value}: settings change in standby alone; {hash_} holds"

    @pytest.mark.parametrize(
        ("speed", "refused"), [(None, False), (0.09, False), (-0.09, False), (0.1, True), (-5.0, True)]
    )
    def test_what_moves_is_changed_in_its_authority_alone(self, speed, refused):
        against = change_obstacle(SIMULATED, self.OTHER, Engagement.STANDBY, speed)
        assert (against is not None) is refused
        assert change_obstacle(SIMULATED, self.WATCHING, Engagement.STANDBY, speed) is None
        if against is not None:
            assert (against.measured, against.limit) == (abs(speed), 0.1)
            hash_ = config_hash(SIMULATED)[:12]
            assert against.detail == f"{abs(speed):.2f} m/s: settings change at standstill alone; {hash_} holds"


class TestFriction:
    def test_a_dry_road_changes_nothing(self):
        assert for_friction(FallbackSettings(), 0.8) == FallbackSettings()

    def test_ice_bounds_every_acceleration_by_what_the_tyres_give(self):
        """0.8 of 0.15 times 9.81 m/s^2 is 1.1772 m/s^2 of usable braking."""
        usable = 0.8 * 0.15 * 9.81
        found = for_friction(FallbackSettings(), 0.15)
        assert found.idm.clip_mps2 == pytest.approx(usable)
        assert found.idm.brake_start_mps2 == pytest.approx(0.8 * usable)
        assert found.idm.comfort_mps2 == found.sight_deceleration_mps2 == pytest.approx(0.6 * usable)
        assert found.idm.acceleration_mps2 == pytest.approx(0.5 * usable)
        assert found.curve_deceleration_mps2 == found.over_speed_mps2 == pytest.approx(0.5 * usable)
        assert found.lateral_acceleration_mps2 == pytest.approx(0.5 * 0.15 * 9.81)
        assert found.idm.time_gap_s == FallbackSettings().idm.time_gap_s

    def test_a_wet_road_bounds_what_is_beyond_it_alone(self):
        """At 0.4: 3.139 m/s^2 of braking, 1.962 m/s^2 in curves; the rest lies below its bound."""
        found = for_friction(FallbackSettings(), 0.4)
        assert found.idm.clip_mps2 == pytest.approx(3.1392)
        assert found.lateral_acceleration_mps2 == pytest.approx(1.962)
        assert found.idm.acceleration_mps2 == FallbackSettings().idm.acceleration_mps2
