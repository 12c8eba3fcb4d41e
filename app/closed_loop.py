"""The closed loop's one stepping function: the world as vehicle, cameras and sensors at the vehicle's end of a link.

The same `ClosedLoop.step` runs in virtual time (lockstep.py) and in real time (demo_run.py); they differ in the clock
that says when a step is due and in what stands behind the link: bodies in this process, or processes over ROS 2 or
ZeroMQ.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.closed_loop_record import RunRecord
from onboard_vla.app.closed_loop_recorder import RunRecorder
from onboard_vla.app.faults import BLACK_CAMERA, KILL_PROCESS, MILLISECOND_NS, SECOND_NS, Fault, black_cameras
from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ArgumentError
from onboard_vla.core.plan import Heartbeat
from onboard_vla.core.process_graph import PLANNER
from onboard_vla.core.safe_trajectory import ENGAGE, Engagement, OperatorCommand, SafeTrajectory
from onboard_vla.core.vehicle_link import VehicleLink
from onboard_vla.world.expert import Expert, expert_progress
from onboard_vla.world.profiles import PROFILES
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.sensors import SENSOR_KINDS, Sensed, SensorModel
from onboard_vla.world.vehicle import VehicleGate
from onboard_vla.world.world import World

STEP_NS = 20 * MILLISECOND_NS
"""World step and the vehicle's control period: 50 Hz, the supervisor's rate."""
STEP_S = STEP_NS / SECOND_NS
CAMERA_STEPS = 5
"""World steps per picture: cameras at 10 Hz."""
ROUTE_STEPS = 50
"""World steps between repetitions of the route, for a process that starts late: once a second."""
ENGAGE_STEPS = 5
"""World steps between repetitions of the engage command until it is answered: every 100 ms."""


@dataclass(frozen=True)
class TimeBase:
    """Where the run's timeline lies on the two clocks: the clocks' readings at the world's time zero."""

    monotonic_ns: int
    stamp_ns: int

    def now(self, world_ns: int) -> Now:
        """Both clocks at a time of the world."""
        return Now(self.monotonic_ns + world_ns, self.stamp_ns + world_ns)


class LoopClock(Protocol):
    """Says when each step is due."""

    base: TimeBase

    def wait(self, world_ns: int) -> Now:
        """Return once the world's time has reached `world_ns`; in virtual time, make it so."""


class ProcessControl(Protocol):
    """What the fault injector may do to the processes behind the link."""

    def kill(self, process: str, now: Now) -> Now:
        """End a process at once, as SIGKILL does; returns when that was."""

    def restart_due(self, fault: Fault, now: Now) -> None:
        """The declared time of absence is over; a launcher that restarts by itself ignores this."""


class PictureSource(Protocol):
    """Takes the pictures of all cameras (world.render.Renderer)."""

    def render(self, world: World) -> dict[str, NDArray[np.uint8]]:
        """Pictures (H, W, 3) uint8 at the world's present instant."""


@dataclass
class Scene:
    """The world and everything of the vehicle that is not under test."""

    world: World
    renderer: PictureSource
    sensors: SensorModel
    driver: Expert
    gate: VehicleGate

    @staticmethod
    def build(seed: int, profile: str, sensor: str, renderer: PictureSource | None = None) -> Scene:
        """A fresh scene; pass a renderer to spare compiling and allocating it again."""
        world = World(seed, profile)
        return Scene(
            world, renderer or Renderer(default_rig()), SensorModel(seed, sensor), Expert(world), VehicleGate()
        )

    def rehearse(self) -> None:
        """Call everything once on a world that is thrown away, so that nothing is compiled or loaded while driving."""
        trial = Scene.build(self.world.seed, self.world.profile.name, self.sensors.kind, self.renderer)
        for _ in range(2 * CAMERA_STEPS):
            trial.sensors.due(trial.world)
            trial.world.step(trial.driver.control(), STEP_S)
        trial.renderer.render(trial.world)


class ClosedLoop:
    """Steps the world at the vehicle's end of a link and records what comes back.

    Before engagement the world's expert drives, as a person would, so that the processes fill their buffers on a moving
    vehicle. From the engage command on, the vehicle follows what the supervisor publishes and nothing else.
    """

    def __init__(
        self,
        scene: Scene,
        link: VehicleLink,
        clock: LoopClock,
        processes: ProcessControl,
        record: RunRecord,
        recorder: RunRecorder,
    ) -> None:
        self._scene, self._link, self._clock, self._processes = scene, link, clock, processes
        self._record, self._recorder = record, recorder
        self._tick = 0
        self._behind_ns = 0
        self._sequence = 0
        self._engage_tick: int | None = None
        self._handed_over = False
        self._localised: EgoState | None = None
        self._planner_ready = False
        self._latest: SafeTrajectory | None = None
        self._started: set[Fault] = set()
        self._ended: set[Fault] = set()

    @property
    def world_ns(self) -> int:
        """The world's time at the step that comes next."""
        return self._tick * STEP_NS

    @property
    def run_ns(self) -> int | None:
        """Time since the engage command; None before it."""
        return None if self._engage_tick is None else (self._tick - self._engage_tick) * STEP_NS

    @property
    def latest(self) -> SafeTrajectory | None:
        """The newest SafeTrajectory received."""
        return self._latest

    @property
    def planner_ready(self) -> bool:
        """True once the planner's heartbeat says that it is warmed up."""
        return self._planner_ready

    @property
    def behind_ns(self) -> int:
        """How late the last step began; never in virtual time."""
        return self._behind_ns

    def engage(self) -> None:
        """Ask the supervisor to take over from the next step on; that step is time zero of the run."""
        if self._engage_tick is None:
            self._engage_tick = self._tick
            self._recorder.engaged(self._clock.base.now(self.world_ns))

    def step(self) -> None:
        """Wait until the next step is due, then carry it out."""
        due_ns = self.world_ns
        now = self._clock.wait(due_ns)
        self._behind_ns = now.monotonic_ns - self._clock.base.now(due_ns).monotonic_ns
        self._receive()
        self._break_things(now)
        self._sense(self._clock.base.now(due_ns))
        self._command(now)
        self._drive(now)
        self._tick += 1

    def _receive(self) -> None:
        for message, received in self._link.poll():
            if isinstance(message, SafeTrajectory):
                self._latest = message
                self._scene.gate.follow(message, received)
                self._handed_over = self._handed_over or message.engagement is not Engagement.STANDBY
            elif isinstance(message, Heartbeat) and message.process == PLANNER:
                self._planner_ready = message.ready
            self._recorder.message(message, received)

    def _break_things(self, now: Now) -> None:
        run_ns = self.run_ns
        if run_ns is None:
            return
        for fault in self._record.settings.faults:
            if fault.kind == KILL_PROCESS and fault not in self._started and run_ns >= fault.start_ns:
                self._started.add(fault)
                self._recorder.fault(fault, self._processes.kill(fault.target, now).monotonic_ns)
            if fault.kind == KILL_PROCESS and fault not in self._ended and run_ns >= fault.end_ns:
                self._ended.add(fault)
                self._processes.restart_due(fault, now)

    def _sense(self, due: Now) -> None:
        """Publish what is sensed at this step; stamps are the times at which it was due, not at which we got to it."""
        world = self._scene.world
        for sensed in self._scene.sensors.due(world):
            message = self._restamped(sensed)
            if isinstance(message, EgoState):
                self._localised = message
            self._link.publish(message)
        if self._tick % ROUTE_STEPS == 0:
            self._link.publish(world.route)
        if self._tick % CAMERA_STEPS == 0:
            self._photograph(due)

    def _photograph(self, due: Now) -> None:
        run_ns = self.run_ns
        dark = black_cameras(self._record.settings.faults, run_ns) if run_ns is not None else frozenset()
        pictures = self._scene.renderer.render(self._scene.world)
        sent = {}
        for camera, picture in pictures.items():
            image = np.zeros_like(picture) if camera in dark else picture.copy()
            sent[camera] = image
            self._link.publish(CameraFrame(camera, due.stamp_ns, self._sequence, image))
        self._sequence += 1
        for fault in self._record.settings.faults:
            if fault.kind == BLACK_CAMERA and fault.target in dark and fault not in self._started:
                self._started.add(fault)
                self._recorder.fault(fault, due.monotonic_ns)
        self._recorder.pictures(sent, due, self._scene.world, self._latest)

    def _command(self, now: Now) -> None:
        if self._engage_tick is None or self._handed_over:
            return
        if (self._tick - self._engage_tick) % ENGAGE_STEPS == 0:
            self._link.publish(OperatorCommand(now.stamp_ns, ENGAGE))

    def _drive(self, now: Now) -> None:
        world = self._scene.world
        if self._handed_over and self._localised is not None:
            # The vehicle's controller shares the supervisor's localisation: against the true pose, a localisation
            # error would be added to the vehicle's offset anew with every plan.
            control = self._scene.gate.control(self._localised, now)
        else:
            control = self._scene.driver.control()
        self._recorder.step(self._clock.base.now(self.world_ns), world, self._latest, now)
        world.step(control, STEP_S)

    def _restamped(self, message: Sensed) -> Sensed:
        """The world's stamps count from its own zero; the processes' clock may not."""
        return dataclasses.replace(message, stamp_ns=self._clock.base.stamp_ns + message.stamp_ns)


def require_known(profile: str, sensors: Sequence[str]) -> None:
    """Refuse a scene that cannot be built, before anything costly is done for it.

    Raises:
        ArgumentError: no such road profile, or no such kind of sensors.
    """
    if profile not in PROFILES:
        raise ArgumentError(f"--profile {profile!r}: expected one of {', '.join(PROFILES)}")
    if unknown := [kind for kind in sensors if kind not in SENSOR_KINDS]:
        raise ArgumentError(f"--sensor {unknown[0]!r}: expected one of {', '.join(SENSOR_KINDS)}")


def fill_in_expert(record: RunRecord, loop: ClosedLoop) -> None:
    """The expert's progress over the same stretch of time: it drove until engagement in both cases."""
    if record.steps:
        settings = record.settings
        until_s = (loop.world_ns - (loop.run_ns or 0) + settings.run_ns) / SECOND_NS
        whole_m = expert_progress(settings.seed, settings.profile, until_s)
        record.expert_progress_m = whole_m - record.steps[0].progress_m
