"""A route for who has no message of ours: a nav_msgs/Path, and beside it the navigation command that holds now."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from std_msgs.msg import Header, String

from onboard_vla.core.errors import WireError
from onboard_vla.core.road import COMMANDS, Route, RouteCommand
from onboard_vla.ros_nodes.frames import ODOMETRY_FRAME
from onboard_vla.ros_nodes.stamps import from_time

PATH_PART, COMMAND_PART = "path", "command"


class RoutePathCodec:
    """Joins the newest path with the newest command; until both have come there is no route.

    A path has no speed limits: the route's are infinite, which says "none from the route". A command holds along the
    whole path until the next one comes.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._command: str | None = None

    def pack(self, message: Route) -> dict[str, Any]:
        """Path and command.

        Raises:
            WireError: several commands, or speed limits: neither can be said so.
        """
        held = {command.command for command in message.commands}
        if len(held) != 1 or np.isfinite(message.speed_limit_mps).any():
            raise WireError("a route with speed limits or several commands does not fit into a path and one command")
        header = Header(frame_id=ODOMETRY_FRAME)
        path = Path(header=header, poses=[PoseStamped(header=header) for _ in message.points])
        for pose, (x, y) in zip(path.poses, message.points.tolist(), strict=True):
            pose.pose.position.x, pose.pose.position.y = x, y
        return {PATH_PART: path, COMMAND_PART: String(data=held.pop())}

    def unpack(self, part: str, received: Any) -> Route | None:  # noqa: ANN401 - the part's ROS type
        """The route, once both parts are there; then with each new part.

        Raises:
            WireError: another frame, fewer than two poses, or a command that the model does not know.
        """
        if part == PATH_PART:
            self._path = _checked_path(received)
        else:
            self._command = _checked_command(received)
        if self._path is None or self._command is None:
            return None
        points = np.array([(p.pose.position.x, p.pose.position.y) for p in self._path.poses], np.float64)
        return Route(
            route_id=f"path {from_time(self._path.header.stamp)}",
            points=points,
            speed_limit_mps=np.full(len(points), math.inf),
            commands=(RouteCommand(0.0, math.inf, self._command),),
        )


def _checked_path(received: Path) -> Path:
    if received.header.frame_id != ODOMETRY_FRAME:
        raise WireError(f"route as Path: expected frame {ODOMETRY_FRAME!r}, found {received.header.frame_id!r}")
    if len(received.poses) < 2:
        raise WireError(f"route as Path: expected at least 2 poses, found {len(received.poses)}")
    return received


def _checked_command(received: String) -> str:
    word = str(received.data)
    if word not in COMMANDS:
        raise WireError(f"navigation command: expected one of {', '.join(COMMANDS)}, found {word[:50]!r}")
    return word
