"""The planner process: one worker thread infers and publishes, the main thread only stores messages."""

from __future__ import annotations

import dataclasses
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, runtime_checkable

from onboard_vla.core.cameras import CameraFrame, CameraModel, CompressedFrame
from onboard_vla.core.clock import Now, nanoseconds, system_now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.process import Clock, LensChecking, OptionValue, Publish, Role, Timer
from onboard_vla.core.process_graph import PLANNER, PlannerInput
from onboard_vla.core.realtime import request_realtime_thread
from onboard_vla.core.refusals import log_event
from onboard_vla.core.road import Route
from onboard_vla.core.supervision import Supervision
from onboard_vla.core.wire import Message
from onboard_vla.runtime.anchor_pacing import AnchorPacing
from onboard_vla.runtime.camera_shapes import parse_sizes, stated_sizes
from onboard_vla.runtime.camera_timing import parse_offsets, rig_timing
from onboard_vla.runtime.decoding import MODEL
from onboard_vla.runtime.depth_policy import ADAPTIVE, ALWAYS_FAST, ALWAYS_SLOW, FIRST_ANSWER
from onboard_vla.runtime.engine import TENSORRT
from onboard_vla.runtime.first_thoughts import FirstThoughts
from onboard_vla.runtime.load_shedding import FULL, LoadShedding
from onboard_vla.runtime.planner_options import PLANNER_OPTIONS, REDUCED, SILENT_AFTER_S, STUCK_AFTER_S, depth_limits

HEARTBEAT_PERIOD_S = 0.05
"""20 Hz: the supervisor misses the planner after three periods."""
WAKE_LIMIT_S = 0.5
"""Longest wait of an idle worker before it looks whether it should end."""
PAUSED = "inactive"
"""Heartbeat's detail of a planner that was told to rest."""
STOP_LIMIT_S = 2.0
"""How long a stopping process waits for a running inference."""


class PlannerBodyLike(Protocol):
    """What the host needs of `planner_body.PlannerBody`."""

    def warm_up(self) -> None:
        """Run the engines before the first plan."""

    def receive(self, message: PlannerInput, now: Now) -> None:
        """Store the newest; thread-safe."""

    def plan_once(self, now: Now) -> Plan | PlanRejection | None:
        """One blocking inference on the newest complete frame set; None when there is no new one."""

    def pass_over(self) -> None:
        """Plan no more on the pictures that came so far; thread-safe."""

    def heartbeat(self, now: Now) -> Heartbeat:
        """Progress so far; thread-safe."""


@runtime_checkable
class AnswersTwice(Protocol):
    """A body that may answer slowly after a fast plan."""

    def second_answer(self, first: Plan, due_ns: int, clock: Clock, needed: Callable[[], bool]) -> Plan | None:
        """See `planner_body.PlannerBody`."""


class PlannerHost:
    """Runs a planner body: `receive` and heartbeats on the transport's thread, plans on a worker thread.

    `realtime_priority` is for the transport's thread alone, so that a busy machine does not make a live planner look
    dead; inference stays ordinary work. `pacing`, `shedding`, `first`: the body's, which have to know a changed period
    and power mode; `first` also when planning is to end or to rest.
    """

    def __init__(
        self,
        body: PlannerBodyLike,
        plan_period_s: float = 0.0,
        stuck_after_s: float = STUCK_AFTER_S,
        realtime_priority: int = 0,
        silent_after_s: float = SILENT_AFTER_S,
        pacing: AnchorPacing | None = None,
        shedding: LoadShedding | None = None,
        first: FirstThoughts | None = None,
    ) -> None:
        self._body, self._priority = body, realtime_priority
        self._pacing, self._shedding, self._first = pacing, shedding, first
        self._period_s = plan_period_s
        self._silent_ns, self._stuck_ns = nanoseconds(silent_after_s), nanoseconds(stuck_after_s)
        self._paused, self._pauses, self._pauses_before = False, 0, 0
        """Whether it rests; how often it was told to, ever, and before the present pass."""
        self._saying = threading.Lock()
        self._publish: Publish | None = None
        self._clock: Clock = system_now
        self._warm, self._begun = threading.Event(), threading.Event()
        self._news, self._ending = threading.Event(), threading.Event()
        self._busy_since_ns: int | None = None
        self._error: BaseException | None = None
        self._died: str | None = None
        self._worker = threading.Thread(target=self._work, name="planner-worker", daemon=True)

    @property
    def timers(self) -> tuple[Timer, ...]:
        """The heartbeat; it comes from the main thread, so that it proves that messages are still taken in."""
        return (Timer(HEARTBEAT_PERIOD_S, self._beat),)

    def schedule(self) -> None:
        """For the calling thread alone."""
        request_realtime_thread(PLANNER, self._priority)

    def warm_up(self) -> None:
        """Run the engines, before `start` and for as long as it takes; `start` does it behind heartbeats otherwise.

        It happens on the worker, because graphs that ONNX Runtime captures belong to the thread that captured them.

        Raises:
            OnboardVlaError: they do not run; the worker has ended.
        """
        self._worker.start()
        try:
            self._warm.wait()
        except BaseException:  # told to end
            self.stop()
            raise
        if self._error is not None:
            raise self._error

    def start(self, publish: Publish, clock: Clock) -> None:
        """Let the worker begin."""
        self._publish, self._clock = publish, clock
        if self._first is not None:
            self._first.attend(clock, self._wanted_elsewhere)
        self._begun.set()
        if self._worker.ident is None:
            self._worker.start()

    def receive(self, message: Message, now: Now) -> None:
        """Store a message and wake the worker."""
        if isinstance(message, (EgoState, Route, CameraModel, Supervision)):
            self._body.receive(message, now)
        elif isinstance(message, (CameraFrame, CompressedFrame)) and not self._paused:
            self._body.receive(message, now)
            self._news.set()

    def pause(self) -> None:
        """Publish no plan any more, of a pass under way not even after `resume`.

        Route and ego state are kept, no pictures taken.
        """
        with self._saying:
            self._paused = True
            self._pauses += 1

    def resume(self) -> None:
        """Plan on the pictures that come from now on; older ones may be their history."""
        self._body.pass_over()
        self._paused = False

    def change(self, values: Mapping[str, OptionValue]) -> str | None:
        """Take another plan period and power mode; they hold after the next plan."""
        self._period_s = float(values.get("plan_period_s", self._period_s))
        if self._pacing is not None:
            self._pacing.period_s = self._period_s
        if self._first is not None:
            self._first.period_s = self._period_s
        if self._shedding is not None:
            self._shedding.period_s = self._period_s
            self._shedding.power = str(values.get("load.power_mode", self._shedding.power))
        return None

    def cameras_heard(self) -> Mapping[str, bool]:
        """Of each camera whose lens the bundle names: whether a driver has said what its lens is."""
        return self._body.cameras_heard() if isinstance(self._body, LensChecking) else {}

    def failure(self) -> str | None:
        """Why the worker is of no use any more."""
        if self._died is None and self._busy_ns() > self._stuck_ns:
            return f"the worker has been in one pass for more than {self._stuck_ns / 1e9:g} s"
        return self._died

    def stop(self) -> bool:
        """Ask the worker to end after its current pass and wait for it."""
        self._ending.set()
        self._news.set()
        self._begun.set()
        if self._worker.is_alive():
            self._worker.join(STOP_LIMIT_S)
        return not self._worker.is_alive()

    def _wanted_elsewhere(self) -> bool:
        return self._ending.is_set() or self._told_to_rest()

    def _told_to_rest(self) -> bool:
        """Since the present pass began."""
        return self._paused or self._pauses != self._pauses_before

    def _busy_ns(self) -> int:
        """How long the present pass has lasted."""
        since_ns = self._busy_since_ns
        return 0 if since_ns is None else time.monotonic_ns() - since_ns

    def _beat(self) -> None:
        if self._publish is None or self._died is not None or self._busy_ns() > self._silent_ns:
            return
        beat = self._body.heartbeat(self._clock())
        self._publish(dataclasses.replace(beat, ready=False, detail=PAUSED) if self._paused else beat)

    def _think_further(self, first: Plan | PlanRejection, started_ns: int) -> None:
        """A slow answer in what is left of the period, if the body wants to."""
        if not isinstance(first, Plan) or not isinstance(self._body, AnswersTwice):
            return
        self._busy_since_ns = time.monotonic_ns()
        due_ns = started_ns + nanoseconds(self._period_s)
        second = self._body.second_answer(first, due_ns, self._clock, self._wanted_elsewhere)
        self._busy_since_ns = None
        if second is not None:
            self._say(second)

    def _say(self, result: Plan | PlanRejection) -> bool:
        """Publish what a pass found, unless it was told to rest meanwhile; whether it was published."""
        with self._saying:
            if self._told_to_rest() or self._publish is None:
                return False
            self._publish(result)
            return True

    def _work(self) -> None:
        try:
            self._body.warm_up()
            self._warm.set()
            self._begun.wait()
            while not self._ending.is_set():
                self._news.wait(WAKE_LIMIT_S)
                self._news.clear()
                self._pauses_before = self._pauses
                if self._paused:
                    continue
                started_ns = self._busy_since_ns = time.monotonic_ns()
                result = self._body.plan_once(self._clock())
                self._busy_since_ns = None
                if result is not None and self._say(result):
                    self._think_further(result, started_ns)
                    self._news.set()
                    self._ending.wait(max(0.0, self._period_s - (time.monotonic_ns() - started_ns) / 1e9))
        except BaseException as error:  # whatever killed the worker must not leave a process that only looks alive
            self._error, self._died = error, f"the worker died: {traceback.format_exc()}"
            self._warm.set()


def build_planner_host(options: Mapping[str, OptionValue]) -> PlannerHost:
    """Open the bundle, make the planner, and run its engines once.

    Raises:
        OnboardVlaError: the bundle is missing or damaged, or its engines do not load or do not run here.
    """
    from onboard_vla.runtime.bundle import Bundle
    from onboard_vla.runtime.engine_choice import engine_loader
    from onboard_vla.runtime.engine_gate import gate_unjudged
    from onboard_vla.runtime.ingest import CameraIngest
    from onboard_vla.runtime.planner import Planner
    from onboard_vla.runtime.planner_body import PlannerBody
    from onboard_vla.runtime.second_answers import SecondAnswers

    silent_after_s, stuck_after_s = float(options["silent_after_s"]), float(options["stuck_after_s"])
    if silent_after_s > stuck_after_s:
        raise ConfigurationError(
            f"silent_after_s: expected at most stuck_after_s ({stuck_after_s:g} s), found {silent_after_s:g} s"
        )
    bundle = Bundle.open(Path(str(options["bundle"])))
    if bundle.manifest.unjudged:
        log_event(PLANNER, "bundle_unjudged", points=list(bundle.manifest.unjudged))
    frames = bundle.manifest.frames
    offsets_s = parse_offsets(str(options["cameras.offsets_s"]), bundle.cameras)
    timing = rig_timing(bundle.cameras, offsets_s, float(options["cameras.tolerance_s"]), bundle.optional_cameras)
    sizes = stated_sizes(bundle.manifest.cameras) | parse_sizes(str(options["cameras.sizes"]), bundle.cameras)
    ingest = CameraIngest(bundle.cameras, frames.per_camera, frames.spacing_s, sizes=sizes, timing=timing)
    period_s = float(options["plan_period_s"])
    pacing = AnchorPacing(frames.spacing_s, period_s) if options["cameras.share_decoding"] else None
    threads, engines = int(options["threads"]), str(options["engines"])
    load = engine_loader(
        str(options["engine"]),
        bundle,
        threads=threads,
        folder=Path(engines) if engines else None,
        unjudged=bool(options["unjudged_engines"]),
    )
    if options["engine"] == TENSORRT and (points := gate_unjudged(bundle.manifest)):
        log_event(PLANNER, "engines_unjudged", points=list(points))
    planner = Planner(
        bundle,
        threads,
        load=load,
        depth=FIRST_ANSWER[str(options["depth.policy"])],
        reduced_decoding=options["cameras.decode"] == REDUCED,
        actions_alone=bool(options["actions_alone"]),
        offsets_s=offsets_s.values(),
    )
    shedding = LoadShedding(
        bundle.manifest,
        period_s,
        str(options["load.power_mode"]),
        thinks=options["depth.policy"] != ALWAYS_FAST,
        by_time=bool(options["load.shed_when_late"]),
    )
    say_what_does_nothing(options, shedding)
    limits, policy = depth_limits(options), options["depth.policy"]
    first = None
    if policy in (ALWAYS_SLOW, MODEL):
        first = FirstThoughts(limits, bundle.manifest.actions.per_answer, period_s)
    body = PlannerBody(
        planner,
        ingest,
        pacing=pacing,
        second=SecondAnswers(planner, limits) if policy == ADAPTIVE else None,
        first=first,
        shedding=shedding,
        cameras={camera.role: camera for camera in bundle.manifest.cameras},
    )
    host = PlannerHost(
        body,
        period_s,
        stuck_after_s,
        int(options["realtime_priority"]),
        silent_after_s,
        pacing,
        shedding,
        first,
    )
    host.warm_up()
    return host


def say_what_does_nothing(options: Mapping[str, OptionValue], shedding: LoadShedding) -> None:
    """One log line for options that change nothing with this bundle and the other options."""
    power, by_time = options["load.power_mode"], options["load.shed_when_late"]
    if not shedding.steps and (power != FULL or by_time):
        why = "the model needs all of its pictures and cameras, and the depth policy does not think"
        log_event(PLANNER, "nothing_to_leave_out", power_mode=power, shed_when_late=by_time, why=why)
    if options["engine"] != TENSORRT and (options["engines"] or options["unjudged_engines"]):
        why = f"engines and unjudged_engines are for the engine {TENSORRT}"
        log_event(PLANNER, "engines_not_used", engine=options["engine"], why=why)


PLANNER_ROLE = Role(PLANNER, PLANNER_OPTIONS, build_planner_host)
