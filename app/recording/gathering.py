"""One recording's messages in, scenes out: what the planner would have been shown, and what was then driven.

A scene is given out once the drive has gone on for as long as a plan reaches; no more than that is kept in memory.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.recording.driven import LONGEST_GAP_S, DrivenPath
from onboard_vla.core.cameras import CameraFrame, CompressedFrame, EncodedPicture, FrameSet
from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import FrameError, GeometryError, PromptError
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import Route
from onboard_vla.export.scenes import Scene
from onboard_vla.kernels.reference_images import crop_and_resize
from onboard_vla.runtime.camera_shapes import stated_sizes
from onboard_vla.runtime.context_length import prompt_writer
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner_body import MAX_EGO_AGE_S
from onboard_vla.runtime.prompt import Tokenizer

if TYPE_CHECKING:
    from onboard_vla.runtime.bundle import Bundle

FAR_EGO = f"with the ego state more than {MAX_EGO_AGE_S:g} s from the pictures"
HOLE = f"with a hole of more than {LONGEST_GAP_S:g} s in the ego state"
NO_WORDS = "that the prompt has no words for"
PICTURE_COUNTS = ("damaged", "duplicates", "too_old", "resized", "misshapen", "foreign")
"""What the ingest counts of pictures that it does not give out; `misshapen`: of another shape than the bundle states;
`foreign`: of cameras that it does not use."""


@dataclass(frozen=True, eq=False)
class _Moment:
    """A scene whose driven motion is not known yet, and when it was."""

    stamp_ns: int
    scene: Scene


class Gathering:
    """Goes through one recording once.

    `moments`: how many had all cameras, ego state and route; `given`: how many became scenes; `left_out`: how many
    did not, and how many front pictures that were due made no moment, by the reason; `ignored`: messages, likewise.
    """

    def __init__(self, bundle: Bundle, every_s: float) -> None:
        manifest = bundle.manifest
        self._bundle, self._every_ns = bundle, nanoseconds(every_s)
        frames, sizes = manifest.frames, stated_sizes(manifest.cameras)
        self._ingest = CameraIngest(bundle.cameras, frames.per_camera, frames.spacing_s, sizes=sizes)
        self._writer = prompt_writer(bundle, Tokenizer(bundle.path / manifest.tokenizer))
        step_ns = nanoseconds(manifest.actions.step_s)
        self._planned_ns = step_ns * np.arange(manifest.actions.per_answer + 1)
        self._past_ns = nanoseconds(manifest.frames.spacing_s) * (manifest.frames.per_camera - 1)
        self._route: tuple[Route, Polyline] | None = None
        self._ego: EgoState | None = None
        self._driven = DrivenPath()
        self._waiting: deque[_Moment] = deque()
        self._latest_ns: int | None = None
        self._lack: str | None = None
        self.moments = self.given = 0
        self.left_out: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def take(self, message: object) -> list[Scene]:
        """One message of the recording, in its order; returns the scenes that it completes."""
        if isinstance(message, EgoState):
            return self._take_ego(message)
        if isinstance(message, Route):
            self._take_route(message)
        elif isinstance(message, (CameraFrame, CompressedFrame)):
            self._take_picture(message)
        return []

    def end(self) -> None:
        """The recording is over: what still waits for the drive to go on is left out."""
        self._note_lack()
        reach_s = seconds(int(self._planned_ns[-1]))
        self._drop_waiting(f"where the drive ends less than {reach_s:g} s, a plan's reach, after them")

    def account(self) -> str:
        """In words, how many scenes there were and what became of the rest."""
        if not self.moments:
            return f"no moment with all cameras, ego state and route: {self._why_none()}"
        words = [f"{self.given} scenes of {self.moments} moments"]
        words += [f"{count} {reason}{self._detail(reason)}" for reason, count in self.left_out.most_common()]
        words += [f"{count} {what} ignored{self._detail(what)}" for what, count in self.ignored.most_common()]
        pictures = ((name.replace("_", " "), getattr(self._ingest.counts, name)) for name in PICTURE_COUNTS)
        words += [f"{count} pictures {name}" for name, count in pictures if count]
        return "; ".join(words)

    def _take_ego(self, ego: EgoState) -> list[Scene]:
        if self._driven.restarts_with(ego):
            self._drop_waiting("before the clock was put back")
            self._driven, self._latest_ns = DrivenPath(), None
            self._ingest.clear()
        useless = self._driven.add(ego)
        if useless is not None:
            self.ignored[useless] += 1
            return []
        self._ego = ego
        return self._complete(ego.stamp_ns)

    def _take_route(self, route: Route) -> None:
        try:
            self._route = route, Polyline(route.points)
        except GeometryError as error:
            self._count(self.ignored, "routes", str(error))
            self._route = None

    def _take_picture(self, picture: CameraFrame | CompressedFrame) -> None:
        if picture.camera == self._ingest.anchor_camera:
            self._note_lack()
        try:
            self._ingest.add(picture)
        except FrameError:
            return  # counted by the ingest; the moment then lacks a picture
        self._lack = self._look()

    def _look(self) -> str | None:
        """Keep the newest moment if there is one that is due; says what it lacks."""
        frames, newest = self._ingest.frame_set(), self._ingest.newest_anchor_ns
        stamp_ns = newest if frames is None else frames.stamp_ns
        if stamp_ns is None or (self._latest_ns is not None and stamp_ns - self._latest_ns < self._every_ns):
            return None
        if frames is None:
            assert self._ingest.missing is not None  # it says why
            return f"without {self._ingest.missing.camera}"
        if self._ego is None:
            return "before the first ego state"
        if self._route is None:
            return "without a route"
        if abs(seconds(stamp_ns - self._ego.stamp_ns)) > MAX_EGO_AGE_S:
            return FAR_EGO
        return self._keep(frames, self._ego, *self._route)

    def _keep(self, frames: FrameSet, ego: EgoState, route: Route, line: Polyline) -> str | None:
        """Keep a moment until it is known what was driven after it; says what it lacks."""
        along, _ = line.project(np.array([[ego.x_m, ego.y_m]]))
        try:
            images = self._images(frames)
            ids = self._writer.write(ego, route.command_at(float(along[0]))).ids
        except FrameError:
            return "with a picture that cannot be decoded"
        except PromptError as error:
            self.first.setdefault(NO_WORDS, str(error))
            return NO_WORDS
        self.moments += 1
        self._latest_ns = frames.stamp_ns
        self._waiting.append(_Moment(frames.stamp_ns, Scene(images, ids, None)))
        return None

    def _complete(self, driven_ns: int) -> list[Scene]:
        """The scenes after which the drive is known for as long as a plan reaches."""
        found, reach_ns = [], int(self._planned_ns[-1])
        while self._waiting and self._waiting[0].stamp_ns + reach_ns <= driven_ns:
            moment = self._waiting.popleft()
            if self._driven.whole(moment.stamp_ns - self._past_ns, moment.stamp_ns + reach_ns):
                poses = self._driven.motion(moment.stamp_ns + self._planned_ns)
                found.append(replace(moment.scene, expert_tokens=self._bundle.codebook.encode(poses)))
            else:
                self.left_out[HOLE] += 1
        oldest_ns = self._waiting[0].stamp_ns if self._waiting else driven_ns - nanoseconds(MAX_EGO_AGE_S)
        self._driven.forget(oldest_ns - self._past_ns)
        self.given += len(found)
        return found

    def _drop_waiting(self, reason: str) -> None:
        if self._waiting:
            self.left_out[reason] += len(self._waiting)
            self._waiting.clear()

    def _note_lack(self) -> None:
        """Count a front picture that was due, now that the next one is there and nothing more comes for it."""
        if self._lack is not None:
            self.left_out[self._lack] += 1
            self._lack = None

    def _count(self, where: Counter[str], what: str, detail: str) -> None:
        where[what] += 1
        self.first.setdefault(what, detail)

    def _detail(self, reason: str) -> str:
        return f" (the first: {self.first[reason]})" if reason in self.first else ""

    def _why_none(self) -> str:
        missing = self._ingest.missing
        if self._ego is None:
            return "it has no ego state"
        if self._route is None:
            return "it has no route"
        if missing is not None:
            return f"{missing.camera}: {missing.detail}"
        return "; ".join(f"{count} {reason}{self._detail(reason)}" for reason, count in self.left_out.most_common())

    def _images(self, frames: FrameSet) -> dict[str, NDArray[np.uint8]]:
        """Each camera's pictures at the model's size, oldest first."""
        images = {}
        for camera in self._bundle.manifest.cameras:
            taken = frames.images[camera.role]
            whole = [picture.pixels() if isinstance(picture, EncodedPicture) else picture for picture in taken]
            images[camera.role] = np.stack(
                [crop_and_resize(picture, camera.crop, camera.width, camera.height) for picture in whole]
            )
        return images
