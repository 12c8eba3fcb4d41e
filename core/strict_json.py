"""JSON into dataclasses, refusing anything that does not fit exactly: nothing is repaired, defaulted or ignored."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any, TypeVar

from onboard_vla.core.errors import OnboardVlaError

Fields = TypeVar("Fields")


def load_fields(kind: type[Fields], content: object, where: str, error: type[OnboardVlaError]) -> Fields:
    """Read a dataclass from parsed JSON.

    Fields may be dataclasses, scalars, `X | None`, tuples and string-keyed dicts of those; a dict field with metadata
    `{"open": True}` takes any table. Integers are accepted for floats, bool never for numbers, NaN never.

    Raises:
        error: a field is missing, unknown or ill-typed; the message names it with its path from `where`.
    """
    loaded: Fields = _load_dataclass(kind, content, where, error)
    return loaded


def _load_dataclass(kind: type, value: object, where: str, error: type[OnboardVlaError]) -> Any:  # noqa: ANN401
    if not isinstance(value, dict):
        raise error(f"{where}: expected a table, found {type(value).__name__}")
    hints, fields = typing.get_type_hints(kind), dataclasses.fields(kind)
    names = {f.name for f in fields}
    if missing := sorted(names - set(value)):
        raise error(f"{where}: lacks {', '.join(missing)}")
    if unknown := sorted(set(value) - names):
        raise error(f"{where}: has unknown fields {', '.join(unknown)}")
    loaded = {}
    for f in fields:
        item, path = value[f.name], f"{where}.{f.name}"
        if f.metadata.get("open") and isinstance(item, dict):
            loaded[f.name] = item
        else:
            loaded[f.name] = _load(hints[f.name], item, path, error)
    return kind(**loaded)


def _load(kind: Any, value: object, where: str, error: type[OnboardVlaError]) -> Any:  # noqa: ANN401
    if dataclasses.is_dataclass(kind):
        return _load_dataclass(typing.cast(type, kind), value, where, error)
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is types.UnionType:
        return None if value is None else _load(arguments[0], value, where, error)
    if origin is tuple:
        if not isinstance(value, list):
            raise error(f"{where}: expected a list, found {type(value).__name__}")
        if arguments[-1] is not Ellipsis and len(value) != len(arguments):
            raise error(f"{where}: expected {len(arguments)} entries, found {len(value)}")
        return tuple(_load(arguments[0], item, f"{where}[{i}]", error) for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise error(f"{where}: expected a table, found {type(value).__name__}")
        return {k: _load(arguments[1], v, f"{where}[{k!r}]", error) for k, v in value.items()}
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (isinstance(value, float) and not math.isfinite(value)):
        raise error(f"{where}: expected {kind.__name__}, found {type(value).__name__} {value!r}")
    return value
