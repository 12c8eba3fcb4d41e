"""The versioned wire schema: core messages as bytes, for ZeroMQ, recordings, and ROS topics without an own message.

Layout, little endian: magic b"OBV1", uint32 header length, header (UTF-8 JSON: version, kind, fields), then the bytes
of all arrays in the order in which the header names them, each padded to 8 bytes. Decoding validates everything against
the dataclass: unknown kinds, versions, fields, types, shapes and leftovers are refused, never repaired. Values are not
judged here (NaN passes through so that the guards see and report it).
"""

from __future__ import annotations

import dataclasses
import json
import struct
import typing
from enum import Enum
from functools import cache
from typing import Any

import numpy as np

from onboard_vla.core.cameras import CameraCalibration, CameraFrame, CameraModel, CompressedFrame
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.errors import WireError
from onboard_vla.core.indicators import SafetyIndicators
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand, SafeTrajectory
from onboard_vla.core.settings import SettingsReply, SettingsRequest
from onboard_vla.core.supervision import Supervision
from onboard_vla.core.verdict import Verdict

WIRE_VERSION = 7
MAGIC = b"OBV1"
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
"""Upper bound of one message; six raw 1920x1280 pictures would still pass one by one."""

Message = (
    CameraFrame
    | CompressedFrame
    | CameraCalibration
    | CameraModel
    | EgoState
    | WheelSpeed
    | ObjectList
    | Route
    | LaneObservation
    | OperatingConditions
    | Plan
    | PlanRejection
    | Heartbeat
    | Verdict
    | SafeTrajectory
    | OperatorCommand
    | DriverState
    | SafetyIndicators
    | SettingsRequest
    | SettingsReply
    | Supervision
)
MESSAGE_TYPES: dict[str, type] = {cls.__name__: cls for cls in typing.get_args(Message)}


def encode(message: Message) -> bytes:
    """Serialise one core message.

    Raises:
        WireError: the object is no core message or a field has the wrong type, dtype or shape.
    """
    kind = type(message).__name__
    if MESSAGE_TYPES.get(kind) is not type(message):
        raise WireError(f"cannot send a {kind}: expected one of {', '.join(sorted(MESSAGE_TYPES))}")
    arrays: list[np.ndarray] = []
    fields = _dump(message, arrays, kind)
    header = json.dumps({"version": WIRE_VERSION, "kind": kind, "fields": fields}, separators=(",", ":")).encode()
    parts = [MAGIC, struct.pack("<I", len(header)), header, _padding(8 + len(header))]
    for array in arrays:
        parts.append(array.data.cast("B") if array.size else b"")  # type: ignore[arg-type]
        parts.append(_padding(array.nbytes))
    data = b"".join(parts)
    if len(data) > MAX_MESSAGE_BYTES:
        raise WireError(f"{kind} has {len(data)} bytes, the limit is {MAX_MESSAGE_BYTES}")
    return data


def decode(data: bytes | bytearray | memoryview) -> Message:
    """Read one core message; arrays are read-only views into `data`.

    Raises:
        WireError: anything about the bytes is not as `encode` writes it.
    """
    view = memoryview(data).cast("B").toreadonly()
    if not 8 <= len(view) <= MAX_MESSAGE_BYTES:
        raise WireError(f"message of {len(view)} bytes: expected 8 to {MAX_MESSAGE_BYTES}")
    if bytes(view[:4]) != MAGIC:
        raise WireError(f"message starts with {bytes(view[:4])!r}: expected {MAGIC!r}")
    (header_length,) = struct.unpack("<I", view[4:8])
    if 8 + header_length > len(view):
        raise WireError(f"header of {header_length} bytes does not fit in a message of {len(view)}")
    try:
        header = json.loads(bytes(view[8 : 8 + header_length]).decode())
        version, kind, fields = header["version"], header["kind"], header["fields"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WireError(f"header is not the expected JSON: {error}") from None
    if version != WIRE_VERSION:
        raise WireError(f"message has wire version {version!r}: this build reads {WIRE_VERSION}")
    cls = MESSAGE_TYPES.get(kind) if isinstance(kind, str) else None
    if cls is None:
        raise WireError(f"unknown message kind {kind!r}: expected one of {', '.join(sorted(MESSAGE_TYPES))}")
    reader = _ArrayReader(view, 8 + header_length)
    message = _load(cls, fields, reader, kind)
    reader.expect_end()
    return typing.cast(Message, message)


class _ArrayReader:
    """Hands out arrays from the message's tail in order."""

    def __init__(self, view: memoryview, offset: int) -> None:
        self._view, self._offset = view, offset
        self._skip_padding()

    def take(self, dtype: np.dtype[Any], shape: tuple[int, ...], where: str) -> np.ndarray:
        nbytes = dtype.itemsize
        for extent in shape:
            nbytes *= extent
        if self._offset + nbytes > len(self._view):
            raise WireError(f"{where}: array of {nbytes} bytes runs past the end of the message")
        array = np.frombuffer(self._view[self._offset : self._offset + nbytes], dtype).reshape(shape)
        self._offset += nbytes
        self._skip_padding()
        return array

    def expect_end(self) -> None:
        if self._offset != len(self._view):
            raise WireError(f"{len(self._view) - self._offset} bytes are left over after the last field")

    def _skip_padding(self) -> None:
        padding = _padding(self._offset)
        end = self._offset + len(padding)
        if self._view[self._offset : end] != padding:
            raise WireError(f"expected {len(padding)} zero bytes of padding at byte {self._offset}")
        self._offset = end


def _aligned(offset: int) -> int:
    return (offset + 7) // 8 * 8


def _padding(length: int) -> bytes:
    return b"\0" * (_aligned(length) - length)


@cache
def _schema(cls: type) -> tuple[tuple[str, Any, dict[str, Any]], ...]:
    hints = typing.get_type_hints(cls)
    return tuple((f.name, hints[f.name], dict(f.metadata)) for f in dataclasses.fields(cls))


def _dump(value: Any, arrays: list[np.ndarray], where: str) -> dict[str, Any]:
    return {
        name: _dump_field(getattr(value, name), hint, metadata, arrays, f"{where}.{name}")
        for name, hint, metadata in _schema(value.__class__)
    }


def _dump_field(value: Any, hint: Any, metadata: dict[str, Any], arrays: list[np.ndarray], where: str) -> Any:
    if "dtype" in metadata:
        if not isinstance(value, np.ndarray):
            raise WireError(f"{where}: expected an array, found {type(value).__name__}")
        _check_array(value.dtype.name, value.shape, metadata, where)
        arrays.append(np.ascontiguousarray(value))
        return list(value.shape)
    if dataclasses.is_dataclass(hint):
        if type(value) is not hint:
            raise WireError(f"{where}: expected {typing.cast(type, hint).__name__}, found {type(value).__name__}")
        return _dump(value, arrays, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return [_dump_field(item, arguments[0], {}, arrays, f"{where}[{i}]") for i, item in enumerate(value)]
    if origin is dict:
        return {key: _dump_field(item, arguments[1], {}, arrays, f"{where}[{key!r}]") for key, item in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(value).value
    return _scalar(value, hint, where)


def _load(cls: type, fields: Any, reader: _ArrayReader, where: str) -> Any:
    schema = _schema(cls)
    if not isinstance(fields, dict) or list(fields) != [name for name, _, _ in schema]:
        found = list(fields) if isinstance(fields, dict) else type(fields).__name__
        raise WireError(f"{where}: expected fields {[name for name, _, _ in schema]}, found {found}")
    return cls(**{n: _load_field(fields[n], hint, meta, reader, f"{where}.{n}") for n, hint, meta in schema})


def _load_field(value: Any, hint: Any, metadata: dict[str, Any], reader: _ArrayReader, where: str) -> Any:
    if "dtype" in metadata:
        if not isinstance(value, list) or not all(type(extent) is int and extent >= 0 for extent in value):
            raise WireError(f"{where}: expected an array shape, found {value!r}")
        _check_array(metadata["dtype"], tuple(value), metadata, where)
        return reader.take(np.dtype(metadata["dtype"]), tuple(value), where)
    if dataclasses.is_dataclass(hint):
        return _load(typing.cast(type, hint), value, reader, where)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise WireError(f"{where}: expected a list, found {type(value).__name__}")
        return tuple(_load_field(item, arguments[0], {}, reader, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise WireError(f"{where}: expected a table, found {type(value).__name__}")
        return {k: _load_field(item, arguments[1], {}, reader, f"{where}[{k!r}]") for k, item in value.items()}
    if isinstance(hint, type) and issubclass(hint, Enum):
        try:
            return hint(value)
        except ValueError:
            raise WireError(f"{where}: {value!r} is no {hint.__name__}") from None
    return _scalar(value, hint, where)


def _scalar(value: Any, hint: Any, where: str) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if hint is float and type(value) is int:
        value = float(value)
    if type(value) is not hint:
        expected = getattr(hint, "__name__", str(hint))
        raise WireError(f"{where}: expected {expected}, found {type(value).__name__} {value!r}")
    return value


def _check_array(dtype: str, shape: tuple[int, ...], metadata: dict[str, Any], where: str) -> None:
    expected = metadata["shape"]
    fits = len(shape) == len(expected) and all(e is None or e == s for e, s in zip(expected, shape, strict=True))
    if dtype != metadata["dtype"] or not fits:
        raise WireError(f"{where}: expected {metadata['dtype']} of shape {expected}, found {dtype} of shape {shape}")
