"""Drive nominal scenes with a checkpoint's bundle, in virtual time, and keep what calibration needs of every plan.

python -m onboard_vla.app.nominal_drives world/reference_checkpoint --bundle out/bundle --out work/drives.npz

Nominal: no fault is injected, and the world saw nothing wrong. Other drives are named and left out; those in which the
supervisor intervened stay, as a choice by outcome would make the rest look calmer than drives are. An interrupted run
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.closed_loop import Scene
from onboard_vla.app.closed_loop_record import RunSettings
from onboard_vla.app.closed_loop_warmup import DEFAULT_WARMUP_NS
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.app.lockstep import DEFAULT_PLAN_LATENCY_NS, run_lockstep
from onboard_vla.app.lockstep_parts import MODEL, make_guard, make_supervisor
from onboard_vla.calibration.nominal_drives import DriveSignals, drive_signals, load_drives, save_drives
from onboard_vla.calibration.provisional import thresholds_of
from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.export.activation_ranges import fingerprint
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.planner_body import PlannerBody
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig

PROFILE, SENSOR = "quiet_road", "modelled"
FIRST_SEED = 700_000
"""First seed of the worlds; not those of training, validation, or the card's drives."""
SAVE_EVERY = 4
"""Drives between two savings."""


class ListeningPlanner:
    """A planner that remembers each plan and the mean embeddings that it was made of."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self.plans: list[Plan] = []
        self.pooled: list[dict[str, NDArray[np.float32]]] = []

    def plan(self, frames: FrameSet, ego: EgoState, command: str, plan_id: int) -> Plan | PlanRejection:
        """Plan, and remember."""
        result = self._planner.plan(frames, ego, command, plan_id)
        if isinstance(result, Plan):
            self.plans.append(result)
            self.pooled.append(self._planner.pooled)
        return result

    def warm_up(self) -> None:
        """As the planner's own."""
        self._planner.warm_up()


def drive(bundle: Bundle, seed: int, seconds: float, renderer: Renderer) -> tuple[DriveSignals, list[str]]:
    """One drive, and why it is not nominal; an empty list where it is."""
    frames = bundle.manifest.frames
    listening = ListeningPlanner(Planner(bundle))

    def body(scene: Scene) -> PlannerBody:
        return PlannerBody(listening, CameraIngest(bundle.cameras, frames.per_camera, frames.spacing_s))

    settings = RunSettings(
        seed=seed,
        profile=PROFILE,
        sensor=SENSOR,
        transport="lockstep",
        run_ns=round(seconds * SECOND_NS),
        warmup_ns=DEFAULT_WARMUP_NS,
        planner=MODEL,
        faults=(),
        plan_latency_ns=DEFAULT_PLAN_LATENCY_NS,
    )
    scene = Scene.build(seed, PROFILE, SENSOR, renderer)
    record = run_lockstep(settings, body, make_supervisor(thresholds_of(bundle.path)), make_guard(), scene)
    wrong = [violation.kind for violation in record.violations]
    return drive_signals(f"{PROFILE}-{seed}", listening.plans, listening.pooled), wrong


def drive_all(checkpoint: Path, path: Path, out: Path, count: int, seconds: float) -> int:
    """Drive worlds until `count` nominal drives are in `out`; returns how many were not nominal.

    Raises:
        OnboardVlaError: no checkpoint, or no bundle.
    """
    bundle, print_of = Bundle.open(path), fingerprint(checkpoint)
    drives: list[DriveSignals] = []
    if out.exists():
        drives, *bound = load_drives(out)
        if bound != [print_of, bundle.precision]:
            drives = []
    seed = max([FIRST_SEED - 1, *(int(drive.scene_id.rsplit("-", 1)[1]) for drive in drives)]) + 1
    renderer, left_out = Renderer(default_rig()), 0
    while len(drives) < count:
        found, wrong = drive(bundle, seed, seconds, renderer)
        seed += 1
        if wrong:
            left_out += 1
            print(f"{found.scene_id} is left out: {', '.join(wrong)}", flush=True)  # noqa: T201
            continue
        drives.append(found)
        if len(drives) % SAVE_EVERY == 0 or len(drives) == count:
            save_drives(out, drives, print_of, bundle.precision)
            print(f"{len(drives)} of {count} nominal drives, {left_out} left out", flush=True)  # noqa: T201
    return left_out


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0 when all drives are kept."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.app.nominal_drives", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder")
    parser.add_argument("--bundle", type=Path, required=True, help="bundle exported from it")
    parser.add_argument("--out", type=Path, required=True, help="file that takes the drives")
    parser.add_argument("--drives", type=int, default=72, help="nominal drives wanted")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of one, beside the warm-up")
    options = parser.parse_args(arguments)
    try:
        drive_all(options.checkpoint, options.bundle, options.out, options.drives, options.seconds)
    except OnboardVlaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
