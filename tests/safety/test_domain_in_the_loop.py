"""The operational design domain in the closed loop: leaving it hands over or stops, and engaging outside is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.safety.config import FallbackSettings, LadderSettings, SupervisorConfig

from .driving_range import DECLARED, Range, codes, make_thresholds, simulation_config

QUICK = LadderSettings(clear_s=0.5, dwell_s=0.4, handback_clear_s=0.4, shadow_passes=3)


def driving(domain=DECLARED, speed=8.0, **config):
    drive = Range(simulation_config(ladder=QUICK, odd=domain, **config), speed=speed)
    drive.limit_mps = drive.plan_speed = speed
    drive.engage(0.7)
    drive.run(2.2)
    assert drive.published[-1].mode is Mode.NOMINAL, codes(drive.published[-1])
    return drive


def test_a_vehicle_that_declared_nothing_of_an_aspect_does_not_engage():
    thresholds = make_thresholds(provisional=False)
    config = SupervisorConfig(thresholds=thresholds, odd=replace(DECLARED, weathers=(), areas=()))
    drive = Range(config, speed=8.0)
    message = drive.engage(0.7)
    assert (message.engagement, [r.code for r in message.refusals]) == (Engagement.STANDBY, ["ODD_UNDECLARED"])
    assert message.refusals[0].detail == "not declared: weather, area"


def test_engaging_outside_of_the_domain_is_refused_though_it_asks_for_a_low_mode_alone():
    drive = Range(simulation_config(odd=replace(DECLARED, weather_level=1)), speed=8.0)
    drive.conditions["weather"] = "rain"
    message = drive.engage(0.7)
    assert (message.engagement, [r.code for r in message.refusals]) == (Engagement.STANDBY, ["ODD_WEATHER"])


def test_rain_hands_over_to_the_fallback_within_a_tick_and_back_when_it_is_over():
    drive = driving()
    while drive.tick % 50:
        drive.step()
    drive.conditions["weather"] = "heavy_rain"
    message = drive.step()
    assert (message.mode, codes(message)) == (Mode.FALLBACK, ["ODD_WEATHER"])
    drive.run(1.0)
    drive.conditions["weather"] = "dry"
    drive.run(4.0)
    assert drive.published[-1].mode <= Mode.REDUCED


def test_leaving_the_mapped_area_ends_in_a_stop():
    drive = driving()
    drive.conditions["area"] = "off the map"
    drive.run(1.1)
    assert drive.published[-1].mode is Mode.IN_LANE_STOP
    drive.run(15.0)
    assert (drive.published[-1].engagement, drive.vehicle.speed) == (Engagement.LATCHED, 0.0)


def test_lost_conditions_lead_to_the_fallback_after_their_age_limit():
    drive = driving()
    drive.silent.add("conditions")
    while drive.step().mode < Mode.FALLBACK:
        assert drive.tick < 1000
    assert "ODD_CONDITIONS_SILENT" in codes(drive.published[-1])
    drive.silent.clear()
    drive.run(5.0)
    assert drive.published[-1].mode <= Mode.REDUCED


def test_the_model_drives_no_faster_than_the_domain_allows():
    slow = replace(DECLARED, speed_max_mps=7.0)
    drive = Range(simulation_config(ladder=QUICK, odd=slow, fallback=FallbackSettings(speed_cap_mps=7.0)), speed=6.0)
    drive.limit_mps = 14.0
    drive.plan_speed = 8.5
    drive.engage(0.7)
    drive.run(12.0)
    assert drive.published[-1].source == "model"
    assert drive.vehicle.speed == pytest.approx(7.0, abs=0.5)
