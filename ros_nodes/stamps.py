"""Nanosecond stamps, durations and headings as ROS writes them."""

from __future__ import annotations

import math

from builtin_interfaces.msg import Duration, Time
from geometry_msgs.msg import Quaternion

from onboard_vla.core.clock import NANOSECONDS, nanoseconds
from onboard_vla.core.errors import WireError

LAST_SECOND = 2**31 - 1
"""builtin_interfaces/Time counts seconds in an int32."""
NORM_TOLERANCE = 1e-3
"""Largest deviation of a quaternion's norm from 1: single precision and rounding by others, not garbage."""


def split_stamp(stamp_ns: int) -> tuple[int, int]:
    """A stamp's seconds and nanoseconds, exactly.

    Raises:
        WireError: before 1970 or after 2038.
    """
    sec, nanosec = divmod(stamp_ns, NANOSECONDS)
    if not 0 <= sec <= LAST_SECOND:
        raise WireError(f"stamp {stamp_ns} ns does not fit into a ROS time")
    return sec, nanosec


def to_time(stamp_ns: int) -> Time:
    """A stamp as a message; raises as `split_stamp`."""
    sec, nanosec = split_stamp(stamp_ns)
    return Time(sec=sec, nanosec=nanosec)


def from_time(time: Time) -> int:
    """A stamp in nanoseconds.

    Raises:
        WireError: negative, or a second or more in the nanoseconds.
    """
    if time.sec < 0 or time.nanosec >= NANOSECONDS:
        raise WireError(f"time {time.sec} s {time.nanosec} ns is not normalised")
    return int(time.sec) * NANOSECONDS + int(time.nanosec)


def split_duration(duration_s: float) -> tuple[int, int]:
    """A duration's seconds and nanoseconds, rounded to the latter.

    Raises:
        WireError: not finite or beyond 68 years.
    """
    if not abs(duration_s) < LAST_SECOND:
        raise WireError(f"duration {duration_s} s does not fit into a ROS duration")
    return divmod(nanoseconds(duration_s), NANOSECONDS)


def to_duration(duration_s: float) -> Duration:
    """A duration as a message; raises as `split_duration`."""
    sec, nanosec = split_duration(duration_s)
    return Duration(sec=sec, nanosec=nanosec)


def to_quaternion(heading_rad: float) -> Quaternion:
    """Rotation about the vertical axis."""
    return Quaternion(x=0.0, y=0.0, z=math.sin(heading_rad / 2), w=math.cos(heading_rad / 2))


def from_quaternion(q: Quaternion) -> float:
    """Heading in [-pi, pi], whatever roll and pitch are. NaN stays NaN, for the guards to see.

    Raises:
        WireError: no rotation at all, as in a message that was never filled in.
    """
    norm = math.sqrt(q.x * q.x + q.y * q.y + q.z * q.z + q.w * q.w)
    if abs(norm - 1.0) > NORM_TOLERANCE:
        raise WireError(f"orientation ({q.x}, {q.y}, {q.z}, {q.w}) has norm {norm:g}: expected 1")
    return math.atan2(2.0 * (q.w * q.z + q.x * q.y), 1.0 - 2.0 * (q.y * q.y + q.z * q.z))
