"""A process host on a node: messages and time in, messages out, timers."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from rclpy.node import Node

from onboard_vla.core.clock import Now
from onboard_vla.core.process import Adjustable, LensChecking, OptionValue, ProcessHost
from onboard_vla.core.refusals import Refusals
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.checks import OBSERVERS, Check, camera_info_check, clock_check
from onboard_vla.ros_nodes.parameters import SIM_TIME
from onboard_vla.ros_nodes.ports import Publishers, Subscriptions
from onboard_vla.ros_nodes.steady import steady_clock
from onboard_vla.ros_nodes.topics import RAW


class Hosting:
    """A node's publishers, and a host that may come and go; who comes has subscriptions of its own.

    `pictures`: how they come, one of `topics.TRANSPORTS`. `autoware`: the outputs go out in Autoware's messages, too.
    `rectified`: the pictures are, see `codec.codec_for`.
    """

    def __init__(
        self, node: Node, process: str, pictures: str = RAW, autoware: bool = False, rectified: bool = False
    ) -> None:
        self.node, self._process, self._pictures, self._rectified = node, process, pictures, rectified
        self._ros_clock, self.steady = node.get_clock(), steady_clock()
        self._simulated = bool(node.get_parameter(SIM_TIME).value)
        self.host: ProcessHost | None = None
        self._timers: list[Any] = []
        self.refusals = Refusals(process)
        self.publishers = Publishers(node, process, autoware=autoware)
        self._observer = OBSERVERS[process]()
        self._subscriptions: Subscriptions | None = None
        self._listeners: list[Callable[[Message], None]] = []
        self.begin: Callable[[], object] = lambda: None
        """What the process does once it is up, before it takes messages."""
        self.loading: Callable[[], bool] = lambda: False
        """Whether a host is being built on another thread, which nobody can end."""

    def listen(self, listener: Callable[[Message], None]) -> None:
        """Call somebody with each message that the host publishes, on the host's thread."""
        self._listeners.append(listener)

    def now(self) -> Now:
        """Watchdogs read the monotonic clock, stamps are ROS time."""
        return Now(time.monotonic_ns(), self._ros_clock.now().nanoseconds)

    def open(self, host: ProcessHost) -> None:
        """Start a host and its timers; what arrives goes to it from now on."""
        self._observer = OBSERVERS[self._process]()
        host.schedule()
        host.start(self._publish, self.now)
        self.host = host
        # DDS gives a reader what is latched once: a host behind the readers of another would never get its route.
        self._subscriptions = Subscriptions(
            self.node, self._process, self.take, self.refusals, self._pictures, self._rectified
        )
        # Steady: a rate must not follow simulated or corrected time.
        self._timers = [self.node.create_timer(t.period_s, t.tick, clock=self.steady) for t in host.timers]

    def tick(self) -> None:
        """The host's cycle, which is its first timer, now and out of turn."""
        if self.host is not None:
            self.host.timers[0].tick()

    def close(self) -> bool:
        """Take the host away; false if one of its threads is stuck."""
        for timer in self._timers:
            self.node.destroy_timer(timer)
        self._timers.clear()
        if self._subscriptions is not None:
            self._subscriptions.close()
            self._subscriptions = None
        host = self.host
        self.host = None
        return host is None or host.stop()

    def failure(self) -> str | None:
        """Why the process has to end and be started again."""
        return None if self.host is None else self.host.failure()

    def change(self, values: Mapping[str, OptionValue]) -> str | None:
        """Hand changed parameters to the host; why not, or None."""
        host: object = self.host
        if isinstance(host, Adjustable):
            return host.change(values)
        return f"{', '.join(values)}: nothing is running that could take it; possible after configuring"

    def checks(self) -> list[Check]:
        """What the host's messages say about it, DDS about its links, and whether a simulated clock is heard."""
        clocks = [clock_check(self._ros_clock.now().nanoseconds)] if self._simulated else []
        links = [] if self._subscriptions is None else self._subscriptions.links
        own = [] if self.host is None else self._observer.checks()
        return [*clocks, *own, *self._lens_checks(), *(link.check() for link in links)]

    def _lens_checks(self) -> list[Check]:
        host: object = self.host
        heard = host.cameras_heard() if isinstance(host, LensChecking) else {}
        return [camera_info_check(camera, said) for camera, said in heard.items()]

    def _publish(self, message: Message) -> None:
        self.publishers.publish(message)
        self._observer.observe(message)
        for listener in self._listeners:
            listener(message)

    def take(self, message: Message) -> None:
        """Hand a message to the host, as if it had arrived."""
        if self.host is not None:
            self.host.receive(message, self.now())
