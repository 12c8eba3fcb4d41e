"""Are a message's fields of the types that its class declares? Checked before anything is done with them.

What comes over the wire was decoded by a schema; what comes from code of the same process was not. A field of another
type must be a refused message, never an exception in the middle of a tick. So must a whole number of more than 64 bits:
ZeroMQ's JSON has no limit, and no array holds it.
"""

from __future__ import annotations

import dataclasses
import operator
import types
import typing
from collections.abc import Callable

import numpy as np

KNOWN_MAX = 64
"""Combinations of field types remembered per class."""

Accepts = Callable[[object], bool]
WHOLE = (int, np.integer)

INT64_MAX = 2**63 - 1
"""The largest whole number that every field, array and transport holds."""


def require_types(message: object) -> None:
    """Hold every field of a dataclass against its annotation, elements of tuples and nested dataclasses included.

    A whole number is accepted for a float, and NumPy's scalars for both; for an array of floating-point numbers one of
    any such precision alone, for what is done with it is done in them.

    Raises:
        TypeError: a field has another type, or a whole number more than 64 bits.
    """
    for name, accepts, expected in _fields(type(message)):
        if not accepts(getattr(message, name)):
            value = getattr(message, name)
            found = "a larger number" if isinstance(value, int) and not fits(value) else type(value).__name__
            raise TypeError(f"{type(message).__name__}.{name}: expected {expected}, found {found}")


_FIELDS: dict[type, tuple[tuple[str, Accepts, str], ...]] = {}


def _fields(kind: type) -> tuple[tuple[str, Accepts, str], ...]:
    if kind not in _FIELDS:
        hints = typing.get_type_hints(kind)
        fields = dataclasses.fields(kind)
        _FIELDS[kind] = tuple((field.name, _accepts(hints[field.name]), str(field.type)) for field in fields)
    return _FIELDS[kind]


def _accepts(hint: object) -> Accepts:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is np.ndarray:
        (kind,) = {np.dtype(scalar).kind for scalar in typing.get_args(arguments[1])}
        return lambda value: isinstance(value, np.ndarray) and value.dtype.kind == kind
    if origin is tuple:
        element = _accepts(arguments[0])
        return lambda value: isinstance(value, tuple) and all(map(element, value))
    if origin is dict:
        key, item = _accepts(arguments[0]), _accepts(arguments[1])
        return lambda value: isinstance(value, dict) and all(key(k) and item(v) for k, v in value.items())
    if origin in (typing.Union, types.UnionType):
        among = [_accepts(argument) for argument in arguments]
        return lambda value: any(accepts(value) for accepts in among)
    if hint is type(None):
        return lambda value: value is None
    if not isinstance(hint, type):
        raise TypeError(f"message fields are numbers, words, arrays, tuples, dicts or dataclasses; found {hint!r}")
    if dataclasses.is_dataclass(hint):
        return _accepts_dataclass(hint)
    if hint is float:
        return lambda value: isinstance(value, (float, np.floating)) or _is_whole(value)
    if hint is int:
        return _is_whole
    if hint is bool:
        return lambda value: isinstance(value, (bool, np.bool_))
    return lambda value: isinstance(value, hint)


def _accepts_dataclass(kind: type) -> Accepts:
    rows = _fields(kind)
    values_of = operator.attrgetter(*(name for name, _, _ in rows))
    hints = typing.get_type_hints(kind)
    plain = all(hints[name] in (float, int, bool, str) for name, _, _ in rows)
    known: dict[tuple[type, ...], tuple[int, ...]] = {}

    def accepts(value: object) -> bool:
        if not isinstance(value, kind):
            return False
        values = values_of(value)
        found = tuple(map(type, values))
        whole = known.get(found)
        if whole is not None:
            return all(fits(values[index]) for index in whole)
        sound = all(accepts_field(item) for (_, accepts_field, _), item in zip(rows, values, strict=True))
        # Plain values are judged by their types, so types that were sound once always are; whole numbers by size, too.
        if sound and plain and len(known) < KNOWN_MAX:
            known[found] = tuple(index for index, kind_of in enumerate(found) if issubclass(kind_of, WHOLE))
        return sound

    return accepts


def fits(value: int) -> bool:
    """Whether a whole number has 64 bits at most."""
    return -INT64_MAX - 1 <= value <= INT64_MAX


def _is_whole(value: object) -> bool:
    return isinstance(value, WHOLE) and not isinstance(value, bool) and fits(int(value))
