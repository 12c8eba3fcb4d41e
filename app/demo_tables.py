"""The tables a run ends with, and the live one while it goes on."""

from __future__ import annotations

from rich.table import Table

from onboard_vla.app.closed_loop_figures import Distribution, RunFigures, mode_rises
from onboard_vla.app.closed_loop_record import RunRecord
from onboard_vla.app.demo_verdict import PASS, Reaction, RunVerdict
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS
from onboard_vla.core.safe_trajectory import Mode

MODE_NAMES = {
    Mode.NOMINAL: "L0 nominal",
    Mode.REDUCED: "L1 reduced",
    Mode.FALLBACK: "L2 fallback",
    Mode.IN_LANE_STOP: "L3 in-lane stop",
    Mode.EMERGENCY_STOP: "L4 emergency stop",
    Mode.STOPPED: "L5 stopped",
}


def spread(distribution: Distribution | None, unit: str = "ms") -> str:
    """Percentiles in one line, never without the count."""
    if distribution is None:
        return "no samples"
    d = distribution
    return f"p50 {d.p50:.1f} {unit}, p99 {d.p99:.1f} {unit}, max {d.largest:.1f} {unit} (n = {d.n})"


def doubt(distribution: Distribution | None, unit: str) -> str:
    """As `spread`, with a digit more."""
    if distribution is None:
        return "not delivered"
    d = distribution
    return f"p50 {d.p50:.2f} {unit}, p99 {d.p99:.2f} {unit}, max {d.largest:.2f} {unit} (n = {d.n})"


def figure_rows(record: RunRecord, figures: RunFigures) -> list[tuple[str, str]]:
    """Name and value of everything the end table and the report show of a run."""
    settings = record.settings
    shares = ", ".join(f"{name} {share:.1%}" for name, share in figures.mode_shares.items() if share > 0)
    reasons = ", ".join(f"{code} x{count}" for code, count in figures.intervention_reasons.items())
    passes, largest = figures.passes_per_plan, figures.passes_largest
    latency = "plan latency (wall, all stages)"
    rows = [
        ("profile, seed, sensors", f"{settings.profile}, seed {settings.seed}, {settings.sensor}"),
        ("transport", settings.transport),
        ("plans", f"{figures.plans}, {_rejections(figures)}"),
        ("depth of plans, forced", ", ".join(f"{depth} x{n}" for depth, n in figures.depths.items()) or "no plans"),
        ("fork would have picked fast", str(figures.fork) if figures.fork else "no model, no fork"),
        ("modes, share of published", shares or "nothing published"),
        ("trajectories made by the model", f"{figures.model_share:.1%}"),
        ("entries into L2 or above", f"{figures.interventions}" + (f" ({reasons})" if reasons else "")),
        (
            "passes per plan, counted",
            f"vision {passes[0]:.2f}, prefill {passes[1]:.2f}, decode {passes[2]:.2f} "
            f"(most: {largest[0]}, {largest[1]}, {largest[2]})",
        ),
        (latency, spread(figures.latency)),
        ("age of the oldest picture at arrival", spread(figures.age)),
        ("collisions", f"{figures.collisions_at_fault} of its own making, {figures.collisions_other} other"),
        ("left the drivable area", f"{figures.off_road} times"),
        ("red lights, needless stops", f"{figures.red_lights}, {figures.needless_stops}"),
        (
            "progress",
            f"{figures.progress_m:.0f} m, expert {figures.expert_progress_m:.0f} m ({figures.progress_share:.0%})",
        ),
        ("mean speed", f"{figures.mean_speed_mps:.1f} m/s"),
    ]
    rows.append(("spread of the actions, worst step", doubt(figures.spread, "m")))
    rows.append(("pictures' distance from nominal ones, farthest camera", doubt(figures.vision_ood, "x nominal q99")))
    rows += figures.indicators.rows() if figures.indicators else []
    if figures.probe_lateness is not None:
        rows.append(("20 ms probe timer, lateness", spread(figures.probe_lateness)))
        rows.append(("world step, lateness", spread(figures.loop_lateness)))
    if record.cpu_percent:
        cpu = ", ".join(f"{name} {share:.0f} %" for name, share in record.cpu_percent.items())
        rows.append(("processor, share of one core", cpu))
    rows.extend(
        (f"{name} ready again", f"{time_ns / SECOND_NS:.1f} s after engagement") for time_ns, name in record.restarts
    )
    return rows


def fault_rows(reactions: tuple[Reaction, ...]) -> list[tuple[str, ...]]:
    """One row per fault: fault, at, detection, reaction, limit, again L0/L1 after, probe lateness, cause as named."""
    return [
        (
            reaction.fault.fault.title,
            f"{reaction.fault.start_ns / SECOND_NS:.2f} s",
            _or_never(reaction.detection_ms, "ms"),
            _reacted(reaction),
            f"{reaction.fault.fault.reaction_limit_ns / MILLISECOND_NS:.0f} ms",
            _recovered(reaction),
            "virtual time" if reaction.probe_lateness_ms is None else f"{reaction.probe_lateness_ms:.0f} ms late",
            reaction.reason or "not named",
        )
        for reaction in reactions
    ]


FAULT_COLUMNS = ("fault", "at", "detected", "L2+ after", "limit", "L0/L1 again", "probe", "cause as published")


def end_tables(record: RunRecord, figures: RunFigures, verdict: RunVerdict) -> list[Table]:
    """Figures, faults and verdict as rich tables."""
    run = Table(title=f"{record.settings.run_ns / SECOND_NS:g} s closed loop", show_header=False, title_justify="left")
    for name, value in figure_rows(record, figures):
        run.add_row(name, value)
    faults = Table(title="faults", title_justify="left")
    first, *others = zip(FAULT_COLUMNS, *fault_rows(verdict.reactions), strict=True)
    for column in first:
        faults.add_column(column)
    for row in others:
        faults.add_row(*row)
    not_judged = f" (not judged: {', '.join(verdict.not_judged)})" if verdict.not_judged else ""
    checks = Table(title=f"verdict: {verdict.outcome}{not_judged}", title_justify="left")
    for column in ("", "check", "found", "asked"):
        checks.add_column(column)
    for check in verdict.checks:
        checks.add_row("ok" if check.held else "NO", check.name, check.found, check.asked)
    return [run, faults, checks] if verdict.reactions else [run, checks]


def verdict_line(verdict: RunVerdict) -> str:
    """One line: outcome, exit status, why, and what the run was too short to show."""
    why = "" if verdict.outcome == PASS else f": {'; '.join(verdict.reasons)}"
    not_judged = f"; not judged: {', '.join(verdict.not_judged)}" if verdict.not_judged else ""
    return f"{verdict.outcome} (exit {verdict.exit_status}){why}{not_judged}"


def intervention_rows(record: RunRecord) -> list[tuple[str, ...]]:
    """One row per reason of every rise of the mode: at, mode, how long, reason, what, measured, limit."""
    rows: list[tuple[str, ...]] = []
    for rise in mode_rises(record):
        when = (f"{rise.at_ns / SECOND_NS:.2f} s", MODE_NAMES[Mode(rise.mode)], f"{rise.lasted_ns / SECOND_NS:.2f} s")
        for reason in rise.reasons or (None,):
            said = ("none given", "", "", "")
            if reason is not None:
                said = (reason.code, reason.detail, f"{reason.measured:.4g}", f"{reason.limit:.4g}")
            rows.append((*when, *said))
            when = ("", "", "")
    return rows


INTERVENTION_COLUMNS = ("at", "mode", "lasted", "reason", "what", "measured", "limit")


def _reacted(reaction: Reaction) -> str:
    if reaction.mode_before is not None and reaction.mode_before >= Mode.FALLBACK:
        return f"was in L{reaction.mode_before} before"
    return _or_never(reaction.reaction_ms, "ms")


def _recovered(reaction: Reaction) -> str:
    if reaction.recovery_s is not None:
        return f"{reaction.recovery_s:.1f} s"
    return "never" if reaction.recovery_judged else "run too short"


def _or_never(value_ms: float | None, unit: str) -> str:
    return "never" if value_ms is None else f"{value_ms:.0f} {unit}"


def _rejections(figures: RunFigures) -> str:
    codes = ", ".join(f"{code} x{count}" for code, count in figures.rejection_codes.items())
    return f"{figures.rejections} rejected" + (f" ({codes})" if codes else "")
