"""Scenes to calibrate and judge a bundle on, out of recordings of the vehicle: what the planner would have been shown.

python -m onboard_vla.app.recording.scenes drive_1 drive_2 --bundle out/fp32 --out scenes.npz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import CameraFrame, CompressedFrame, EncodedPicture, FrameSet
from onboard_vla.core.clock import NANOSECONDS, nanoseconds, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError, FrameError, OnboardVlaError
from onboard_vla.core.geometry import Polyline, compose, inverse, unwrap
from onboard_vla.core.road import Route
from onboard_vla.export.scenes import Scene, save_scenes
from onboard_vla.kernels.reference_images import crop_and_resize
from onboard_vla.ros_nodes.bag_messages import MessageReader
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.context_length import prompt_writer
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner_body import MAX_EGO_AGE_S
from onboard_vla.runtime.prompt import Tokenizer

EVERY_S = 0.5
"""Time between scenes: what neighbours show differs little before."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """A scene whose driven motion is not known yet, and when it was."""

    stamp_ns: int
    scene: Scene


def recorded_scenes(bundle: Bundle, recording: Path, every_s: float = EVERY_S) -> list[Scene]:
    """Scenes of one recording, each with the driver's own motion as the expert's tokens.

    A moment counts if all cameras, an ego state and a route are there, and the drive goes on as long as a plan reaches.

    Raises:
        ConfigurationError: there is no such recording, or it has no such moment; says what was missing.
        PromptError: the prompt has no place for what was driven.
    """
    reader, gathering = MessageReader(recording), _Gathering(bundle, every_s)
    try:
        for told in reader.messages((CameraFrame, CompressedFrame, EgoState, Route)):
            gathering.take(told.message)
    finally:
        reader.close()
    return gathering.scenes(recording)


class _Gathering:
    """Goes through a recording once."""

    def __init__(self, bundle: Bundle, every_s: float) -> None:
        frames = bundle.manifest.frames
        self._bundle, self._every_ns = bundle, nanoseconds(every_s)
        self._ingest = CameraIngest(bundle.cameras, frames.per_camera, frames.spacing_s)
        self._writer = prompt_writer(bundle, Tokenizer(bundle.path / bundle.manifest.tokenizer))
        self._route: tuple[Route, Polyline] | None = None
        self._driven: list[tuple[float, float, float, float]] = []
        self._ego: EgoState | None = None
        self._seen: list[_Seen] = []

    def take(self, message: object) -> None:
        """One message of the recording, in its order."""
        if isinstance(message, EgoState):
            self._ego = message
            self._driven.append((seconds(message.stamp_ns), message.x_m, message.y_m, message.heading_rad))
        elif isinstance(message, Route):
            self._route = message, Polyline(message.points)
        elif isinstance(message, (CameraFrame, CompressedFrame)):
            try:
                self._ingest.add(message)
            except FrameError:
                return  # counted by the ingest; the moment then lacks a picture
            self._look()

    def scenes(self, recording: Path) -> list[Scene]:
        """All moments that the drive goes on after for as long as a plan reaches."""
        if not self._seen:
            raise ConfigurationError(
                f"{recording} has no moment with all cameras, ego state and route: {self._lacking()}"
            )
        driven = np.array(self._driven)
        found = []
        for seen in self._seen:
            poses = self._motion(driven, seen.stamp_ns)
            if poses is not None:
                found.append(replace(seen.scene, expert_tokens=self._bundle.codebook.encode(poses)))
        if not found:
            reach = self._bundle.manifest.actions.per_answer * self._bundle.manifest.actions.step_s
            raise ConfigurationError(f"{recording} ends less than {reach:g} s, a plan's reach, after its first moment")
        return found

    def _look(self) -> None:
        """Keep the newest moment, if there is one that is due."""
        frames, ego = self._ingest.frame_set(), self._ego
        if frames is None or ego is None or self._route is None:
            return
        if self._seen and frames.stamp_ns - self._seen[-1].stamp_ns < self._every_ns:
            return
        complete = len(frames.images) == len(self._bundle.cameras)
        if not complete or abs(seconds(frames.stamp_ns - ego.stamp_ns)) > MAX_EGO_AGE_S:
            return
        try:
            images = self._images(frames)
        except FrameError:
            return
        route, line = self._route
        along, _ = line.project(np.array([[ego.x_m, ego.y_m]]))
        ids = self._writer.write(ego, route.command_at(float(along[0]))).ids
        self._seen.append(_Seen(frames.stamp_ns, Scene(images, ids, None)))

    def _lacking(self) -> str:
        """Why there was no moment."""
        missing = self._ingest.missing
        if self._ego is None:
            return "it has no ego state"
        if self._route is None:
            return "it has no route"
        if missing is not None:
            return f"{missing.camera}: {missing.detail}"
        return "cameras that need not be there are missing, or ego state and pictures lie too far apart"

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

    def _motion(self, driven: NDArray[np.float64], stamp_ns: int) -> NDArray[np.float64] | None:
        """Poses (T, 3) that the vehicle then had, from where it was; None if the recording ends before."""
        actions = self._bundle.manifest.actions
        at = stamp_ns / NANOSECONDS + actions.step_s * np.arange(actions.per_answer + 1)
        if not driven[0, 0] <= at[0] or not at[-1] <= driven[-1, 0]:
            return None
        x, y = (np.interp(at, driven[:, 0], driven[:, column]) for column in (1, 2))
        heading = np.interp(at, driven[:, 0], unwrap(driven[:, 3]))
        poses = np.stack([x, y, heading], axis=1)
        return compose(inverse(poses[0]), poses[1:])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0 when the file is written."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.app.recording.scenes", description=__doc__)
    parser.add_argument("recordings", type=Path, nargs="+", help="rosbag2 folders or MCAP files (`onboard-vla record`)")
    parser.add_argument("--bundle", type=Path, required=True, help="bundle whose cameras and prompt are used")
    parser.add_argument("--out", type=Path, required=True, help="file of scenes, .npz")
    parser.add_argument("--every", type=float, default=EVERY_S, help="seconds between scenes")
    options = parser.parse_args(arguments)
    try:
        bundle = Bundle.open(options.bundle)
        scenes = [scene for path in options.recordings for scene in recorded_scenes(bundle, path, options.every)]
    except OnboardVlaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    save_scenes(options.out, scenes)
    print(f"{options.out}: {len(scenes)} scenes of {len(options.recordings)} recordings")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
