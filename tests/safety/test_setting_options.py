"""The supervisor's settings as options, and back."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.setting_options import setting_options, settings_of, with_settings
from onboard_vla.safety.supervisor_host import supervisor_role


def test_every_setting_reads_back_and_setting_it_to_what_it_is_changes_nothing() -> None:
    config = SupervisorConfig()

    values = settings_of(config)

    assert list(values) == [option.name for option in setting_options()]
    assert values["freshness.ego_stop_s"] == config.freshness.ego_stop_s
    assert values["authority"] == "drive"
    assert with_settings(config, values) == config
    assert all(option.default == values[option.name] for option in setting_options())


def test_what_says_which_vehicle_and_processes_there_are_is_no_setting() -> None:
    names = {option.name for option in setting_options()}

    assert not names & {"profile", "perception", "planner_process", "thresholds", "cameras"}
    assert not any(name.startswith(("vehicle.", "camera_guard.")) for name in names)


@pytest.mark.parametrize("name", ["freshness.ego_stop_s", "ladder.rejections", "fallback.idm.time_gap_s"])
def test_a_setting_is_replaced_where_it_stands_and_nowhere_else(name) -> None:
    config = SupervisorConfig()
    value = settings_of(config)[name] * 1.0 if "ladder" not in name else 1
    option = next(option for option in setting_options() if option.name == name)
    other = option.maximum if isinstance(value, float) and "ego" not in name else value
    other = 0.25 if "ego" in name else other

    changed = settings_of(with_settings(config, {name: other}))

    assert changed[name] == other
    assert {key: found for key, found in changed.items() if key != name} == {
        key: found for key, found in settings_of(config).items() if key != name
    }


def test_ranges_are_those_of_the_configuration() -> None:
    for option in setting_options():
        if option.ranged:
            beyond = option.maximum + (1 if option.kind is int else 0.001)
            with pytest.raises(ConfigurationError):
                with_settings(SupervisorConfig(), {option.name: option.kind(beyond)})


def test_settings_given_at_start_lie_over_the_file(tmp_path) -> None:
    path = tmp_path / "vehicle.yaml"
    path.write_text("schema: 1\nfreshness:\n  ego_stop_s: 0.3\n  ego_warn_s: 0.15\n")
    role = supervisor_role(yaml.compose)

    host = role.build({**role.values({"config": str(path), "realtime_priority": 0}), "freshness.ego_stop_s": 0.25})

    assert host.settings()["freshness.ego_stop_s"] == 0.25
    assert host.settings()["freshness.ego_warn_s"] == 0.15


def test_a_host_in_standby_takes_settings_and_says_why_it_does_not() -> None:
    role = supervisor_role(yaml.compose)
    host = role.build(role.values({"realtime_priority": 0}))

    assert host.change({"freshness.ego_stop_s": 0.25}) is None
    assert host.settings()["freshness.ego_stop_s"] == 0.25
    assert "expected ego_warn_s <= ego_stop_s" in host.change({"freshness.ego_stop_s": 0.05})
    assert host.settings()["freshness.ego_stop_s"] == 0.25
    assert dataclasses.asdict(SupervisorConfig())["freshness"]["ego_stop_s"] == 0.2
