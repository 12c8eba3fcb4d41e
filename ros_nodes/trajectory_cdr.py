"""trajectory_msgs/MultiDOFJointTrajectory as the bytes that DDS carries (see `cdr.py`), all points at once."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import WireError
from onboard_vla.ros_nodes.cdr import BEGIN, PLAIN_CDR, Header, aligned, read_header, read_text

_FIELDS: Any = {
    "transforms": ("<u4", 0),
    "translation": ("(3,)<f8", 8),
    "rotation": ("(4,)<f8", 32),
    "velocities": ("<u4", 64),
    "velocity": ("(6,)<f8", 72),
    "accelerations": ("<u4", 120),
    "change": ("(6,)<f8", 128),
    "sec": ("<i4", 176),
    "nanosec": ("<u4", 180),
}
POINT: np.dtype[Any] = np.dtype(_FIELDS)
"""A MultiDOFJointTrajectoryPoint with one transform (x, y, z; x, y, z, w), one velocity and one acceleration (linear
x, y, z; angular x, y, z), and its time (s, ns), where it begins on eight bytes. The gaps are alignment."""
GAP = 4
"""Bytes that the first point lacks after its first count when it begins between eights; the next begin on eights."""
_LENGTH = struct.Struct("<I")


class PointRows(NamedTuple):
    """A trajectory's header and `points`, (N,) of `POINT`."""

    header: Header
    points: NDArray[Any]


def write_trajectory(header: Header, joint_name: str, points: NDArray[Any]) -> bytes:
    """`points`: (N,) of `POINT`, whose counts are set here."""
    points["transforms"] = points["velocities"] = points["accelerations"] = 1
    front = bytearray(PLAIN_CDR + b"\0\0")
    front += struct.pack("<iI", *header.stamp)
    for text, count in ((header.frame_id, False), (joint_name, True)):
        if count:
            _number(front, 1)
        encoded = text.encode() + b"\0"
        _number(front, len(encoded))
        front += encoded
    _number(front, len(points))
    body = points.tobytes()
    if len(points) and aligned(len(front), 8) != len(front):
        body = body[:GAP] + body[2 * GAP :]
    return bytes(front) + body


def read_trajectory(data: bytes) -> PointRows:
    """The header and the points.

    Raises:
        WireError: a point has not exactly one transform, velocity and acceleration, or the message ends early.
    """
    header, at = read_header(data)
    names, at = _count(data, at)
    for _ in range(names):
        _, at = read_text(data, at)
    count, at = _count(data, at)
    body = data[at:]
    if count and aligned(at, 8) != at:
        body = body[:GAP] + bytes(GAP) + body[GAP:]
    found = np.frombuffer(body, POINT, min(count, len(body) // POINT.itemsize))
    # Another number of transforms moves all that follow it: what is read then is nonsense, but its count is not 1.
    if any((found[name] != 1).any() for name in ("transforms", "velocities", "accelerations")):
        raise WireError("trajectory: expected one transform, velocity and acceleration per point")
    if len(found) != count:
        raise WireError(f"trajectory: expected {count} points, found {len(data)} bytes, enough for {len(found)}")
    return PointRows(header, found)


def _number(front: bytearray, value: int) -> None:
    front += bytes(aligned(len(front), 4) - len(front)) + _LENGTH.pack(value)


def _count(data: bytes, at: int) -> tuple[int, int]:
    at = aligned(at, 4)
    return int(_LENGTH.unpack_from(data, at)[0]), at + BEGIN
