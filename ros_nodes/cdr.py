"""Messages that come fifty times a second, read from the bytes that DDS carries.

rclpy makes an object of every nested message and an array of every covariance: 0.15 ms of processor time for one
odometry message, of which a node needs ten numbers. What is read here looks like the message, as far as it is read.

Layout: plain CDR, little endian (OMG DDS-XTypes 1.3, 7.4.1 and 7.6.2): four bytes that say so, then all fields in their
order, each aligned to its size counted from there; a string has its length, with the zero at its end, before it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from onboard_vla.core.errors import WireError

PLAIN_CDR = b"\0\1"
"""Little endian; who sends anything else is read by rclpy."""
BEGIN = 4
COVARIANCE_BYTES = 36 * 8
_STAMP, _LENGTH, _POSE, _TWIST = (struct.Struct(layout) for layout in ("<iI", "<I", "<7d", "<6d"))


class Stamp(NamedTuple):
    """builtin_interfaces/Time."""

    sec: int
    nanosec: int


class Header(NamedTuple):
    """std_msgs/Header."""

    stamp: Stamp
    frame_id: str


class Vector(NamedTuple):
    """geometry_msgs/Point and Vector3."""

    x: float
    y: float
    z: float


class Quaternion(NamedTuple):
    """geometry_msgs/Quaternion."""

    x: float
    y: float
    z: float
    w: float


class Pose(NamedTuple):
    """geometry_msgs/Pose."""

    position: Vector
    orientation: Quaternion


class Twist(NamedTuple):
    """geometry_msgs/Twist and Accel."""

    linear: Vector
    angular: Vector


class PoseOf(NamedTuple):
    """geometry_msgs/PoseWithCovariance, without the latter."""

    pose: Pose


class TwistOf(NamedTuple):
    """geometry_msgs/TwistWithCovariance, without the latter."""

    twist: Twist


class AccelOf(NamedTuple):
    """geometry_msgs/AccelWithCovariance, without the latter."""

    accel: Twist


class Odometry(NamedTuple):
    """nav_msgs/Odometry."""

    header: Header
    child_frame_id: str
    pose: PoseOf
    twist: TwistOf


class TwistStamped(NamedTuple):
    """geometry_msgs/TwistWithCovarianceStamped."""

    header: Header
    twist: TwistOf


class AccelStamped(NamedTuple):
    """geometry_msgs/AccelWithCovarianceStamped."""

    header: Header
    accel: AccelOf


def aligned(at: int, size: int) -> int:
    """The place of the next field of this size."""
    return at + (BEGIN - at) % size


def read_text(data: bytes, at: int) -> tuple[str, int]:
    """A string and the place after it."""
    at = aligned(at, 4)
    (length,) = _LENGTH.unpack_from(data, at)
    end = at + 4 + length
    if not length or end > len(data) or data[end - 1]:
        raise WireError(f"a string of {length} bytes does not end inside its message of {len(data)} bytes")
    return data[at + 4 : end - 1].decode(), end


def read_header(data: bytes) -> tuple[Header, int]:
    """The header that stands first, and the place after it."""
    stamp = Stamp(*_STAMP.unpack_from(data, BEGIN))
    frame_id, at = read_text(data, BEGIN + 8)
    return Header(stamp, frame_id), at


def read_odometry(data: bytes) -> Odometry:
    """nav_msgs/Odometry."""
    header, at = read_header(data)
    child_frame_id, at = read_text(data, at)
    at = aligned(at, 8)
    pose = _POSE.unpack_from(data, at)
    twist = _twist(data, at + _POSE.size + COVARIANCE_BYTES)
    return Odometry(header, child_frame_id, PoseOf(Pose(Vector(*pose[:3]), Quaternion(*pose[3:]))), TwistOf(twist))


def read_twist(data: bytes) -> TwistStamped:
    """geometry_msgs/TwistWithCovarianceStamped."""
    header, at = read_header(data)
    return TwistStamped(header, TwistOf(_twist(data, aligned(at, 8))))


def read_accel(data: bytes) -> AccelStamped:
    """geometry_msgs/AccelWithCovarianceStamped."""
    header, at = read_header(data)
    return AccelStamped(header, AccelOf(_twist(data, aligned(at, 8))))


def _twist(data: bytes, at: int) -> Twist:
    values = _TWIST.unpack_from(data, at)
    if at + _TWIST.size + COVARIANCE_BYTES > len(data):
        raise WireError(f"the covariance runs past the end of the message of {len(data)} bytes")
    return Twist(Vector(*values[:3]), Vector(*values[3:]))
