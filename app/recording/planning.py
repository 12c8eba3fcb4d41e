"""The planner and thresholds of a recording, or of its replay."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from onboard_vla.app.lockstep import BodyFactory
from onboard_vla.app.lockstep_parts import MODEL, planner_with_model, planner_without_model
from onboard_vla.core.thresholds import Thresholds


def planning_of(planner: str, bundle: Path | None, out: Path, console: Console) -> tuple[BodyFactory, Thresholds]:
    """What makes the planner's body, and the thresholds that fit it; the reference bundle is kept under `out`.

    Raises:
        OnboardVlaError: no such planner, or a bundle that cannot be used.
    """
    if planner != MODEL:
        return planner_without_model(planner)
    from onboard_vla.app.demo_bundle_view import prepare_with_progress

    return planner_with_model(prepare_with_progress(None, out, console, given=bundle))
