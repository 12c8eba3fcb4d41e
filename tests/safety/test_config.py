"""Every configuration value: unit, source, both ends of its range, and what is not a number."""

from __future__ import annotations

import ast
import dataclasses
from pathlib import Path

import pytest

import onboard_vla
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.safety import config as settings
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.config_documents import groups

GROUPS = [group for _, group in groups()]
VALUES = [
    pytest.param(group, field, id=f"{group.__name__}.{field.name}")
    for group in GROUPS
    for field in dataclasses.fields(group)
    if "unit" in field.metadata
]


def test_every_group_is_covered_and_every_number_has_unit_and_source():
    assert len(GROUPS) >= 16
    for group in GROUPS:
        for field in dataclasses.fields(group):
            if isinstance(field.default, (int, float)):
                assert field.metadata["unit"], field.name
            if isinstance(field.default, (int, float, str, tuple)):
                assert field.metadata["source"], field.name


@pytest.mark.parametrize(("group", "field"), VALUES)
def test_both_ends_are_accepted_and_what_lies_beyond_is_refused(group, field):
    kind = type(field.default)
    low, high = kind(field.metadata["low"]), kind(field.metadata["high"])
    assert low <= field.default <= high
    for value in (low, high):
        assert getattr(group(**{field.name: value}), field.name) == value
    for value in (low - kind(1), high + kind(1), float("nan"), float("inf"), "1", None, True):
        with pytest.raises(ConfigurationError, match=field.name):
            group(**{field.name: value})


def test_every_number_is_read_by_the_code():
    """A setting that nothing reads would promise an integrator what does not happen."""
    root = Path(onboard_vla.__file__).resolve().parents[1]
    read = set()
    for path in (root / "safety").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute):
                read.add(node.attr)
            elif isinstance(node, ast.Constant) and path.name == "camera_guard.py":
                read.add(node.value)
    assert [p.id for p in VALUES if p.id.split(".")[1] not in read] == []


def test_whole_numbers_stay_whole():
    with pytest.raises(ConfigurationError, match="a whole number"):
        settings.LadderSettings(window=3.0)


@pytest.mark.parametrize(
    "change",
    [
        {"profile": "demo"},
        {"cameras": ("back",)},
        {"cameras": ("front", "front")},
        {"ladder": settings.LadderSettings(rejections=4)},
        {"freshness": settings.FreshnessLimits(ego_warn_s=0.3)},
        {"freshness": settings.FreshnessLimits(ego_stop_s=0.6)},
    ],
)
def test_values_that_contradict_each_other_are_refused(change):
    with pytest.raises(ConfigurationError, match="SupervisorConfig"):
        SupervisorConfig(**change)


def test_the_default_profile_is_the_vehicle():
    assert SupervisorConfig().profile == "vehicle"
    assert SupervisorConfig().thresholds is None
