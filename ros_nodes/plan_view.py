"""The cameras with the plan drawn in, as pictures: `python -m onboard_vla.ros_nodes.plan_view --ros-args -p rig:=FILE`.

Listens and draws only while somebody listens to its pictures, in a process of its own: neither the planner nor the
supervisor pays for an onlooker. Needs no TF: the cameras' poses come from the rig file, the vehicle's from odometry.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from onboard_vla.core.clock import Now, nanoseconds
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process import Option, OptionValue, Role
from onboard_vla.core.refusals import Refusals, log_event
from onboard_vla.core.wire import Message

if TYPE_CHECKING:
    from rclpy.node import Node

    from onboard_vla.ros_nodes.plan_picture import Rig

NAME = "plan_view"
WORLD_RIG = "world"
"""The simulated world's rig, by name."""
IDLE_S = 0.25
"""How often it looks whether somebody listens."""
LONGEST_SPIN_S = 0.02
OPTIONS = (
    Option("rig", str, "", f"camera poses and lenses, a file in the form of world/rig.json, or {WORLD_RIG!r} for that"),
    Option("rate_hz", float, 5.0, "pictures a second", 0.2, 20.0),
    Option("tile_px", int, 480, "width of one camera's part of the picture", 160, 960, "pixels"),
)


def _build(options: Mapping[str, OptionValue]) -> NoReturn:
    raise ConfigurationError(f"{NAME} is a tool: it has no process host")


ROLE = Role(NAME, OPTIONS, _build)


def rig_named(name: str) -> Rig | None:
    """The rig of the parameter; None where it is not set.

    Raises:
        ConfigurationError: the file is no rig.
    """
    if not name:
        return None
    from onboard_vla.core.camera_rig import read_rig

    # The file alone: this room knows nothing of the world.
    file = Path(__file__).resolve().parents[1] / "world" / "rig.json" if name == WORLD_RIG else Path(name)
    read_rig(file)
    return lru_cache(maxsize=8)(partial(read_rig, file))


class PlanView:
    """Pictures on request.

    Raises:
        ConfigurationError: the rig file is none.
    """

    def __init__(self, node: Node, options: Mapping[str, OptionValue]) -> None:
        from onboard_vla.ros_nodes.plan_scene import PlanScene
        from onboard_vla.ros_nodes.ports import Publishers, Subscriptions

        self._node, self._rig = node, rig_named(str(options["rig"]))
        self._pictures, self._tile_px = str(options["cameras.transport"]), int(options["tile_px"])
        self._period_ns = nanoseconds(1.0 / float(options["rate_hz"]))
        self._publishers = Publishers(node, NAME)
        self._subscriptions: Subscriptions | None = None
        self._refusals = Refusals(NAME)
        self._scene = PlanScene()
        self._due_ns = self.drawn = 0

    @property
    def listening(self) -> bool:
        """Whether it takes messages, because somebody looks."""
        return self._subscriptions is not None

    def step(self) -> float:
        """Begin or end to listen, and draw if that is due; returns how long there is nothing to do, s."""
        now = Now(time.monotonic_ns(), self._node.get_clock().now().nanoseconds)
        if not self._publishers.watched:
            self._rest()
            return IDLE_S
        self._listen()
        if now.monotonic_ns >= self._due_ns and self._scene.cameras:
            self._due_ns = now.monotonic_ns + self._period_ns
            self._draw(now)
        return LONGEST_SPIN_S

    def _draw(self, now: Now) -> None:
        from onboard_vla.core.cameras import CameraFrame
        from onboard_vla.ros_nodes.plan_picture import draw

        stamp_ns = self._scene.stamp_ns
        assert stamp_ns is not None  # there is a camera's picture
        self.drawn += 1
        image = draw(self._scene, self._rig, self._tile_px, now)
        self._publishers.publish(CameraFrame(NAME, stamp_ns, self.drawn, image))  # stamped as what it shows

    def _listen(self) -> None:
        from onboard_vla.ros_nodes.ports import Subscriptions

        if self._subscriptions is None:
            log_event(NAME, "watched")
            self._subscriptions = Subscriptions(self._node, NAME, self._take, self._refusals, self._pictures)

    def _rest(self) -> None:
        from onboard_vla.ros_nodes.plan_scene import PlanScene

        if self._subscriptions is not None:
            log_event(NAME, "unwatched", drawn=self.drawn)
            self._subscriptions.close()
            self._subscriptions, self._scene = None, PlanScene()

    def _take(self, message: Message) -> None:
        self._scene.take(message, Now(time.monotonic_ns(), 0))


def serve(node: Node, options: Mapping[str, OptionValue]) -> None:
    """Until the node is told to end."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    view = PlanView(node, options)
    log_event(NAME, "started", rig=str(options["rig"]))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    while rclpy.ok():
        executor.spin_once(timeout_sec=view.step())


if __name__ == "__main__":
    from onboard_vla.ros_nodes.tool_main import run_tool

    sys.exit(run_tool(ROLE, serve))
