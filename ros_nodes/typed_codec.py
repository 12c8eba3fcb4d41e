"""Inputs of the vehicle as messages of onboard_vla_msgs, for who has that package; importing this module needs it."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onboard_vla_msgs import msg
from std_msgs.msg import Header

from onboard_vla.core.conditions import LIGHTS, ROAD_CLASSES, UNKNOWN, WEATHERS, OperatingConditions
from onboard_vla.core.errors import WireError
from onboard_vla.core.objects import CYCLIST, PEDESTRIAN, STATIC, VEHICLE, ObjectList, TrackedObject
from onboard_vla.core.road import COMMANDS, SIGNAL_STATES, LaneObservation, Route, RouteCommand, Signal
from onboard_vla.core.safe_trajectory import DISENGAGE, ENGAGE, REARM, STOP, DriverState, OperatorCommand
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.frames import ODOMETRY_FRAME
from onboard_vla.ros_nodes.stamps import from_time, to_time
from onboard_vla.ros_nodes.words import Words

KINDS = Words(msg.TrackedObject, "kind", (VEHICLE, PEDESTRIAN, CYCLIST, STATIC))
SIGNALS = Words(msg.TrafficSignal, "state", SIGNAL_STATES)
TURNS = Words(msg.RouteCommand, "command", COMMANDS)
ROADS = Words(msg.OperatingConditions, "road_class", ROAD_CLASSES, UNKNOWN)
LIGHT = Words(msg.OperatingConditions, "light", LIGHTS, UNKNOWN)
WEATHER = Words(msg.OperatingConditions, "weather", WEATHERS, UNKNOWN)
ORDERS = Words(msg.OperatorCommand, "command", (ENGAGE, DISENGAGE, REARM, STOP))
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class TypedCodec:
    """Conversion of one kind of input, which always fits into one message."""

    to_ros: Callable[[Any], Any]
    from_ros: Callable[[Any], Message]

    def pack(self, message: Message) -> dict[str, Any]:
        """One part.

        Raises:
            WireError: a stamp, a number or a word that the ROS message cannot say.
        """
        return {"": self.to_ros(message)}

    def unpack(self, part: str, received: Any) -> Message:  # noqa: ANN401 - the kind's generated class
        """The core message.

        Raises:
            WireError: another frame, an impossible stamp, a word that was not set, or arrays of different lengths.
        """
        return self.from_ros(received)


def to_objects(message: ObjectList) -> msg.ObjectList:
    """Boxes and velocities, kind by kind."""
    objects = [
        msg.TrackedObject(
            track_id=o.track_id,
            kind=KINDS.number(o.kind),
            x_m=float(o.x_m),
            y_m=float(o.y_m),
            heading_rad=float(o.heading_rad),
            vx_mps=float(o.vx_mps),
            vy_mps=float(o.vy_mps),
            length_m=float(o.length_m),
            width_m=float(o.width_m),
        )
        for o in message.objects
    ]
    return msg.ObjectList(header=_header(message.stamp_ns), objects=objects)


def from_objects(received: msg.ObjectList) -> ObjectList:
    """The same boxes."""
    objects = tuple(
        TrackedObject(
            o.track_id,
            KINDS.word(o.kind),
            o.x_m,
            o.y_m,
            o.heading_rad,
            o.vx_mps,
            o.vy_mps,
            o.length_m,
            o.width_m,
        )
        for o in received.objects
    )
    return ObjectList(_stamp(received), objects)


def to_lanes(message: LaneObservation) -> msg.LaneObservation:
    """The centreline's columns as arrays of one length."""
    signals = [
        msg.TrafficSignal(signal_id=s.signal_id, x_m=float(s.x_m), y_m=float(s.y_m), state=SIGNALS.number(s.state))
        for s in message.signals
    ]
    return msg.LaneObservation(
        header=_header(message.stamp_ns),
        centreline_x_m=_array(message.centreline[:, 0]),
        centreline_y_m=_array(message.centreline[:, 1]),
        left_m=_array(message.left_m),
        right_m=_array(message.right_m),
        speed_limit_mps=_array(message.speed_limit_mps),
        lane_width_m=float(message.lane_width_m),
        signals=signals,
    )


def from_lanes(received: msg.LaneObservation) -> LaneObservation:
    """The same lane; its arrays are views into the message."""
    names = ("centreline_x_m", "centreline_y_m", "left_m", "right_m", "speed_limit_mps")
    x, y, left, right, limit = _columns(received, names)
    return LaneObservation(
        stamp_ns=_stamp(received),
        centreline=np.column_stack((x, y)),
        left_m=left,
        right_m=right,
        lane_width_m=received.lane_width_m,
        speed_limit_mps=limit,
        signals=tuple(Signal(s.signal_id, s.x_m, s.y_m, SIGNALS.word(s.state)) for s in received.signals),
    )


def to_route(message: Route) -> msg.Route:
    """The route's columns as arrays of one length; a route has no stamp."""
    commands = [
        msg.RouteCommand(start_s_m=float(c.start_s_m), end_s_m=float(c.end_s_m), command=TURNS.number(c.command))
        for c in message.commands
    ]
    return msg.Route(
        header=_header(0),
        route_id=message.route_id,
        x_m=_array(message.points[:, 0]),
        y_m=_array(message.points[:, 1]),
        speed_limit_mps=_array(message.speed_limit_mps),
        commands=commands,
    )


def from_route(received: msg.Route) -> Route:
    """The same route."""
    x, y, limit = _columns(received, ("x_m", "y_m", "speed_limit_mps"))
    _check_frame(received)
    commands = tuple(RouteCommand(c.start_s_m, c.end_s_m, TURNS.word(c.command)) for c in received.commands)
    return Route(received.route_id, np.column_stack((x, y)), limit, commands)


def to_conditions(message: OperatingConditions) -> msg.OperatingConditions:
    """Words as constants; unknown is 0."""
    return msg.OperatingConditions(
        stamp=to_time(message.stamp_ns),
        road_class=ROADS.number(message.road_class),
        light=LIGHT.number(message.light),
        weather=WEATHER.number(message.weather),
        area=message.area,
    )


def from_conditions(received: msg.OperatingConditions) -> OperatingConditions:
    """The same conditions."""
    return OperatingConditions(
        stamp_ns=from_time(received.stamp),
        road_class=ROADS.word(received.road_class),
        light=LIGHT.word(received.light),
        weather=WEATHER.word(received.weather),
        area=received.area,
    )


def to_driver(message: DriverState) -> msg.DriverState:
    """Stamp and override."""
    return msg.DriverState(stamp=to_time(message.stamp_ns), override=bool(message.override))


def from_driver(received: msg.DriverState) -> DriverState:
    """The same state."""
    return DriverState(from_time(received.stamp), received.override)


def to_command(message: OperatorCommand) -> msg.OperatorCommand:
    """The command's word as a constant."""
    return msg.OperatorCommand(stamp=to_time(message.stamp_ns), command=ORDERS.number(message.command))


def from_command(received: msg.OperatorCommand) -> OperatorCommand:
    """The same command."""
    return OperatorCommand(from_time(received.stamp), ORDERS.word(received.command))


def _header(stamp_ns: int) -> Header:
    return Header(stamp=to_time(stamp_ns), frame_id=ODOMETRY_FRAME)


def _stamp(received: Any) -> int:  # noqa: ANN401 - any of our stamped messages
    _check_frame(received)
    return from_time(received.header.stamp)


def _check_frame(received: Any) -> None:  # noqa: ANN401 - any of our stamped messages
    frame = received.header.frame_id
    if frame != ODOMETRY_FRAME:
        raise WireError(f"{type(received).__name__}: expected frame {ODOMETRY_FRAME!r}, found {frame!r}")


def _array(column: Floats) -> array[float]:
    # Filled from bytes, because that is the one form that rclpy takes without looking at each element.
    values = array("d")
    values.frombytes(np.ascontiguousarray(column, np.float64).tobytes())
    return values


def _columns(received: Any, names: tuple[str, ...]) -> tuple[Floats, ...]:  # noqa: ANN401 - any of our messages
    columns = tuple(np.frombuffer(getattr(received, name), np.float64) for name in names)
    if len({len(column) for column in columns}) > 1:
        found = ", ".join(f"{name} {len(column)}" for name, column in zip(names, columns, strict=True))
        raise WireError(f"{type(received).__name__}: expected arrays of one length, found {found}")
    return columns


TYPED_CODECS: dict[type, TypedCodec] = {
    ObjectList: TypedCodec(to_objects, from_objects),
    LaneObservation: TypedCodec(to_lanes, from_lanes),
    Route: TypedCodec(to_route, from_route),
    OperatingConditions: TypedCodec(to_conditions, from_conditions),
    DriverState: TypedCodec(to_driver, from_driver),
    OperatorCommand: TypedCodec(to_command, from_command),
}
"""By the kind of core message; none of them keeps anything between messages."""
