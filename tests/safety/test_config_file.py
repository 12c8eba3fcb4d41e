"""The configuration file: the tables that write it check it, and what is wrong is said in one line."""

from __future__ import annotations

import dataclasses
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from onboard_vla.core.errors import BundleError, ConfigurationError
from onboard_vla.safety.config import (
    FallbackSettings,
    FreshnessLimits,
    IdmSettings,
    LadderSettings,
    SupervisorConfig,
)
from onboard_vla.safety.config_documents import EXAMPLE, README, groups, with_tables
from onboard_vla.safety.config_file import config_hash, read_config, write_config
from onboard_vla.safety.operating_domain import OperationalDesignDomain

from .driving_range import make_thresholds


@pytest.fixture
def read(tmp_path):
    """Reads a text as a configuration file."""

    def from_text(text, encoding="utf-8"):
        path = tmp_path / "vehicle.yaml"
        path.write_bytes(text.encode(encoding))
        return read_config(path, yaml.compose)

    return from_text


def test_the_shipped_file_and_the_readme_are_the_tables():
    assert EXAMPLE.read_text("utf-8") == write_config(SupervisorConfig()), (
        "run python -m onboard_vla.safety.config_documents"
    )
    readme = README.read_text("utf-8")
    assert readme == with_tables(readme), "run python -m onboard_vla.safety.config_documents"
    assert "| `ego_stop_s` | 0.2 | 0.04 to 1 s |" in readme


def test_the_shipped_file_holds_every_setting_with_its_default_as_a_plain_yaml_parser_reads_it():
    def defaults(kind):
        return {
            field.name: list(field.default) if isinstance(field.default, tuple) else field.default
            for field in dataclasses.fields(kind)
            if "source" in field.metadata
        }

    document = yaml.safe_load(EXAMPLE.read_text("utf-8"))
    for where, kind in groups():
        table = document
        for key in where.split(".") if where else ():
            table = table[key]
        written = {key: value for key, value in table.items() if not isinstance(value, dict)}
        if not where:
            assert (written.pop("schema"), written.pop("thresholds")) == (1, "")
        assert written == defaults(kind), where
    assert sum(line.strip().startswith("#") for line in EXAMPLE.read_text("utf-8").splitlines()) > 150


def test_the_shipped_file_reads_back_as_the_defaults():
    assert read_config(EXAMPLE, yaml.compose) == SupervisorConfig()


@hypothesis_settings(max_examples=40, deadline=None, derandomize=True)
@given(st.data())
def test_any_settings_survive_the_file_to_the_bit(tmp_path_factory, data):
    def drawn(kind):
        return {
            field.name: data.draw(st.floats(field.metadata["low"], field.metadata["high"], allow_subnormal=False))
            for field in data.draw(st.lists(st.sampled_from(dataclasses.fields(kind)), max_size=3))
            if type(field.default) is float
        }

    idm = IdmSettings(**drawn(IdmSettings))
    fallback = {k: v for k, v in drawn(FallbackSettings).items() if k != "idm"} if data.draw(st.booleans()) else {}
    if "speed_cap_mps" in fallback:
        fallback["speed_cap_mps"] = min(fallback["speed_cap_mps"], OperationalDesignDomain().speed_max_mps)
    config = SupervisorConfig(
        fallback=FallbackSettings(idm=idm, **fallback), ladder=LadderSettings(**drawn(LadderSettings))
    )
    path = tmp_path_factory.mktemp("c") / "c.yaml"
    path.write_text(write_config(config))

    again = read_config(path, yaml.compose)

    assert again == config
    assert config_hash(again) == config_hash(config)


def test_what_is_left_out_keeps_its_default(read):
    config = read("schema: 1\nfallback:\n  idm:\n    comfort_mps2: 1.5\n")

    assert config == SupervisorConfig(fallback=FallbackSettings(idm=IdmSettings(comfort_mps2=1.5)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("just words", "expected a table of keys and values, found 'just words'"),
        ("profile: vehicle\n", "schema: expected 1, found none"),
        ("schema: 2\n", "schema: expected 1, found '2'"),
        ("schema: 1\nprofile: [vehicle\n", "is no YAML"),
        ("schema: 1\nprofile: race\n", "line 2: profile: expected one word of vehicle, simulation, found 'race'"),
        ("schema: 1\nprofile: vehicle\nprofile: simulation\n", "line 3: profile: expected each key once"),
        ("schema: 1\nfreshnes:\n  ego_warn_s: 0.1\n", "line 3: freshnes is no setting: expected one of profile"),
        ("schema: 1\nfreshness:\n  ego_warn: 0.1\n", "line 3: freshness.ego_warn is no setting: expected one"),
        ("schema: 1\nfreshness:\n\n  ego_warn_s: 7\n", "line 4: freshness.ego_warn_s: expected 0.02 to 1 s, found '7'"),
        ("schema: 1\nfreshness:\n  ego_warn_s: .nan\n", "expected 0.02 to 1 s, found '.nan'"),
        ("schema: 1\nfreshness:\n  ego_warn_s: nan\n", "expected 0.02 to 1 s, found 'nan'"),
        ("schema: 1\nfreshness:\n  ego_warn_s: -.inf\n", "found '-.inf'"),
        ("schema: 1\nfreshness:\n  ego_warn_s: '0.1'\n", "expected 0.02 to 1 s, found '0.1'"),
        ("schema: 1\nfreshness:\n  ego_warn_s: true\n", "found 'true'"),
        ("schema: 1\nfreshness:\n  ego_warn_s:\n", "found ''"),
        ("schema: 1\nfreshness:\n  ego_warn_s: [0.1]\n", "found 'a seq'"),
        ("schema: 1\nfreshness: 3\n", "freshness: expected a table of keys and values, found '3'"),
        ("schema: 1\nfreshness:\n  ego_warn_s: 0.3\n", "expected ego_warn_s <= ego_stop_s <= ego_emergency_s"),
        ("schema: 1\nladder:\n  window: 3.0\n", "expected a whole number from 1 to 10 plans, found '3.0'"),
        ("schema: 1\nladder:\n  window: 0x3\n", "found '0x3'"),
        ("schema: 1\nladder:\n  fallback_max_s: 1:30\n", "expected 1 to 600 s, found '1:30'"),
        ("schema: 1\ncameras: [back, left]\n", "expected 'front' among them"),
        ("schema: 1\ncameras: front\n", "cameras: expected a list of distinct words"),
        ("schema: 1\ncameras: [front, front]\n", "cameras: expected a list of distinct words"),
        ("schema: 1\ncameras: [front, 7]\n", "cameras: expected a list of distinct words"),
        ("schema: 1\nvehicle:\n  length_m: 480\n", "vehicle.length_m: expected 1 to 20 m, found '480'"),
        ("schema: 1\n? [a]\n: 1\n", "is no setting"),
        ("schema: 1\nthresholds: 3\n", "thresholds: expected a path"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_with_place_expectation_and_finding(read, text, says):
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "vehicle.yaml" in str(caught.value)


def test_numbers_are_what_python_reads_not_what_yaml_makes_of_them(read):
    assert read("schema: 1\nfreshness:\n  future_s: 1e-3\n").freshness.future_s == 1e-3
    assert read("schema: 1\nladder:\n  shadow_passes: 010\n").ladder.shadow_passes == 10


def test_a_file_that_cannot_be_read_or_is_no_text_is_named(read, tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_config(tmp_path / "absent.yaml", yaml.compose)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read("schema: 1 # ä", encoding="latin-1")


def test_the_thresholds_file_is_found_from_the_files_folder_and_is_part_of_the_hash(read, tmp_path):
    make_thresholds().save(tmp_path / "thresholds.json")
    config = read("schema: 1\nthresholds: thresholds.json\n")

    assert config.thresholds == make_thresholds()
    assert config_hash(config) != config_hash(SupervisorConfig())
    with pytest.raises(BundleError, match="absent"):
        read("schema: 1\nthresholds: absent.json\n")


def test_the_hash_tells_apart_the_smallest_change_and_nothing_else():
    def stop(value):
        return config_hash(SupervisorConfig(freshness=FreshnessLimits(ego_stop_s=value)))

    assert stop(0.2) == config_hash(SupervisorConfig())
    assert stop(math.nextafter(0.2, 1.0)) != stop(0.2)
    assert config_hash(SupervisorConfig(ladder=LadderSettings(dwell_s=2))) == config_hash(SupervisorConfig())
    assert len(stop(0.2)) == 64


def test_every_setting_changes_the_hash():
    seen = {config_hash(SupervisorConfig())}
    for where, kind in groups():
        for field in dataclasses.fields(kind):
            if "unit" not in field.metadata:
                continue
            value = field.metadata["low"] if field.default != field.metadata["low"] else field.metadata["high"]
            changed = _with(SupervisorConfig(), [*where.split("."), field.name], type(field.default)(value))
            seen.add(config_hash(changed))
    count = sum("unit" in field.metadata for _, kind in groups() for field in dataclasses.fields(kind))
    assert len(seen) == count + 1


def _with(table, keys, value):
    """A copy with one value deep inside changed, past the checks between values."""
    clone = object.__new__(type(table))
    clone.__dict__.update(table.__dict__)
    inner = value if len(keys) == 1 else _with(getattr(table, keys[0]), keys[1:], value)
    object.__setattr__(clone, keys[0], inner)
    return clone
