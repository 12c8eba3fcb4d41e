"""What a process has to say about its own state: one check an aspect, each that is not well with what to do about it.

Read off what the process publishes, so that nothing can be reported that others do not see, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.clock import seconds
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR
from onboard_vla.core.safe_trajectory import SHADOW, Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.ros_nodes.gate_host import GateCommand, GateState
from onboard_vla.ros_nodes.topics import VEHICLE_GATE

HEARTBEAT_LATE_S = 0.25
"""Five periods at 20 Hz."""
VERDICT_LATE_S = 1.0
"""Ten periods at 10 Hz: the supervisor has acted on it long before."""


class Level(IntEnum):
    """Levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True)
class Check:
    """One aspect. `message`: what is found; where that is not well, also what to do."""

    name: str
    level: Level
    message: str
    values: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Aspect:
    """The supervisor's reasons by the beginnings of their codes, and what to do about them.

    `detailed`: whoever is to do it needs to be told whom the reason is about.
    """

    name: str
    beginnings: tuple[str, ...]
    remedy: str
    detailed: bool = False


ASPECTS = (
    Aspect("ego state", ("EGO_", "MOTION_"), "look at odometry and acceleration: rate, stamps, frames, plausibility"),
    Aspect("speed sources", ("WHEEL_", "SPEED_"), "hold wheel speed and odometry's speed against each other"),
    Aspect("objects", ("OBJECTS_", "NO_PERCEPTION"), "look at the object list's rate, stamps, frame and tracker"),
    Aspect("lanes", ("LANES_", "LANE_"), "look at the lane observation's rate, stamps and frame, and where it lies"),
    Aspect("route", ("ROUTE_",), "send a route, in frame odom, that passes by the vehicle"),
    Aspect("driver", ("DRIVER_",), "send what the driver does at 10 Hz, each message with a stamp of its own"),
    Aspect("camera guard", ("CAMERA_GUARD_",), "look at the camera guard's log and whether its process runs"),
    Aspect("cameras", ("CAMERA_",), "look at the named camera: cable, driver, lens, exposure"),
    Aspect("planner", ("PLANNER_", "PLANS_"), "look at the planner's log and its diagnostics"),
    Aspect(
        "authority",
        ("DUPLICATE_",),
        "end the other one (a second start in this domain?); a latched vehicle then needs ~/rearm at standstill",
        detailed=True,
    ),
    Aspect(
        "operational domain", ("ODD_",), "drive inside of the declared domain, or send the conditions once a second"
    ),
    Aspect("clocks", ("CLOCK_", "STAMP_", "SKEWED"), "look at time synchronisation of sensors and this machine"),
    Aspect("own rate", ("TICK_",), "give the supervisor SCHED_FIFO, or this machine less to do"),
    Aspect(
        "thresholds",
        ("THRESHOLD",),
        "no command calibrates them yet: provisional or none, L2 at best on a vehicle",
    ),
    Aspect("actuators", ("ACTUATOR_",), "hold what the vehicle did against what it was told"),
    Aspect(
        "supervisor",
        ("INTERNAL_", "SELF_TEST", "SUPERVISOR_", "FALLBACK_TOO"),
        "read the supervisor's log; a latched vehicle needs ~/rearm at standstill",
    ),
)
PLAN_ASPECT = Aspect("plan checks", ("",), "read the reasons: the newest plans do not pass these guards")
"""Whatever no other aspect owns is a guard's word on a plan."""


def aspect_of(reason: Reason) -> Aspect:
    """Whose reason it is."""
    if reason.detail.partition(":")[0] in CAMERAS:
        return next(aspect for aspect in ASPECTS if aspect.name == "cameras")
    return next((a for a in ASPECTS if reason.code.startswith(a.beginnings)), PLAN_ASPECT)


class SupervisorChecks:
    """The mode, and every aspect that a reason may come from."""

    def __init__(self) -> None:
        self._newest: SafeTrajectory | None = None

    def observe(self, message: object) -> None:
        """Keep the newest."""
        if isinstance(message, SafeTrajectory):
            self._newest = message

    def checks(self) -> list[Check]:
        """An aspect without reasons is well; the others are as bad as the mode that they stand under."""
        newest = self._newest
        if newest is None:
            return [Check("mode", Level.STALE, "no trajectory was published yet")]
        level = mode_level(newest.mode)
        reasons: dict[str, list[Reason]] = {}
        for reason in newest.reasons:
            reasons.setdefault(aspect_of(reason).name, []).append(reason)
        found = [_mode_check(newest)]
        for aspect in (*ASPECTS, PLAN_ASPECT):
            if aspect.name not in reasons:
                found.append(Check(aspect.name, Level.OK, "well"))
                continue
            codes = ", ".join(dict.fromkeys(_words(reason, aspect) for reason in reasons[aspect.name]))
            values = tuple(
                (r.code, f"{r.measured:g} (limit {r.limit:g}) {r.detail}".strip()) for r in reasons[aspect.name]
            )
            found.append(Check(aspect.name, max(level, Level.WARN), f"{codes}: {aspect.remedy}", values))
        return found


def _words(reason: Reason, aspect: Aspect) -> str:
    return f"{reason.code} ({reason.detail})" if aspect.detailed and reason.detail else reason.code


def mode_level(mode: Mode) -> Level:
    """How bad it is to drive in this mode."""
    if mode is Mode.NOMINAL:
        return Level.OK
    return Level.WARN if mode <= Mode.FALLBACK else Level.ERROR


def _mode_check(newest: SafeTrajectory) -> Check:
    message = f"{newest.engagement.value}, {newest.mode.name}, {newest.source}"
    level = mode_level(newest.mode)
    if newest.source == SHADOW:
        level, message = Level.OK, f"only watches; would be in {newest.mode.name}"
    elif newest.engagement is Engagement.LATCHED:
        message += ": re-arm at standstill, once what asked for the stop is gone"
    elif newest.takeover is not Takeover.NONE:
        message += f": the driver is asked to take over ({newest.takeover.name})"
    elif newest.engagement is Engagement.STANDBY and level is not Level.OK:
        level, message = Level.WARN, message + ": engaging would be refused or would begin there; see the other checks"
    refusals = tuple((f"refused: {r.code}", r.detail) for r in newest.refusals)
    return Check("mode", level, message, (*refusals, ("config_hash", newest.config_hash)))


class PlannerChecks:
    """The worker behind the heartbeats, and what it makes."""

    def __init__(self) -> None:
        self._beat: Heartbeat | None = None
        self._beat_ns = 0
        self._result: Plan | PlanRejection | None = None

    def observe(self, message: object) -> None:
        """Keep the newest of each."""
        if isinstance(message, Heartbeat):
            self._beat, self._beat_ns = message, time.monotonic_ns()
        elif isinstance(message, (Plan, PlanRejection)):
            self._result = message

    def checks(self) -> list[Check]:
        """Silence here means that the worker is in one pass for too long: then heartbeats are held back."""
        return [_worker_check(self._beat, self._beat_ns), self._plan_check()]

    def _plan_check(self) -> Check:
        result = self._result
        if result is None:
            return Check("plan", Level.WARN, "no plan yet: look at pictures, ego state and route")
        if isinstance(result, PlanRejection):
            message = f"rejected: {result.code}: {result.detail}: look at the planner's inputs and bundle"
            return Check("plan", Level.WARN, message, (("plan_id", str(result.plan_id)),))
        values = tuple((f"{stage}_ms", f"{ms:.1f}") for stage, ms in result.stage_ms.items())
        message = f"plan {result.plan_id}, {result.depth}"
        if not result.shed:
            return Check("plan", Level.OK, message, values)
        shed = ", ".join(result.shed)
        return Check("plan", Level.WARN, f"{message}, without {shed}: give the planner more time or power", values)


def _worker_check(beat: Heartbeat | None, beat_ns: int) -> Check:
    if beat is None:
        return Check("worker", Level.STALE, "no heartbeat yet: the engines are being loaded, or nothing is configured")
    silent_s = seconds(time.monotonic_ns() - beat_ns)
    values = (("work_started", str(beat.work_started)), ("work_done", str(beat.work_done)), ("detail", beat.detail))
    if silent_s > HEARTBEAT_LATE_S:
        message = f"no heartbeat for {silent_s:.1f} s: one pass does not end; the process ends itself if it goes on"
        return Check("worker", Level.ERROR, message, values)
    if not beat.ready:
        return Check("worker", Level.WARN, f"not ready: {beat.detail}", values)
    return Check("worker", Level.OK, beat.detail, values)


class CameraGuardChecks:
    """One check a camera."""

    def __init__(self) -> None:
        self._verdicts: dict[str, tuple[Verdict, int]] = {}

    def observe(self, message: object) -> None:
        """Keep the newest of each camera."""
        if isinstance(message, Verdict):
            self._verdicts[message.camera] = message, time.monotonic_ns()

    def checks(self) -> list[Check]:
        """What the guard thinks of each camera's newest picture."""
        return [self._camera_check(camera) for camera in CAMERAS]

    def _camera_check(self, camera: str) -> Check:
        name = f"camera {camera}"
        if camera not in self._verdicts:
            advice = "look at its driver, remapping, quality of service and cameras.transport (raw or compressed)"
            return Check(name, Level.STALE, f"no picture yet: {advice}")
        verdict, received_ns = self._verdicts[camera]
        silent_s = seconds(time.monotonic_ns() - received_ns)
        if silent_s > VERDICT_LATE_S:
            return Check(name, Level.ERROR, f"no picture for {silent_s:.1f} s: look at its cable and driver")
        values = tuple((r.code, f"{r.measured:g} (limit {r.limit:g}) {r.detail}") for r in verdict.reasons)
        codes = ", ".join(reason.code for reason in verdict.reasons)
        if not verdict.usable:
            return Check(name, Level.ERROR, f"{codes}: look at its lens, exposure and driver", values)
        if verdict.reasons:
            return Check(name, Level.WARN, f"usable, {codes}: look at its lens and exposure", values)
        return Check(name, Level.OK, "usable", values)


class GateChecks:
    """What the gate does, and why."""

    def __init__(self) -> None:
        self._newest: GateCommand | None = None

    def observe(self, message: object) -> None:
        """Keep the newest."""
        if isinstance(message, GateCommand):
            self._newest = message

    def checks(self) -> list[Check]:
        """Following is well."""
        newest = self._newest
        if newest is None:
            return [Check("gate", Level.STALE, "no command yet")]
        if newest.state is GateState.FOLLOWING:
            return [Check("gate", Level.OK, newest.state.value)]
        if newest.state is GateState.OVERRIDDEN:
            return [
                Check("gate", Level.WARN, f"{newest.state.value}: {newest.reason}: then standby, or a stop goes on")
            ]
        if newest.state is GateState.HOLDING:
            return [Check("gate", Level.WARN, f"{newest.state.value}: {newest.reason}: engage the supervisor to drive")]
        remedy = "it stays so until standby at standstill: look at the supervisor's log, then re-arm"
        return [Check("gate", Level.ERROR, f"{newest.state.value}: {newest.reason}: {remedy}")]


def camera_info_check(camera: str, heard: bool) -> Check:
    """Whether the planner could hold a camera's lens against that of the bundle."""
    name = f"camera info {camera}"
    if heard:
        return Check(name, Level.OK, "heard; where it differs, the camera is left out")
    remedy = "send it as often as pictures (said once, it is gone when the planner starts again), and look at its remap"
    return Check(name, Level.WARN, f"camera_info not heard, and the lens held against nothing: {remedy}")


def clock_check(now_ns: int) -> Check:
    """Whether a node with use_sim_time has a clock: its time stays 0 until /clock is heard."""
    if now_ns:
        return Check("clock", Level.OK, "/clock is heard")
    remedy = "start the simulator, or the replay with clock; on a vehicle use_sim_time is false"
    return Check("clock", Level.ERROR, f"use_sim_time is set, and nobody is heard on /clock: {remedy}")


Observer = SupervisorChecks | PlannerChecks | CameraGuardChecks | GateChecks
OBSERVERS: dict[str, Callable[[], Observer]] = {
    SUPERVISOR: SupervisorChecks,
    PLANNER: PlannerChecks,
    CAMERA_GUARD: CameraGuardChecks,
    VEHICLE_GATE: GateChecks,
}
"""Who reads off the checks of which process."""
