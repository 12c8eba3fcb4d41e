"""One episode: a warmed-up start, a fault at some phase, and everything that was published afterwards."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial

import numpy as np

from onboard_vla.app.campaign.pictures import MomentPictures
from onboard_vla.app.campaign.planted import NeverIntervenes
from onboard_vla.app.campaign.situation import PacedLead, build_scene
from onboard_vla.app.campaign.stand_in import SeeingBody
from onboard_vla.app.campaign.steering import SteeringWatch
from onboard_vla.app.campaign.tamper import Injection, Memory, Tamper, TamperedProcesses
from onboard_vla.app.closed_loop import STEP_NS, ClosedLoop, Scene
from onboard_vla.app.closed_loop_record import RunRecord, RunSettings
from onboard_vla.app.closed_loop_recorder import RunRecorder
from onboard_vla.app.closed_loop_warmup import DEFAULT_WARMUP_NS, warm_up
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS
from onboard_vla.app.lockstep import SupervisorLike, VirtualClock
from onboard_vla.app.lockstep_parts import NO_BUNDLE, NO_PRECISION, make_guard, make_supervisor
from onboard_vla.calibration.provisional import provisional_thresholds
from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.verdict import Reason
from onboard_vla.core.wire import Message
from onboard_vla.safety.supervisor import Supervisor
from onboard_vla.world.expert import Expert
from onboard_vla.world.sensor_table import MODELLED
from onboard_vla.world.world import World

SETTLE_NS = 10 * SECOND_NS
"""Driving after engagement before any fault: L1 has become L0, and its lower speed has been made up for."""
PHASE_NS = 500 * MILLISECOND_NS
"""Onsets are drawn from this span: every phase of cameras (100 ms), plans (200 ms) and heartbeats (60 ms)."""
LEAD_DELAY_S = (0.6, 1.2)
"""From the onset to the lead's braking, s."""
AFTER_ONSET_NS = 8 * SECOND_NS
"""Observed after the onset: the lead's stop at 25 m/s takes 5 s."""
MONITOR_ON, MONITOR_OFF = "on", "off"
LATENCY_NS = 100 * MILLISECOND_NS
PHANTOM_MPS2, CALM_MPS2, PHANTOM_STEPS = 2.5, 0.4, 15
"""Phantom braking: the vehicle brakes harder than the first for 0.3 s while the expert, who sees everything and stands
where the vehicle stands, asks for less than the second."""


@dataclass(frozen=True)
class Published:
    """What one SafeTrajectory said. `received_ns`: monotonic; `finite`: whether all its numbers were.

    `cameras`: of each reason of `codes`, the camera that it names, if any.
    """

    received_ns: int
    mode: int
    engagement: str
    source: str
    plan_id: int
    finite: bool
    codes: tuple[str, ...]
    cameras: tuple[str, ...]


@dataclass(frozen=True)
class Harm:
    """What the world's referee wrote down. `time_ns`: monotonic time of the run."""

    time_ns: int
    kind: str
    at_fault: bool
    detail: str


@dataclass
class Stream:
    """The recorded outputs of one episode; verdicts are computed from this and nothing else."""

    published: list[Published] = field(default_factory=list)
    harms: list[Harm] = field(default_factory=list)
    end_ns: int = 0
    steering: list[tuple[int, float]] = field(default_factory=list)
    """See `SteeringWatch.steps`."""
    error: str = ""
    """An exception that came out of the processes under test."""
    deceleration_max_mps2: float = 0.0
    phantoms: int = 0
    """Times that the vehicle braked hard while the driver of reference saw no cause to."""
    speed_mps: float = 0.0
    """At the end."""


class StreamRecorder(RunRecorder):
    """Keeps the published stream and the referee's list, nothing else."""

    def __init__(self, stream: Stream, driver: Expert) -> None:
        super().__init__(RunRecord(_settings()))
        self.stream, self._driver = stream, driver
        self._seen = self._needless_steps = 0

    def message(self, message: Message, received: Now) -> None:
        """Keep safe trajectories."""
        if isinstance(message, SafeTrajectory):
            self.stream.published.append(
                Published(
                    received.monotonic_ns,
                    int(message.mode),
                    message.engagement.value,
                    message.source,
                    message.plan_id,
                    bool(np.isfinite(message.points).all()),
                    tuple(reason.code for reason in message.reasons),
                    tuple(_camera_of(reason) for reason in message.reasons),
                )
            )

    def step(self, due: Now, world: World, latest: SafeTrajectory | None, now: Now) -> None:
        """Keep what the referee saw."""
        for v in world.violations[self._seen :]:
            self.stream.harms.append(Harm(v.stamp_ns, v.kind, v.at_fault, v.detail))
        self._seen = len(world.violations)
        braking = -world.vehicle.acceleration_mps2
        self.stream.deceleration_max_mps2 = max(self.stream.deceleration_max_mps2, braking)
        if braking > PHANTOM_MPS2 and self._cause(world) < CALM_MPS2:
            self._needless_steps += 1
            self.stream.phantoms += self._needless_steps == PHANTOM_STEPS
        else:
            self._needless_steps = 0
        self.stream.end_ns, self.stream.speed_mps = now.monotonic_ns, world.vehicle.speed_mps

    def _cause(self, world: World) -> float:
        """Braking that the expert would begin here and now, were it rolling freely: its own law is bound in jerk."""
        real = world.vehicle.acceleration_mps2
        world.vehicle.acceleration_mps2 = 0.0
        wanted = -self._driver.control().acceleration_mps2
        world.vehicle.acceleration_mps2 = real
        return wanted


@dataclass(frozen=True)
class StartKey:
    """What a warmed-up start depends on."""

    speed_mps: float
    seed: int
    monitor: str
    sensor: str = MODELLED


@dataclass
class Rig:
    """A closed loop that can be put aside and driven on from the same instant many times."""

    loop: ClosedLoop
    processes: TamperedProcesses
    scene: Scene
    lead: PacedLead
    recorder: StreamRecorder


def make_rig(key: StartKey) -> Rig:
    """A fresh loop: real supervisor and camera guard, or (monitor off) one that never intervenes."""
    scene, lead = build_scene(key.seed, key.speed_mps, key.sensor)
    return assemble(scene, lead, SUPERVISORS[key.monitor]())


def real_supervisor() -> Supervisor:
    """The one under test, configured as the demo's."""
    return make_supervisor(provisional_thresholds(NO_BUNDLE, NO_PRECISION, created="campaign"))


SUPERVISORS: dict[str, Callable[[], SupervisorLike]] = {MONITOR_ON: real_supervisor, MONITOR_OFF: NeverIntervenes}
"""What stands behind each setting of the monitor; tests plant others."""


def assemble(scene: Scene, lead: PacedLead, supervisor: SupervisorLike) -> Rig:
    """The loop around a scene whose pictures carry their moment."""
    pictures = scene.renderer
    assert isinstance(pictures, MomentPictures)
    processes = TamperedProcesses(partial(SeeingBody, pictures, NO_BUNDLE), supervisor, make_guard())
    processes.set_latency(LATENCY_NS)
    scene.gate = watch = SteeringWatch()
    recorder = StreamRecorder(Stream(steering=watch.steps), scene.driver)
    loop = ClosedLoop(scene, processes, VirtualClock(processes), processes, RunRecord(_settings()), recorder)
    return Rig(loop, processes, scene, lead, recorder)


def warmed_up(key: StartKey) -> bytes:
    """A rig that has driven undisturbed until the model drives in L0, as bytes to go on from any number of times."""
    rig = make_rig(key)
    warm_up(rig.loop, DEFAULT_WARMUP_NS)
    rig.loop.engage()
    for _ in range(SETTLE_NS // STEP_NS):
        rig.loop.step()
    return pickle.dumps(rig)


@lru_cache(maxsize=8)
def kept_start(key: StartKey) -> bytes:
    """As `warmed_up`, made once in a process."""
    return warmed_up(key)


@dataclass(frozen=True)
class Course:
    """What happens after the onset. `fault_ns`: how long the faults stay; None: until the end.

    `lead_brakes`: hard to a stop; else it slows for a moment and drives on.
    """

    watched_ns: int = AFTER_ONSET_NS
    fault_ns: int | None = None
    lead_brakes: bool = True


def drive_on(
    start: bytes,
    tampers: Sequence[Tamper],
    seed: int,
    course: Course = Course(),
    enough: Callable[[Stream, int], bool] | None = None,
) -> tuple[Stream, list[Injection]]:
    """Drive on from a start with these faults, both from the same onset.

    Args:
        start: see `warmed_up`.
        tampers: faults; none for a control.
        seed: of the onset's phase, the lead and the fault's own randomness.
        course: how long, and what the lead does.
        enough: told what was recorded and when the faults end; true ends the episode early.
    """
    rig: Rig = pickle.loads(start)  # noqa: S301 - our own bytes, from this process
    rng = np.random.default_rng([seed, 0xFA17])
    begin_ns = rig.loop.world_ns
    onset_ns = begin_ns + int(rng.integers(0, PHASE_NS)) + STEP_NS
    lead_s = seconds(onset_ns) + float(rng.uniform(*LEAD_DELAY_S))
    if course.lead_brakes:
        rig.lead.brake_at_s = lead_s
    else:
        rig.lead.slow_at_s = lead_s
    end_ns = onset_ns + (course.watched_ns if course.fault_ns is None else course.fault_ns)
    speed = rig.scene.world.vehicle.speed_mps
    injections = [
        Injection(tamper, Memory(np.random.default_rng([seed, k]), speed, onset_ns), end_ns)
        for k, tamper in enumerate(tampers)
    ]
    rig.processes.inject(injections)
    stream = rig.recorder.stream
    try:
        while rig.loop.world_ns <= onset_ns + course.watched_ns:
            rig.loop.step()
            if enough is not None and enough(stream, end_ns):
                break
    except Exception as error:
        stream.error = f"{type(error).__name__}: {error}"
        stream.end_ns = rig.loop.world_ns
    return stream, injections


def _camera_of(reason: Reason) -> str:
    """Details about a camera begin with its name."""
    begin = reason.detail.partition(":")[0]
    return begin if begin in CAMERAS else ""


def _settings() -> RunSettings:
    return RunSettings(0, "winding", "modelled", "lockstep", 0, DEFAULT_WARMUP_NS, "stand-in", (), LATENCY_NS)
