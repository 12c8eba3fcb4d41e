"""The planner process without its transport: newest inputs in, plans and heartbeats out.

`receive` and `heartbeat` may be called from any thread at any time; `plan_once` blocks for one inference and belongs to
one thread. The lock guards the stored inputs alone and is never held during inference.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from onboard_vla.core.bundle_manifest import CameraInput
from onboard_vla.core.cameras import CameraFrame, CameraModel, CompressedFrame, FrameSet
from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import EngineError, FrameError, GeometryError, OnboardVlaError, PromptError
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.plan import FAST, Heartbeat, Plan, PlanRejection
from onboard_vla.core.process import Clock
from onboard_vla.core.process_graph import PlannerInput
from onboard_vla.core.road import Route
from onboard_vla.core.supervision import Supervision
from onboard_vla.runtime.anchor_pacing import AnchorPacing
from onboard_vla.runtime.camera_check import calibration_mismatch
from onboard_vla.runtime.first_thoughts import FirstThoughts
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.load_shedding import DEPTH as THINKING
from onboard_vla.runtime.load_shedding import LoadShedding
from onboard_vla.runtime.second_answers import SecondAnswers

PROCESS_NAME = "vla_planner"
"""Name in heartbeats."""
MAX_EGO_AGE_S = 0.5
"""Largest distance between the ego state's and the anchor picture's stamp; ego states come at 50 Hz."""

CLOCK_RESTART_S = 1.0
"""A stamp this much older than the last one is no late message: the data clock was set back."""
REJECTION_CODES: dict[type[OnboardVlaError], str] = {
    EngineError: "engine_failed",
    FrameError: "frames_invalid",
    GeometryError: "route_invalid",
    PromptError: "prompt_invalid",
}
"""Code of the rejection that stands for an error raised while planning."""
PLANNER_FAILED = "planner_failed"
"""Code of one that stands for any other of ours."""


class PlanMaker(Protocol):
    """What the body needs of a planner."""

    def plan(
        self,
        frames: FrameSet,
        ego: EgoState,
        command: str,
        plan_id: int,
        *,
        depth: str | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        act_now: Callable[[bool], bool] = lambda _: False,
    ) -> Plan | PlanRejection:
        """Make one plan; `depth`: another than usual; the rest limits slow answers, see `planner.Planner.plan`."""

    def warm_up(self) -> None:
        """Run once on made-up input, so that the first real plan is not slower than the rest."""


class PlannerBody:
    """Newest-wins store of inputs around a planner.

    `cameras`: what the bundle expects of each camera; camera models that arrive are held against it. `pacing`: which
    complete frame sets are planned on; the newest at any time, if not given. `second`: slow answers behind fast ones;
    every plan stands alone, if not given. `first`: leave of plans whose only answer may be slow; without it the planner
    does as it is set, with no deadline, which is for evaluation alone. `shedding`: what plans go without while time or
    power is short; nothing, if not given.
    """

    def __init__(
        self,
        planner: PlanMaker,
        ingest: CameraIngest,
        *,
        process_name: str = PROCESS_NAME,
        cameras: Mapping[str, CameraInput] | None = None,
        pacing: AnchorPacing | None = None,
        second: SecondAnswers | None = None,
        first: FirstThoughts | None = None,
        shedding: LoadShedding | None = None,
    ) -> None:
        self._planner, self._pacing, self._shedding = planner, pacing, shedding
        self._second, self._first = second, first
        self._ingest = ingest
        self._cameras = dict(cameras or {})
        self._heard: set[str] = set()
        self._process_name = process_name
        self._lock = threading.Lock()
        self._ego: EgoState | None = None
        self._route: Route | None = None
        self._route_line: tuple[Route, Polyline] | None = None
        self._last_anchor_ns: int | None = None
        self._plan_id = 0
        self._sequence = 0
        self._started = 0
        self._done = 0
        self._ready = False
        self._detail = "warming up"
        self.refused_frames = 0

    def warm_up(self) -> None:
        """Prepare the planner; heartbeats say ready afterwards. `plan_once` does it on its first call if need be."""
        self._planner.warm_up()
        with self._lock:
            self._ready = True
            self._detail = "waiting for frames"

    def receive(self, message: PlannerInput, now: Now) -> None:
        """Store a message; a malformed picture is counted and shows in the heartbeat, nothing is raised."""
        with self._lock:
            if isinstance(message, (CameraFrame, CompressedFrame)):
                try:
                    self._ingest.add(message)
                except FrameError as error:
                    self.refused_frames += 1
                    self._detail = str(error)
            elif isinstance(message, EgoState):
                if self._ego is None or message.stamp_ns >= self._ego.stamp_ns or self._clock_restarted(message):
                    self._ego = message
            elif isinstance(message, Route):
                self._route = message
            elif isinstance(message, Supervision):
                if self._second is not None:
                    self._second.observe(message, now)
                if self._first is not None:
                    self._first.observe(message, now.monotonic_ns)
            elif isinstance(message, CameraModel) and message.camera in self._cameras:
                camera = message.camera
                self._heard.add(camera)
                sent = self._ingest.picture_size(camera)
                self._ingest.bar(camera, calibration_mismatch(message, self._cameras[camera], sent))

    def cameras_heard(self) -> dict[str, bool]:
        """Of each camera whose lens the bundle names: whether a model of it has arrived; any thread."""
        with self._lock:
            named = [role for role, expected in self._cameras.items() if expected.intrinsics is not None]
            return {role: role in self._heard for role in named}

    def plan_once(self, now: Now) -> Plan | PlanRejection | None:
        """Plan on the newest complete frame set; none when there is no new one or another input is missing."""
        if not self._ready:
            self.warm_up()
        with self._lock:
            chosen = self._choose(now)
            if chosen is None:
                return None
            frames, ego, route = chosen
            self._last_anchor_ns = frames.stamp_ns
            self._plan_id += 1
            plan_id = self._plan_id
            self._started += 1
        try:
            begin_s = time.monotonic()
            result = self._plan(frames, ego, route, plan_id, now)
            if self._pacing is not None:
                self._pacing.took(time.monotonic() - begin_s)
        except OnboardVlaError as error:
            result = PlanRejection(
                plan_id, frames.stamp_ns, REJECTION_CODES.get(type(error), PLANNER_FAILED), str(error)
            )
        with self._lock:
            self._done += 1
            self._detail = f"plan {plan_id}" if isinstance(result, Plan) else f"plan {plan_id} rejected: {result.code}"
            if without := [camera for camera in self._cameras if camera not in frames.images]:
                self._detail += f", without {', '.join(without)}"
        return result

    def second_answer(self, first: Plan, due_ns: int, clock: Clock, needed: Callable[[], bool]) -> Plan | None:
        """A slow answer on the pictures of the fast plan just made, where the depth policy wants one and it gets done.

        Args:
            first: what `plan_once` just gave.
            due_ns: when the next plan may start, monotonic; from then on newer pictures take the engine.
            clock: asked while thinking.
            needed: whether the engine is wanted for something else, asked before every token.
        """
        second = self._second
        if second is None or THINKING in first.shed:
            return None
        tokens = second.room(first, due_ns, clock())
        if not tokens:
            return None
        with self._lock:
            self._plan_id += 1
            plan_id = self._plan_id
            self._started += 1

        def wanted() -> bool:
            return needed() or (clock().monotonic_ns >= due_ns and self._newer_picture_waits())

        answer = second.answer(first, plan_id, tokens, clock, wanted)
        with self._lock:
            self._done += 1
        return None if answer is None else replace(answer, shed=first.shed)

    def pass_over(self) -> None:
        """Plan no more on what the anchor camera has sent so far; it may be history of later plans."""
        with self._lock:
            newest_ns = self._ingest.newest_anchor_ns
            if newest_ns is not None:
                self._last_anchor_ns = newest_ns

    def heartbeat(self, now: Now) -> Heartbeat:
        """Progress so far."""
        with self._lock:
            self._sequence += 1
            return Heartbeat(
                process=self._process_name,
                process_id=os.getpid(),
                sequence=self._sequence,
                stamp_ns=now.stamp_ns,
                work_started=self._started,
                work_done=self._done,
                ready=self._ready,
                detail="; ".join([self._detail, *(one.summary for one in (self._second, self._first) if one)]),
            )

    def _newer_picture_waits(self) -> bool:
        with self._lock:
            newest_ns = self._ingest.newest_anchor_ns
            return newest_ns is not None and not self._already_planned(newest_ns)

    def _choose(self, now: Now) -> tuple[FrameSet, EgoState, Route] | None:
        frames = self._ingest.frame_set()
        if frames is None:
            missing = self._ingest.missing
            if missing is not None:
                self._detail = f"{missing.code} {missing.camera}: {missing.detail}"
            return None
        if self._already_planned(frames.stamp_ns):
            return None
        if self._ego is None or self._route is None:
            self._detail = "no ego state yet" if self._ego is None else "no route yet"
            return None
        if self._pacing is not None and not self._pacing.takes(frames, now.stamp_ns):
            return None
        return frames, self._ego, self._route

    def _plan(self, frames: FrameSet, ego: EgoState, route: Route, plan_id: int, now: Now) -> Plan | PlanRejection:
        age_s = abs(seconds(frames.stamp_ns - ego.stamp_ns))
        if age_s > MAX_EGO_AGE_S:
            detail = f"ego state is {age_s:.3f} s away from the anchor picture, the limit is {MAX_EGO_AGE_S} s"
            return PlanRejection(plan_id, frames.stamp_ns, "ego_stale", detail)
        command, shedding = self._command(route, ego), self._shedding
        if shedding is None:
            return self._answered(frames, ego, command, plan_id, now)
        left_out = shedding.left_out
        shown = shedding.reduced(frames, left_out)
        begin_s = time.monotonic()
        result = self._answered(shown, ego, command, plan_id, now, thinks=THINKING not in left_out)
        if isinstance(result, PlanRejection):
            took_s = time.monotonic() - begin_s
            if took_s > shedding.period_s:  # one that came quickly does not tell how long plans take
                shedding.note(took_s, now.monotonic_ns)
            return result
        shedding.note(result.stage_ms["total"] / 1e3, now.monotonic_ns)
        return replace(result, shed=left_out)

    def _answered(
        self, frames: FrameSet, ego: EgoState, command: str, plan_id: int, now: Now, *, thinks: bool = True
    ) -> Plan | PlanRejection:
        """One answer. Where thinking first needs leave: fast without it."""
        first = self._first
        if first is None and thinks:
            return self._planner.plan(frames, ego, command, plan_id)
        if first is not None and thinks and first.may_begin(now.monotonic_ns):
            result = self._planner.plan(frames, ego, command, plan_id, cancelled=first.ending, act_now=first.act_now)
        else:
            result = self._planner.plan(frames, ego, command, plan_id, depth=FAST)
        if first is not None and isinstance(result, Plan):
            first.note(result)
        return result

    def _command(self, route: Route, ego: EgoState) -> str:
        if self._route_line is None or self._route_line[0] is not route:
            self._route_line = route, Polyline(route.points)
        if not (abs(ego.x_m) < float("inf") and abs(ego.y_m) < float("inf")):
            raise GeometryError(f"ego position ({ego.x_m}, {ego.y_m}) is not finite")
        along, _ = self._route_line[1].project(np.array([[ego.x_m, ego.y_m]]))
        return route.command_at(float(along[0]))

    def _already_planned(self, anchor_ns: int) -> bool:
        return self._last_anchor_ns is not None and 0 <= seconds(self._last_anchor_ns - anchor_ns) < CLOCK_RESTART_S

    def _clock_restarted(self, ego: EgoState) -> bool:
        return self._ego is not None and seconds(self._ego.stamp_ns - ego.stamp_ns) >= CLOCK_RESTART_S
