"""The result as text."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from onboard_vla.app.roofline.floors import MEASURED, TARGETS_MS, PlanFloor, StageFloor
from onboard_vla.app.roofline.report import Roofline
from onboard_vla.app.roofline.stages import STAGES

GIGA, MEGA = 1e9, 1e6
LEGEND = (
    "Floor: steady state; cold: nothing known yet. Expected: the measured stages, or a PROJECTION at usual rates, "
    "which no run has confirmed. Targets: reachable if expected in time; not reachable if not even the floor is; only "
    "above N%: a machine that runs every stage at this share of its roofline is in time, a usual one is not."
)
WIDE = 150
"""Columns of a terminal from which on every stage has its own."""


def show(result: Roofline, console: Console) -> None:
    """Print everything."""
    for plan in result.plans:
        if plan.kind == MEASURED:
            console.print(measured_table(plan))
    console.print(plans_table(result, with_stages=console.width >= WIDE))
    console.print(LEGEND, soft_wrap=True)
    for device in result.devices:
        console.print(
            f"{device.key}: {device.name}. {device.note}. Source: {'; '.join(device.sources)}.", soft_wrap=True
        )
    console.print("Assumptions:")
    for number, assumption in enumerate(result.assumptions, 1):
        console.print(f"{number:3}. {assumption}", soft_wrap=True, highlight=False)


def measured_table(plan: PlanFloor) -> Table:
    """Every stage of a plan that ran here, beside its floor."""
    title = f"{plan.model}, {plan.precision}, {plan.sizes.cameras} cameras, {plan.sizes.prompt} prompt tokens, measured"
    table = Table("stage", "MB", "GOP int8", "GOP float", "floor ms", "bound", "measured ms", "over floor", title=title)
    for stage in plan.steady:
        table.add_row(*stage_cells(stage))
    return table


def stage_cells(stage: StageFloor) -> tuple[str, ...]:
    """A stage's line."""
    operations = (f"{count / GIGA:.3g}" for count in (stage.int8_operations, stage.float_operations))
    found = () if stage.measured_ms is None else (f"{stage.measured_ms:.3g}", f"{stage.over_floor:.1f} x")
    return (stage.stage, f"{stage.bytes / MEGA:.3g}", *operations, f"{stage.floor_ms:.3g}", stage.bound, *found)


def plans_table(result: Roofline, *, with_stages: bool) -> Table:
    """One line per model, machine and number of cameras."""
    heads = plan_heads(with_stages=with_stages)
    table = Table(*heads, title=f"A fast plan of {result.request.passes} passes, ms")
    for plan in result.plans:
        table.add_row(*plan_cells(plan, with_stages=with_stages))
    return table


def plan_heads(*, with_stages: bool) -> tuple[str, ...]:
    """Names of `plan_cells`."""
    targets = (f"{target:g} ms" for target in TARGETS_MS)
    stages = STAGES if with_stages else ()
    return ("model", "machine", "cameras", *stages, "floor", "cold", "expected", *targets, "")


def plan_cells(plan: PlanFloor, *, with_stages: bool) -> tuple[str, ...]:
    """A plan's line."""
    stages = (rounded(stage.floor_ms) for stage in plan.steady if with_stages)
    sums = (rounded(ms) for ms in (plan.floor_ms, plan.cold_floor_ms, plan.expected_ms))
    verdicts = (plan.verdict(target) for target in TARGETS_MS)
    head = f"{plan.model} {plan.precision}", plan.device.key, str(plan.sizes.cameras)
    return (*head, *stages, *sums, *verdicts, plan.kind)


def rounded(value: float) -> str:
    """Three digits, or all of a large number."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
