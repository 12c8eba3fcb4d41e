"""A vehicle on a straight road, in real time, at its end of a link: what it publishes, and what it hears."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import numpy as np

from onboard_vla.app.straight_road.vehicle import FollowingVehicle
from onboard_vla.core.cameras import CAMERAS, FRONT, CameraFrame
from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import ENGAGE, Engagement, Mode, OperatorCommand, SafeTrajectory
from onboard_vla.core.vehicle_gate import PERIOD_S
from onboard_vla.core.vehicle_link import VehicleLink
from onboard_vla.core.wire import Message

STEP_S = 0.02
COMMANDS = round(STEP_S / PERIOD_S)
"""Of the vehicle's gate in one step."""
SPEED_MPS = 8.0
LIMIT_S = 30.0
Arrived = tuple[Message, Now]


class NotSeenError(OnboardVlaError, AssertionError):
    """What was waited for did not come; to a test this is a failed assertion."""


class StraightRoad:
    """A vehicle that publishes what a vehicle publishes, follows what it hears, and keeps it."""

    def __init__(self, link: VehicleLink) -> None:
        self.link = link
        self.heard: list[Arrived] = []
        self.black_since: Now | None = None
        self.sent_ns: list[int] = []
        self.lateness_s = 0.0
        self.first_black_ns: int | None = None
        self._steps, self._periods = 0, 0
        self._begin_ns = time.monotonic_ns()
        self._never = threading.Event()
        self._textures = np.kron(
            np.random.default_rng(0).integers(30, 220, (10, 36, 64, 3), np.uint8), np.ones((1, 7, 7, 1), np.uint8)
        )
        self._black = np.zeros_like(self._textures[0])
        self.vehicle = FollowingVehicle(SPEED_MPS, system_now())

    def step(self) -> list[Arrived]:
        """Wait for the next 20 ms, publish what is due, let the gate command, and return what has arrived."""
        arrived: list[Arrived] = []
        for command in range(COMMANDS):
            self._wait()
            now = system_now()
            ego = self.vehicle.state(now)
            if command == 0:
                self._publish(now, ego)
            new = self.link.poll()
            for message, received in new:
                if isinstance(message, SafeTrajectory):
                    self.vehicle.hear(message, received)
            self.vehicle.command(ego, system_now())
            arrived += new
        self.heard += arrived
        return arrived

    def _wait(self) -> None:
        """Until the gate's next period."""
        self._periods += 1
        due_ns = self._begin_ns + int(self._periods * PERIOD_S * 1e9)
        late_s = (time.monotonic_ns() - due_ns) / 1e9
        self.lateness_s = max(self.lateness_s, late_s)
        if late_s > 0.5:
            self._begin_ns += int(late_s * 1e9)
        self._never.wait(max(0.0, -late_s))

    def _publish(self, now: Now, ego: EgoState) -> None:
        self._steps += 1
        self.link.publish(ego)
        if self._steps % 5 == 1:
            self._publish_cameras(now.stamp_ns)
            self.link.publish(ObjectList(now.stamp_ns, ()))
            self.link.publish(self._lanes(now.stamp_ns, ego.x_m))

    def until(self, condition: Callable[[Message, Now], bool], what: str) -> Arrived:
        """Drive on until a message fulfils a condition.

        Raises:
            NotSeenError: none does within `LIMIT_S`.
        """
        end = time.monotonic() + LIMIT_S
        last: SafeTrajectory | None = None
        while time.monotonic() < end:
            for message, now in self.step():
                last = message if isinstance(message, SafeTrajectory) else last
                if condition(message, now):
                    return message, now
        codes = last and (last.mode, last.engagement, last.shadow_passes, [r.code for r in last.reasons])
        raise NotSeenError(f"not within {LIMIT_S} s: {what}; last safe trajectory: {codes}; {self._mode_changes()}")

    def until_mode(self, test: Callable[[Mode], bool], after: Now | None = None) -> Arrived:
        """Drive on until a safe trajectory's mode fulfils a condition."""
        return self.until(
            lambda m, n: (
                isinstance(m, SafeTrajectory)
                and test(m.mode)
                and (after is None or n.monotonic_ns > after.monotonic_ns)
            ),
            "mode",
        )

    def _mode_changes(self) -> str:
        """When the mode changed, and what asked for it: why a wait was in vain."""
        said: list[str] = []
        before: Mode | None = None
        for message, now in self.heard:
            if isinstance(message, SafeTrajectory) and message.mode != before:
                before = message.mode
                codes = [f"{r.code} {r.measured:.3g}/{r.limit:.3g}" for r in message.reasons]
                said.append(f"{(now.monotonic_ns - self._begin_ns) / 1e9:.2f} s {before.name} {codes}")
        return "modes: " + "; ".join(said[-8:])

    def drives(self) -> bool:
        """Whether the model drives now: a starved machine may have stopped and latched the vehicle."""
        newest = [m for m, _ in self.drive(0.1) if isinstance(m, SafeTrajectory)]
        return bool(newest) and newest[-1].engagement is Engagement.ENGAGED and newest[-1].mode <= Mode.REDUCED

    def drive(self, seconds: float) -> list[Arrived]:
        """Drive on for some time and return what arrived in it."""
        before = len(self.heard)
        for _ in range(round(seconds / STEP_S)):
            self.step()
        return self.heard[before:]

    def give_route(self) -> None:
        """Publish the route; late subscribers get it too."""
        points = np.stack([np.linspace(-50, 5000, 506), np.zeros(506)], axis=1)
        self.link.publish(Route("straight", points, np.full(506, SPEED_MPS), ()))

    def engage(self) -> None:
        """Until the model drives; asked for again while a starved supervisor refuses."""

        def driving(message: Message, now: Now) -> bool:
            if not isinstance(message, SafeTrajectory):
                return False
            if message.engagement is Engagement.STANDBY and message.shadow_passes >= 10 and message.sequence % 25 == 0:
                self.link.publish(OperatorCommand(time.time_ns(), ENGAGE))
            return message.engagement is Engagement.ENGAGED and message.mode <= Mode.REDUCED

        self.until(driving, "the model drives")

    def _publish_cameras(self, stamp: int) -> None:
        count = self._steps // 5
        self.sent_ns.append(stamp)
        for index, camera in enumerate(CAMERAS):
            image = self._textures[(count + index) % len(self._textures)]
            if camera == FRONT and self.black_since is not None:
                image = self._black
                self.first_black_ns = self.first_black_ns or stamp
            self.link.publish(CameraFrame(camera, stamp, count, image))

    def _lanes(self, stamp: int, x: float) -> LaneObservation:
        points = np.stack([np.linspace(x - 20, x + 150, 86), np.zeros(86)], axis=1)
        wide = np.full(86, 5.25)
        return LaneObservation(stamp, points, wide, wide, 3.5, np.full(86, SPEED_MPS), ())
