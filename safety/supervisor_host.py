"""The supervisor process: takes in whatever comes, and publishes a safe trajectory at 50 Hz whatever happens."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.process import Clock, Option, OptionValue, Publish, Role, Timer
from onboard_vla.core.process_graph import PLANNER, SUPERVISOR
from onboard_vla.core.realtime import REALTIME_OPTION, request_realtime
from onboard_vla.core.refusals import log_event
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.core.wire import Message
from onboard_vla.safety.config import VEHICLE_PROFILE, SupervisorConfig

TICK_PERIOD_S = 0.02
"""50 Hz: the vehicle gate stops the vehicle when ten of these stay out."""

SUPERVISOR_OPTIONS = (
    Option("profile", str, VEHICLE_PROFILE, "`vehicle` or `simulation`; the latter accepts provisional thresholds"),
    Option("thresholds", str, "", "path of the thresholds file; without it the ladder stays at FALLBACK or below"),
    REALTIME_OPTION,
)


class SupervisorLike(Protocol):
    """What the host needs of `supervisor.Supervisor`."""

    def receive(self, message: Any, now: Now) -> None:  # noqa: ANN401 - the union of its inputs is the supervisor's
        """Take one input."""

    def tick(self, now: Now) -> SafeTrajectory:
        """Decide; never raises."""


class SupervisorHost:
    """Runs a supervisor on one thread. The planner and all inputs are untrusted: no message can end this process."""

    def __init__(self, supervisor: SupervisorLike, realtime_priority: int = 0) -> None:
        self._supervisor, self._priority = supervisor, realtime_priority
        self._publish: Publish | None = None
        self._clock: Clock = system_now
        self.refused = 0

    @property
    def timers(self) -> tuple[Timer, ...]:
        """The 50 Hz tick."""
        return (Timer(TICK_PERIOD_S, self._tick),)

    def start(self, publish: Publish, clock: Clock) -> None:
        """Take the way out and the priority, and spare the collector everything that was made until now."""
        self._publish, self._clock = publish, clock
        request_realtime(SUPERVISOR, self._priority)
        gc.collect()
        gc.freeze()

    def receive(self, message: Message, now: Now) -> None:
        """Hand a message to the supervisor; if it cannot bear it, the message is dropped and named."""
        try:
            self._supervisor.receive(message, now)
        except Exception:
            self.refused += 1
            if self.refused == 1:
                log_event(SUPERVISOR, "input_error", kind=type(message).__name__, error=traceback.format_exc())

    def failure(self) -> str | None:
        """There is no thread that could die alone."""
        return None

    def stop(self) -> bool:
        """There is no thread to end."""
        return True

    def _tick(self) -> None:
        if self._publish is not None:
            self._publish(self._supervisor.tick(self._clock()))


def build_supervisor_host(options: Mapping[str, OptionValue]) -> SupervisorHost:
    """Make the supervisor from its profile and thresholds file.

    Raises:
        OnboardVlaError: an unknown profile, or a thresholds file that is damaged or not acceptable.
    """
    from onboard_vla.safety.supervisor import Supervisor

    path = str(options["thresholds"])
    thresholds = Thresholds.load(Path(path)) if path else None
    config = SupervisorConfig(profile=str(options["profile"]), thresholds=thresholds, planner_process=PLANNER)
    return SupervisorHost(Supervisor(config), int(options["realtime_priority"]))


SUPERVISOR_ROLE = Role(SUPERVISOR, SUPERVISOR_OPTIONS, build_supervisor_host)
