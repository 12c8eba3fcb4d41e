"""Nominal drives with a checkpoint's bundle in shadow, and what calibration needs of every plan.

python -m onboard_vla.app.nominal_drives world/reference --bundle out/bundle --out work/drives.npz

The world's expert drives, as a person would, in virtual time; beside it the model plans at 5 Hz in the last 2 s of
every 10 s, which are what drift is judged on. Nominal: no fault is injected, and the world saw nothing wrong; other
drives are named and left out. An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.closed_loop import CAMERA_STEPS, STEP_NS, STEP_S, Scene
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.calibration.nominal_drives import DriveSignals, drive_signals, load_drives, save_drives
from onboard_vla.core.bundle_manifest import computed_numbers
from onboard_vla.core.cameras import CameraFrame, FrameSet
from onboard_vla.core.clock import Now, nanoseconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.export.activation_ranges import fingerprint
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.camera_shapes import stated_sizes
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.planner_body import PlannerBody
from onboard_vla.safety.drift import BLOCK_NS, TAIL_NS, in_tail
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig

PROFILE, SENSOR = "quiet_road", "modelled"
FIRST_SEED = 700_000
"""First seed of the worlds; not those of training, validation, or the card's drives."""
LOOK_BACK_SLACK_NS = 200_000_000
PLAN_STEPS = 10
"""World steps between two plans: 5 Hz, as the planner process aims at."""
SAVE_EVERY = 10
"""Drives between two savings."""


@dataclass(frozen=True, eq=False)
class DriveInShadow:
    """What a drive left, and why it is not nominal; empty where it is."""

    signals: DriveSignals
    wrong: list[str]


class ListeningPlanner:
    """A planner that remembers each plan and the mean embeddings that it was made of."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.plans: list[Plan] = []
        self.pooled: list[dict[str, NDArray[np.float32]]] = []

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
        """Plan, and remember."""
        result = self._planner.plan(frames, ego, command, plan_id, depth=depth, cancelled=cancelled, act_now=act_now)
        if isinstance(result, Plan):
            self.plans.append(result)
            self.pooled.append(self._planner.pooled)
        return result

    def warm_up(self) -> None:
        """As the planner's own."""
        self._planner.warm_up()


def drive(bundle: Bundle, planner: Planner, seed: int, seconds: float, renderer: Renderer) -> DriveInShadow:
    """One drive, and what the world saw go wrong."""
    scene, frames = Scene.build(seed, PROFILE, SENSOR, renderer), bundle.manifest.frames
    listening = ListeningPlanner(planner)
    sizes = stated_sizes(bundle.manifest.cameras)
    body = PlannerBody(listening, CameraIngest(bundle.cameras, frames.per_camera, frames.spacing_s, sizes=sizes))
    begin_ns = BLOCK_NS - TAIL_NS - nanoseconds(frames.spacing_s * (frames.per_camera - 1)) - LOOK_BACK_SLACK_NS
    body.receive(scene.world.route, Now(0, 0))
    for tick in range(round(seconds * SECOND_NS) // STEP_NS):
        now = Now(tick * STEP_NS, tick * STEP_NS)
        for sensed in scene.sensors.due(scene.world):
            if isinstance(sensed, EgoState):
                body.receive(sensed, now)
        if tick % CAMERA_STEPS == 0 and now.stamp_ns % BLOCK_NS >= begin_ns:
            for camera, picture in renderer.render(scene.world).items():
                body.receive(CameraFrame(camera, now.stamp_ns, tick // CAMERA_STEPS, picture.copy()), now)
        if tick % PLAN_STEPS == 0 and in_tail(now.stamp_ns):
            body.plan_once(now)
        scene.world.step(scene.driver.control(), STEP_S)
    signals = drive_signals(f"{PROFILE}-{seed}", listening.plans, listening.pooled)
    return DriveInShadow(signals, [violation.kind for violation in scene.world.violations])


def drive_all(checkpoint: Path, path: Path, out: Path, count: int, seconds: float) -> int:
    """Drive worlds until `count` nominal drives are in `out`; returns how many were not nominal.

    Raises:
        OnboardVlaError: no checkpoint, or no bundle.
    """
    bundle, print_of = Bundle.open(path), fingerprint(checkpoint)
    drives: list[DriveSignals] = []
    if out.exists():
        drives, *bound = load_drives(out)
        if bound != [print_of, computed_numbers(bundle.manifest)]:
            drives = []
    seed = max([FIRST_SEED - 1, *(int(drive.scene_id.rsplit("-", 1)[1]) for drive in drives)]) + 1
    renderer, planner, left_out = Renderer(default_rig()), Planner(bundle), 0
    while len(drives) < count:
        found = drive(bundle, planner, seed, seconds, renderer)
        seed += 1
        if found.wrong:
            left_out += 1
            print(f"{found.signals.scene_id} is left out: {', '.join(found.wrong)}", flush=True)  # noqa: T201
            continue
        drives.append(found.signals)
        if len(drives) % SAVE_EVERY == 0 or len(drives) == count:
            save_drives(out, drives, print_of, computed_numbers(bundle.manifest))
            print(f"{len(drives)} of {count} nominal drives, {left_out} left out", flush=True)  # noqa: T201
    return left_out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0 when all drives are kept."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.app.nominal_drives", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder")
    parser.add_argument("--bundle", type=Path, required=True, help="bundle exported from it")
    parser.add_argument("--out", type=Path, required=True, help="file that takes the drives")
    parser.add_argument("--drives", type=int, default=140, help="nominal drives wanted")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of one")
    options = parser.parse_args(arguments)
    try:
        drive_all(options.checkpoint, options.bundle, options.out, options.drives, options.seconds)
    except OnboardVlaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
