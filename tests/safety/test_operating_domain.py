"""The operational design domain: inside nothing is asked, outside each aspect asks for its mode, unknown is outside."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.conditions import LIGHTS, ROAD_CLASSES, WEATHERS, OperatingConditions
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.safety.config import FallbackSettings, SupervisorConfig
from onboard_vla.safety.operating_domain import DomainWatch, OperationalDesignDomain, undeclared

from .driving_range import DECLARED

S = 1_000_000_000
HERE = OperatingConditions(10 * S, "urban", "day", "dry", "test")


def at(seconds, data_s=None):
    return Now(round(seconds * S), round((seconds if data_s is None else data_s) * S))


def watch(domain=DECLARED, message=HERE, received_s=10.0):
    watched = DomainWatch(domain, 0.005)
    if message is not None:
        watched.receive(message, at(received_s))
    return watched


def asked(watched, speed=5.0, seconds=10.1, data_s=None):
    return [(r.level, r.reason.code) for r in watched.requests(speed, at(seconds, data_s))]


def test_inside_nothing_is_asked():
    assert asked(watch()) == []


@pytest.mark.parametrize(
    ("aspect", "word", "level", "code"),
    [
        ("road_class", "motorway", 2, "ODD_ROAD_CLASS"),
        ("light", "night_lit", 2, "ODD_LIGHT"),
        ("weather", "fog", 2, "ODD_WEATHER"),
        ("area", "elsewhere", 3, "ODD_AREA"),
        ("weather", "a word of nobody's", 2, "ODD_WEATHER"),
        ("road_class", "", 2, "ODD_UNKNOWN"),
        ("area", "", 2, "ODD_UNKNOWN"),
    ],
)
def test_each_aspect_that_is_left_asks_for_its_mode(aspect, word, level, code):
    watched = watch(message=replace(HERE, **{aspect: word}))
    assert asked(watched) == [(level, code)]
    (request,) = watched.requests(5.0, at(10.1))
    assert request.outside
    assert aspect in request.reason.detail
    figures = (0.0, 1.0) if word == "" else (1.0, 0.0)
    assert (request.reason.measured, request.reason.limit) == figures


@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("aspect", ["road_class", "light", "weather", "area"])
def test_the_mode_is_the_tables(aspect, level):
    domain = replace(DECLARED, **{f"{aspect}_level": level})
    assert asked(watch(domain, replace(HERE, **{aspect: "other"})))[0][0] == level
    unknown = replace(DECLARED, unknown_level=level)
    assert asked(watch(unknown, replace(HERE, **{aspect: ""}))) == [(level, "ODD_UNKNOWN")]
    assert asked(watch(unknown, None)) == [(level, "ODD_CONDITIONS_MISSING")]


def test_every_aspect_that_is_left_is_named():
    watched = watch(message=OperatingConditions(10 * S, "rural", "twilight", "", "elsewhere"))
    assert [code for _, code in asked(watched)] == ["ODD_ROAD_CLASS", "ODD_LIGHT", "ODD_UNKNOWN", "ODD_AREA"]


@pytest.mark.parametrize(
    ("domain", "words"), [("road_classes", ROAD_CLASSES), ("lights", LIGHTS), ("weathers", WEATHERS)]
)
def test_every_word_can_be_declared_and_then_is_inside(domain, words):
    aspect = {"road_classes": "road_class", "lights": "light", "weathers": "weather"}[domain]
    for word in words:
        assert asked(watch(replace(DECLARED, **{domain: (word,)}), replace(HERE, **{aspect: word}))) == []
    with pytest.raises(ConfigurationError, match=domain):
        OperationalDesignDomain(**{domain: ("another",)})


def test_a_stamp_ahead_by_no_more_than_the_tolerance_is_believed():
    assert asked(watch(message=replace(HERE, stamp_ns=HERE.stamp_ns + 5_000_000))) == []
    assert asked(watch(message=replace(HERE, stamp_ns=HERE.stamp_ns + 5_000_001))) == [
        (2, "ODD_CONDITIONS_FROM_FUTURE")
    ]


def test_missing_declarations_are_counted_and_named():
    assert undeclared(DECLARED) is None
    reason = undeclared(OperationalDesignDomain(lights=("day",)))
    assert (reason.measured, reason.limit) == (3.0, 0.0)
    assert reason.detail == "not declared: road_class, weather, area"


def test_what_is_not_declared_need_not_be_known():
    assert asked(watch(OperationalDesignDomain(), None)) == []
    only_light = OperationalDesignDomain(lights=("day",))
    assert asked(watch(only_light, OperatingConditions(10 * S, "", "day", "", ""))) == []
    assert asked(watch(only_light, None)) == [(2, "ODD_CONDITIONS_MISSING")]


def test_silence_and_age_count_on_their_own_clocks_each_with_its_figure():
    watched = watch()
    assert asked(watched, seconds=13.0) == []
    (request,) = watched.requests(5.0, at(13.01))
    assert (request.reason.code, request.reason.measured, request.reason.limit) == (
        "ODD_CONDITIONS_SILENT", pytest.approx(3.01), 3.0)  # fmt: skip
    assert asked(watched, seconds=11.0, data_s=13.01) == [(2, "ODD_CONDITIONS_STALE")]
    assert asked(watched, seconds=11.0, data_s=13.0) == []


@pytest.mark.parametrize("stamp_s", [10.0, 9.0])
def test_conditions_no_newer_than_the_last_refresh_nothing_and_change_nothing(stamp_s):
    watched = watch()
    watched.receive(replace(HERE, stamp_ns=round(stamp_s * S), weather="fog"), at(12.9))
    assert asked(watched, seconds=12.95) == []
    assert asked(watched, seconds=13.01) == [(2, "ODD_CONDITIONS_SILENT")]


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (replace(HERE, stamp_ns=11 * S), "ODD_CONDITIONS_FROM_FUTURE"),
        (replace(HERE, stamp_ns=float("nan")), "ODD_CONDITIONS_MALFORMED"),
        (replace(HERE, weather=None), "ODD_CONDITIONS_MALFORMED"),
        (replace(HERE, area=3), "ODD_CONDITIONS_MALFORMED"),
    ],
)
def test_conditions_that_cannot_be_believed_are_a_fault_until_good_ones_come(message, code):
    watched = watch()
    watched.receive(message, at(10.2))
    assert asked(watched, seconds=10.3) == [(2, code)]
    watched.receive(replace(HERE, stamp_ns=round(10.4 * S)), at(10.4))
    assert asked(watched, seconds=10.5) == []


@pytest.mark.parametrize(
    ("message", "figures"),
    [(replace(HERE, weather=None), (1.0, 0.0)), (replace(HERE, stamp_ns=11 * S), (pytest.approx(0.8), 0.005))],
)
def test_conditions_that_cannot_be_believed_say_by_how_much(message, figures):
    watched = watch(message=None)
    watched.receive(message, at(10.2))
    (request,) = watched.requests(5.0, at(10.3))
    assert (request.reason.measured, request.reason.limit) == figures
    (missing,) = watch(message=None).requests(5.0, at(10.3))
    assert (missing.reason.measured, missing.reason.limit) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("speed", "expected"), [(11.0, []), (11.01, [(1, "ODD_SPEED")]), (2.0, []), (1.99, [(1, "ODD_SPEED")])]
)
def test_the_speed_range_holds_with_its_margin(speed, expected):
    domain = replace(DECLARED, speed_min_mps=3.0, speed_max_mps=10.0)
    assert asked(watch(domain), speed=speed) == expected
    assert asked(watch(domain), speed=None) == []


def test_a_fallback_that_would_be_faster_than_the_domain_is_refused():
    slow = OperationalDesignDomain(speed_max_mps=30 / 3.6)
    with pytest.raises(ConfigurationError, match=r"speed_cap_mps: expected at most odd\.speed_max_mps, 8\.33"):
        SupervisorConfig(odd=slow)
    assert SupervisorConfig(odd=slow, fallback=FallbackSettings(speed_cap_mps=8.0)).odd is slow
    with pytest.raises(ConfigurationError, match="speed_min_mps below speed_max_mps"):
        SupervisorConfig(odd=OperationalDesignDomain(speed_min_mps=30.0, speed_max_mps=20.0))
