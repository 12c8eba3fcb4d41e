"""A simulated drive for a deployment that names a world instead of a recording; made when it is first asked for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from onboard_vla.app.demo_bundle_view import prepare_with_progress
from onboard_vla.app.lockstep_parts import EXPERT, planner_without_model
from onboard_vla.app.recording.world import WorldDrive, record_world
from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.core.process_graph import SUPERVISOR
from onboard_vla.core.wire import WIRE_VERSION

PROFILE, SECONDS = "quiet_road", 10.0


def with_world(file: DeploymentFile, out: Path, console: Console) -> DeploymentFile:
    """The file with what it leaves open under `out`: the drive's recording, and the reference bundle with thresholds.

    A file that names no world stays as it is.

    Raises:
        OnboardVlaError: the drive or the bundle cannot be made.
    """
    if file.world is None:
        return file
    deployment = replace(file.deployment, bag=str(_recording(file.world, out, console).resolve()))
    if not deployment.bundle:
        words = "no bundle is named: takes the reference one, exported first where none is kept"
        console.print(f"{out / 'bundles'}: {words}", soft_wrap=True, markup=False)
        prepared = prepare_with_progress(None, out, console)
        deployment = replace(deployment, bundle=str(prepared.path.resolve()))
        if not deployment.thresholds and SUPERVISOR not in deployment.without:
            deployment = replace(deployment, thresholds=str(prepared.thresholds.resolve()))
    return replace(file, deployment=deployment)


def _recording(seed: int, out: Path, console: Console) -> Path:
    """The drive's folder; one that is there is played again."""
    path = out / "recordings" / f"world-{seed}-wire-{WIRE_VERSION}"
    if path.exists():
        return path
    console.print(f"{path}: records a simulated drive of {SECONDS:g} s first", soft_wrap=True, markup=False)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.parent.mkdir(parents=True, exist_ok=True)
    drive = WorldDrive(seed, PROFILE, SECONDS)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"driving through world {seed} in virtual time", total=1.0)
        record_world(partial, drive, *planner_without_model(EXPERT), lambda share: bar.update(task, completed=share))
    partial.rename(path)
    console.print(f"{path}: recorded", soft_wrap=True, markup=False)
    return path
