"""The supervisor's settings as options that may change while it runs: keys as in the configuration file, with dots.

What says which vehicle, sensors and processes there are is not among them, nor are lists of words: the file has those.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from onboard_vla.core.process import Option, OptionValue
from onboard_vla.core.validated import Validated
from onboard_vla.safety.config import SupervisorConfig

FIXED = frozenset({"profile", "perception", "planner_process", "guard_process", "vehicle", "camera_guard"})
"""Keys of the file, and their groups, that hold from start to end."""


def setting_options(kind: type = SupervisorConfig, where: str = "") -> Iterator[Option]:
    """One option a number or word of the configuration; the default is the configuration's own."""
    hints = typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        key = f"{where}{field.name}"
        if key in FIXED:
            continue
        if isinstance(hints[field.name], type) and issubclass(hints[field.name], Validated):
            yield from setting_options(hints[field.name], f"{key}.")
        elif "unit" in field.metadata and isinstance(field.default, (int, float)):
            about = field.metadata
            limits = float(about["low"]), float(about["high"])
            yield Option(
                key, type(field.default), field.default, about["source"], *limits, unit=about["unit"], changeable=True
            )
        elif "source" in field.metadata and isinstance(field.default, str):
            among = field.metadata["among"]
            yield Option(key, str, field.default, field.metadata["source"], changeable=True, choices=among)


def settings_of(config: SupervisorConfig) -> dict[str, OptionValue]:
    """The values in effect, by option."""
    return {option.name: _value(config, option.name.split(".")) for option in setting_options()}


def with_settings(config: SupervisorConfig, values: Mapping[str, OptionValue]) -> SupervisorConfig:
    """A configuration with other values.

    Raises:
        ConfigurationError: a value is out of range, or values do not fit each other.
    """
    nested: dict[str, Any] = {}
    for key, value in values.items():
        *groups, name = key.split(".")
        inside = nested
        for group in groups:
            inside = inside.setdefault(group, {})
        inside[name] = value
    changed: SupervisorConfig = _replace(config, nested)
    return changed


def _replace(table: Any, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any of the tables
    return dataclasses.replace(
        table,
        **{
            name: _replace(getattr(table, name), value) if isinstance(value, dict) else value
            for name, value in values.items()
        },
    )


def _value(table: Any, keys: list[str]) -> OptionValue:  # noqa: ANN401 - any of the tables
    for key in keys:
        table = getattr(table, key)
    assert isinstance(table, (str, int, float))
    return table
