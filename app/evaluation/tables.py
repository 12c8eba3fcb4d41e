"""The evaluation on the terminal and as rows for the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from onboard_vla.app.evaluation.intervals import Estimate
from onboard_vla.app.evaluation.summary import Share, Summary
from onboard_vla.app.indicator_figures import indicator_rows

Rows = list[tuple[str, list[str]]]
NONE = "-"


def comparison(title: str, summaries: Sequence[Summary]) -> Table:
    """Variants side by side."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for summary in summaries:
        table.add_column(f"{summary.name} (n = {summary.n})")
    parts = (closed_loop_rows(summaries), group_rows(summaries), open_loop_rows(summaries), difference_rows(summaries))
    for rows in parts:
        for name, values in rows:
            table.add_row(name, *values)
        table.add_section()
    return table


def closed_loop_rows(summaries: Sequence[Summary]) -> Rows:
    """Name and one value per summary. In brackets: 95 % bounds."""
    return [
        ("progress of the expert's", [_share(s.progress) for s in summaries]),
        ("clean episodes", [_count(s.clean_share) for s in summaries]),
        ("episodes with a collision of its own making", [_count(s.at_fault_share) for s in summaries]),
        ("episodes that left the drivable area", [_count(s.off_road_share) for s in summaries]),
        ("other collisions, red lights, needless stops", [_three(s) for s in summaries]),
        ("entries into L2 or above", [f"{s.interventions} ({_words(s.intervention_reasons)})" for s in summaries]),
        ("trajectories made by the model", [f"{s.model_share:.1%}" for s in summaries]),
        ("fork would have picked fast", [_fork(s.fork) for s in summaries]),
        ("PDMS", [_figure(s.pdms) for s in summaries]),
        ("EPDMS", [_figure(s.epdms) for s in summaries]),
        *[(f"  {_NAMES[k]}", [_figure(s.sub_metrics.get(k)) for s in summaries]) for k in _NAMES],
        ("  EC two plans agree", [_figure(s.extended_comfort) for s in summaries]),
        ("mean time to collision, at most 10 s (s)", [_figure(s.mean_ttc_s) for s in summaries]),
        ("spread tells the worst 10 % of plans (AUROC)", [_figure(s.doubt_auroc) for s in summaries]),
        *indicator_rows([s.indicators for s in summaries]),
    ]


def group_rows(summaries: Sequence[Summary]) -> Rows:
    """EPDMS of windows by the expert's intent, and by depth."""
    rows: Rows = []
    for what, groups in (("", [s.by_scenario for s in summaries]), ("depth ", [s.by_depth for s in summaries])):
        for name in sorted({group.name for found in groups for group in found}):
            cells = []
            for found in groups:
                group = next((g for g in found if g.name == name), None)
                cells.append(f"{group.epdms} (n = {group.windows})" if group else NONE)
            rows.append((f"EPDMS, {what}{name}", cells))
    return rows


def open_loop_rows(summaries: Sequence[Summary]) -> Rows:
    """Plans along the expert's drives."""
    if not any(s.open_loop for s in summaries):
        return []
    rows: Rows = [("plans along the expert's drives", [_plans(s) for s in summaries])]
    for key, name in _OPEN.items():
        rows.append((f"  {name}", [_figure(s.open_loop.figures.get(key)) if s.open_loop else NONE for s in summaries]))
    scenarios = sorted({name for s in summaries if s.open_loop for name in s.open_loop.by_scenario})
    for name in scenarios:
        cells = [_figure(s.open_loop.by_scenario.get(name)) if s.open_loop else NONE for s in summaries]
        rows.append((f"  ADE 5 s (m), {name}", cells))
    return rows


def difference_rows(summaries: Sequence[Summary]) -> Rows:
    """Each variant against the first on the same worlds."""
    if not any(s.against_first for s in summaries):
        return []
    return [
        (f"{words}, minus the first variant's", [_figure(s.against_first.get(key)) for s in summaries])
        for key, words in _DIFFERENCES.items()
    ]


def demo_table(results: Sequence[dict[str, Any]]) -> Table:
    """Verdict per seed, and the share that passed."""
    passed = sum(result["outcome"] == "PASS" for result in results)
    table = Table(title=f"the demo's verdict in lock-step: {passed} of {len(results)} pass", title_justify="left")
    for column in ("seed", "sensors", "verdict", "black front camera", "killed planner", "progress", "why not"):
        table.add_column(column)
    for result in results:
        reactions = [f"{ms:.0f} ms" if ms is not None else NONE for ms in result["reactions"]]
        table.add_row(
            str(result["seed"]),
            result["sensor"],
            result["outcome"],
            *[*reactions, NONE, NONE][:2],
            f"{result['figures']['progress_share']:.0%}",
            "; ".join(result["reasons"]),
        )
    return table


_NAMES = {
    "nc": "NC no collision at fault",
    "dac": "DAC drivable area",
    "ddc": "DDC driving direction",
    "tlc": "TLC traffic lights",
    "progress": "EP progress",
    "ttc": "TTC within bound",
    "lane_keeping": "LK lane keeping",
    "comfort": "C comfort (PDMS)",
    "history_comfort": "HC comfort with history",
}
_DIFFERENCES = {"progress_share": "share of the expert's progress", "epdms": "EPDMS", "ade_m": "ADE 5 s (m)"}
_OPEN = {
    "l2_1s_m": "L2 at 1 s (m)",
    "l2_2s_m": "L2 at 2 s (m)",
    "l2_3s_m": "L2 at 3 s (m)",
    "l2_mean_3s_m": "L2, mean to 3 s (m)",
    "ade_m": "ADE 5 s (m)",
    "fde_m": "FDE 5 s (m)",
    "hit_1s": "collision rate to 1 s",
    "hit_2s": "collision rate to 2 s",
    "hit_3s": "collision rate to 3 s",
    "hit_5s": "collision rate to 5 s",
    "comfortable": "within nuPlan's comfort limits",
    "lateral": "meta-action, lateral",
    "longitudinal": "meta-action, longitudinal",
    "pdms": "PDMS of the plan",
    "epdms": "EPDMS of the plan, without EC",
    "doubt_auroc": "spread tells the worst 10 % (AUROC)",
}


def _figure(estimate: Estimate | None) -> str:
    return NONE if estimate is None else str(estimate)


def _share(estimate: Estimate | None) -> str:
    return NONE if estimate is None else f"{estimate.value:.1%} [{estimate.low:.1%}, {estimate.high:.1%}]"


def _count(share: Share | None) -> str:
    return NONE if share is None else str(share)


def _three(summary: Summary) -> str:
    return f"{summary.collisions_other}, {summary.red_lights}, {summary.needless_stops}"


def _fork(fork: dict[str, int] | None) -> str:
    return "no fork" if fork is None else f"{fork['fast'] / fork['n']:.1%} (n = {fork['n']})"


def _plans(summary: Summary) -> str:
    found = summary.open_loop
    return NONE if found is None else f"n = {found.figures['ade_m'].n}"


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} x{count}" for name, count in counts.items()) or "none"
