"""How each type of ROS message is read: from its bytes where that is much cheaper, by rclpy otherwise."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from rclpy.serialization import deserialize_message, serialize_message

from onboard_vla.core.errors import WireError
from onboard_vla.ros_nodes.cdr import PLAIN_CDR, read_accel, read_odometry, read_twist
from onboard_vla.ros_nodes.topics import ACCELERATION, ODOMETRY, TRAJECTORY, TWIST
from onboard_vla.ros_nodes.trajectory_cdr import read_trajectory

READERS: dict[str, Callable[[bytes], Any]] = {
    ODOMETRY: read_odometry,
    ACCELERATION: read_accel,
    TWIST: read_twist,
    TRAJECTORY: read_trajectory,
}
"""By type; the codecs of these types take what the readers make."""


def read(type_name: str, kind: type, data: bytes) -> Any:  # noqa: ANN401 - a message, or what looks like it
    """What the codec of this type takes, from serialised bytes; `kind` is the type's class.

    Raises:
        WireError: the bytes are no message of this type.
    """
    reader = READERS.get(type_name)
    try:
        if reader is None:
            return deserialize_message(data, kind)
        if data[:2] != PLAIN_CDR:
            # Another byte order: rclpy reads every one, and writes the one that is read here.
            data = serialize_message(deserialize_message(data, kind))
        return reader(data)
    except (struct.error, ValueError, RuntimeError) as error:  # the last is rclpy's
        raise WireError(f"{type_name} of {len(data)} bytes cannot be read: {error}") from None


def written(packed: Any) -> bytes:  # noqa: ANN401 - a ROS message, or its bytes
    """The bytes of what a codec packs."""
    return packed if isinstance(packed, bytes) else bytes(serialize_message(packed))
