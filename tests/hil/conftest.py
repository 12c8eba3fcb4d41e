"""Real processes on a straight road: supervisor, camera guard and a planner without a model, over either transport."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.app.processes import ProcessSet, ProcessSpec
from onboard_vla.core.bundle_manifest import BundleManifest, computed_precision, load_manifest
from onboard_vla.core.cameras import CAMERAS, FRONT, CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, PROCESSES, SUPERVISOR
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import ENGAGE, Engagement, Mode, OperatorCommand, SafeTrajectory
from onboard_vla.core.thresholds import SIGNALS, Threshold, Thresholds
from onboard_vla.core.wire import Message

from .conclusive import RealTimeRig
from .stand_in_bundle import write_stand_in_bundle

STAND_IN_PLANNER = Path(__file__).with_name("stand_in_planner.py")
STEP_S = 0.02
SPEED_MPS = 8.0
LIMIT_S = 30.0
Arrived = tuple[Message, Now]


class StraightRoad:
    """A vehicle at constant speed that publishes what a vehicle publishes, and keeps what it hears."""

    def __init__(self, link) -> None:
        self.link = link
        self.heard: list[Arrived] = []
        self.black_since: Now | None = None
        self.sent_ns: list[int] = []
        self.lateness_s = 0.0
        self.first_black_ns: int | None = None
        self._steps = 0
        self._begin_ns = time.monotonic_ns()
        self._never = threading.Event()
        self._textures = np.kron(
            np.random.default_rng(0).integers(30, 220, (10, 36, 64, 3), np.uint8), np.ones((1, 7, 7, 1), np.uint8)
        )
        self._black = np.zeros_like(self._textures[0])
        self._x0_ns = time.time_ns()

    def step(self) -> list[Arrived]:
        """Wait for the next 20 ms, publish what is due, and return what has arrived."""
        self._steps += 1
        due_ns = self._begin_ns + int(self._steps * STEP_S * 1e9)
        late_s = (time.monotonic_ns() - due_ns) / 1e9
        self.lateness_s = max(self.lateness_s, late_s)
        if late_s > 0.5:
            self._begin_ns += int(late_s * 1e9)
        self._never.wait(max(0.0, -late_s))
        stamp = time.time_ns()
        x = SPEED_MPS * (stamp - self._x0_ns) / 1e9
        self.link.publish(EgoState(stamp, x, 0.0, 0.0, SPEED_MPS, 0.0, 0.0))
        if self._steps % 5 == 1:
            self._publish_cameras(stamp)
            self.link.publish(ObjectList(stamp, ()))
            self.link.publish(self._lanes(stamp, x))
        arrived = self.link.poll()
        self.heard += arrived
        return arrived

    def until(self, condition: Callable[[Message, Now], bool], what: str) -> Arrived:
        """Drive on until a message fulfils a condition."""
        end = time.monotonic() + LIMIT_S
        last = None
        while time.monotonic() < end:
            for message, now in self.step():
                last = message if isinstance(message, SafeTrajectory) else last
                if condition(message, now):
                    return message, now
        codes = last and (last.mode, last.engagement, last.shadow_passes, [r.code for r in last.reasons])
        raise AssertionError(f"not within {LIMIT_S} s: {what}; last safe trajectory: {codes}; {self._mode_changes()}")

    def until_mode(self, test: Callable[[Mode], bool], after: Now | None = None) -> Arrived:
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
        said, before = [], None
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


def wide_thresholds(manifest: BundleManifest) -> Thresholds:
    """Limits for this bundle that no plan of the stand-in planner exceeds."""
    limits = tuple(
        Threshold(name, 5.0 if unit == "m" else (1.0 if direction == "above" else 0.0), unit, direction, "test")
        for name, (unit, direction) in SIGNALS.items()
    )
    precision = computed_precision(manifest)
    return Thresholds(manifest.core_hash, precision, True, "test", "test", 0, 1.0, 1.0, "2026-01-01", limits)


def schedule_this_rig(policy: int, priority: int) -> None:
    """Keep the rig itself on time beside other load, where permitted; its children stay ordinary processes."""
    with contextlib.suppress(PermissionError):
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), policy | os.SCHED_RESET_ON_FORK, os.sched_param(priority))


class Graph:
    """Link, processes and road on one transport."""

    def __init__(self, transport: str, directory: Path, bundle: Path | None = None) -> None:
        self.transport, self.directory, self.bundle = transport, directory, bundle
        thresholds = directory / "thresholds.json"
        manifest = load_manifest(bundle) if bundle else write_stand_in_bundle(directory / "bundle")
        wide_thresholds(manifest).save(thresholds)
        planner = {"bundle": bundle} if bundle else {"bundle_hash": manifest.core_hash}
        supervisor = {"profile": "simulation", "thresholds": thresholds, "bundle": bundle or directory / "bundle"}
        options = {PLANNER: planner, CAMERA_GUARD: {}, SUPERVISOR: supervisor}
        self.link = self._make_link()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        specs = [ProcessSpec(name, self.command(name, options[name]), environment) for name in PROCESSES]
        self.processes = ProcessSet(specs, directory / "logs")
        self.processes.start()
        self.link.wait_ready(LIMIT_S, PROCESSES)
        self.road = StraightRoad(self.link)
        self.road.give_route()
        schedule_this_rig(os.SCHED_FIFO, 5)

    def command(self, name: str, options: dict[str, object]) -> tuple[str, ...]:
        """The command line of a process."""
        room = "hil" if self.transport == "zmq" else "ros_nodes"
        program = ("-m", f"onboard_vla.{room}.{name}")
        if name == PLANNER and self.bundle is None:
            program = (str(STAND_IN_PLANNER), self.transport)
        if self.transport == "zmq":
            words = ["--endpoints", str(self.directory)]
            words += [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        else:
            words = ["--ros-args", *(word for key, value in options.items() for word in ("-p", f"{key}:={value}"))]
        return (sys.executable, *program, *words)

    def _make_link(self):
        if self.transport == "zmq":
            from onboard_vla.hil.vehicle_link import ZmqVehicleLink

            return ZmqVehicleLink(self.directory)
        from onboard_vla.ros_nodes.environment import unused_domain_id
        from onboard_vla.ros_nodes.vehicle_link import RosVehicleLink

        return RosVehicleLink(unused_domain_id())

    def close(self) -> None:
        schedule_this_rig(os.SCHED_OTHER, 0)
        self.processes.close()
        self.link.close()


@pytest.fixture
def make_graph() -> Callable[..., Graph]:
    """For tests that need a graph of their own."""
    return Graph


@pytest.fixture(scope="module", params=["zmq", pytest.param("ros", marks=pytest.mark.ros)])
def rig(request: pytest.FixtureRequest) -> Iterator[RealTimeRig]:
    """Three real processes that drive on a straight road; shared by a module's tests."""
    rig = RealTimeRig(Graph, request.param)
    yield rig
    rig.close()
