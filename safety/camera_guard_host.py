"""The camera-guard process: every picture gets one verdict, and heartbeats count both."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Protocol

from onboard_vla.core.cameras import CameraFrame, CompressedFrame
from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import FrameError
from onboard_vla.core.plan import Heartbeat
from onboard_vla.core.process import Clock, OptionValue, Publish, Role, Timer
from onboard_vla.core.process_graph import CAMERA_GUARD
from onboard_vla.core.realtime import REALTIME_OPTION, request_realtime
from onboard_vla.core.refusals import log_event
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.core.wire import Message
from onboard_vla.safety.config_file import CONFIG_OPTION, Compose, config_hash, given_config

HEARTBEAT_PERIOD_S = 0.05
"""20 Hz, as the planner's."""
Decode = Callable[[CompressedFrame], CameraFrame]
"""Decompresses a picture; raises FrameError when its file is damaged. This room has no picture library."""


class CameraGuardLike(Protocol):
    """What the host needs of `camera_guard.CameraGuard`."""

    @property
    def config_hash(self) -> str:
        """Of the settings in effect."""

    def check(self, frame: CameraFrame, speed_mps: float, now: Now) -> Verdict:
        """Judge one picture."""


class CameraGuardHost:
    """Runs a camera guard on one thread: pictures in, verdicts out."""

    def __init__(self, guard: CameraGuardLike, decode: Decode, realtime_priority: int = 0) -> None:
        self._guard, self._decode, self._priority = guard, decode, realtime_priority
        self._publish: Publish | None = None
        self._clock: Clock = system_now
        self._speed_mps = 0.0
        self._sequence = self._started = self._done = 0

    @property
    def timers(self) -> tuple[Timer, ...]:
        """The heartbeat."""
        return (Timer(HEARTBEAT_PERIOD_S, self._beat),)

    def schedule(self) -> None:
        """For all threads: this process has one of its own."""
        request_realtime(CAMERA_GUARD, self._priority)

    def start(self, publish: Publish, clock: Clock) -> None:
        """Take the way out."""
        self._publish, self._clock = publish, clock

    def receive(self, message: Message, now: Now) -> None:
        """Judge a picture, or keep the speed. An exception ends the process: no verdicts is a fault that is noticed."""
        if isinstance(message, EgoState):
            self._speed_mps = message.speed_mps
        elif isinstance(message, (CameraFrame, CompressedFrame)) and self._publish is not None:
            self._started += 1
            verdict = self._judge(message, now)
            self._done += 1
            self._publish(verdict)

    def failure(self) -> str | None:
        """There is no thread that could die alone."""
        return None

    def stop(self) -> bool:
        """There is no thread to end."""
        return True

    def _judge(self, frame: CameraFrame | CompressedFrame, now: Now) -> Verdict:
        """Compressed pictures are decoded whole: a reduced one has less noise and blur than its camera delivered."""
        try:
            whole = self._decode(frame) if isinstance(frame, CompressedFrame) else frame
        except FrameError as error:
            reasons = (Reason("DAMAGED", 1.0, 0.0, str(error)),)
            return Verdict(frame.camera, frame.stamp_ns, frame.sequence, False, reasons, self._guard.config_hash)
        return self._guard.check(whole, self._speed_mps, now)

    def _beat(self) -> None:
        if self._publish is None:
            return
        self._sequence += 1
        now = self._clock()
        self._publish(
            Heartbeat(
                process=CAMERA_GUARD,
                process_id=os.getpid(),
                sequence=self._sequence,
                stamp_ns=now.stamp_ns,
                work_started=self._started,
                work_done=self._done,
                ready=True,
                detail=f"{self._done} pictures judged",
            )
        )


def camera_guard_role(compose: Compose, decode: Decode) -> Role:
    """The camera guard as a process; `compose` reads YAML and `decode` pictures, which this room cannot.

    Its `build` raises OnboardVlaError on a configuration that is not acceptable.
    """

    def build(options: Mapping[str, OptionValue]) -> CameraGuardHost:
        from onboard_vla.safety.camera_guard import CameraGuard

        config = given_config(options, compose)
        guard = CameraGuard(config.camera_guard, config_hash(config))
        log_event(CAMERA_GUARD, "configured", config_hash=guard.config_hash)
        return CameraGuardHost(guard, decode, int(options["realtime_priority"]))

    return Role(CAMERA_GUARD, (CONFIG_OPTION, REALTIME_OPTION), build)
