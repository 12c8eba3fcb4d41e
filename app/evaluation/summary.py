"""All episodes of one variant in figures with bounds: shares after Clopper and Pearson, means drawn over worlds."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onboard_vla.app.campaign.statistics import clopper_pearson
from onboard_vla.app.evaluation.intervals import Estimate, auroc_estimate, mean, ratio
from onboard_vla.app.indicator_figures import IndicatorFigures

Result = dict[str, Any]
WORST_SHARE = 0.10
"""The plans that doubt should point at."""
SUB_METRICS = ("nc", "dac", "ddc", "tlc", "ttc", "lane_keeping", "history_comfort")


@dataclass(frozen=True)
class Share:
    """`count` of `n`, with exact 95 % bounds (Clopper and Pearson)."""

    count: int
    n: int
    low: float
    high: float

    @classmethod
    def of(cls, flags: Sequence[bool]) -> Share | None:
        """None of none."""
        if not flags:
            return None
        return cls(sum(flags), len(flags), *clopper_pearson(sum(flags), len(flags)))

    def __str__(self) -> str:
        return f"{self.count} of {self.n} [{self.low:.1%}, {self.high:.1%}]"


@dataclass(frozen=True)
class Group:
    """Windows of one scenario, or of one depth."""

    name: str
    windows: int
    pdms: Estimate
    epdms: Estimate


@dataclass(frozen=True)
class OpenLoop:
    """Plans along the expert's drives. Displacements in metres; the rest are shares or scores."""

    figures: dict[str, Estimate]
    by_scenario: dict[str, Estimate]
    """ADE over 5 s."""


@dataclass(frozen=True)
class Summary:
    """All episodes of one variant. `progress_share`: metres of all episodes over the expert's metres."""

    name: str
    sensor: str
    n: int
    progress_share: float
    progress: Estimate | None
    interventions: int
    intervention_reasons: dict[str, int]
    collisions_at_fault: int
    collisions_other: int
    off_road: int
    red_lights: int
    needless_stops: int
    model_share: float
    fork: dict[str, int] | None
    indicators: IndicatorFigures | None
    clean: int
    passed: int
    clean_share: Share | None
    off_road_share: Share | None
    at_fault_share: Share | None
    pdms: Estimate | None
    epdms: Estimate | None
    mean_ttc_s: Estimate | None
    extended_comfort: Estimate | None
    sub_metrics: dict[str, Estimate]
    by_scenario: list[Group]
    by_depth: list[Group]
    doubt_auroc: Estimate | None
    open_loop: OpenLoop | None
    against_first: dict[str, Estimate]
    """Mean difference to the first variant on the same worlds; empty for the first itself."""


def summarise(name: str, sensor: str, results: Sequence[Result], first: Sequence[Result] = ()) -> Summary:
    """Add episodes up; `first`: the results to compare with, world by world.

    Clean: no collision of its own making, never off the road, no red light.
    """
    figures = [result["figures"] for result in results]
    seeds = [result["seed"] for result in results]
    expert_m, own_m = [f["expert_progress_m"] for f in figures], [f["progress_m"] for f in figures]
    reasons: Counter[str] = Counter()
    for f in figures:
        reasons.update(f["intervention_reasons"])
    clean = [not (f["collisions_at_fault"] or f["off_road"] or f["red_lights"]) for f in figures]
    known = [(r["seed"], r["mean_ttc_s"]) for r in results if r["mean_ttc_s"] is not None]
    windows = [(r["seed"], w) for r in results for w in r["windows"]]
    forks = [f["fork"] for f in figures if f["fork"] is not None]
    return Summary(
        name=name,
        sensor=sensor,
        n=len(results),
        progress_share=sum(own_m) / sum(expert_m) if sum(expert_m) else 0.0,
        progress=ratio(seeds, own_m, expert_m),
        interventions=sum(f["interventions"] for f in figures),
        intervention_reasons=dict(reasons.most_common()),
        collisions_at_fault=sum(f["collisions_at_fault"] for f in figures),
        collisions_other=sum(f["collisions_other"] for f in figures),
        off_road=sum(f["off_road"] for f in figures),
        red_lights=sum(f["red_lights"] for f in figures),
        needless_stops=sum(f["needless_stops"] for f in figures),
        model_share=float(np.mean([f["model_share"] for f in figures])) if figures else 0.0,
        fork={"n": sum(f["n"] for f in forks), "fast": sum(f["fast"] for f in forks)} if forks else None,
        indicators=IndicatorFigures.total([IndicatorFigures(**i) if (i := f["indicators"]) else None for f in figures]),
        clean=sum(clean),
        passed=sum(result["outcome"] == "PASS" for result in results),
        clean_share=Share.of(clean),
        off_road_share=Share.of([bool(f["off_road"]) for f in figures]),
        at_fault_share=Share.of([bool(f["collisions_at_fault"]) for f in figures]),
        pdms=_mean_of(windows, lambda w: w["pdms"]),
        epdms=_mean_of(windows, lambda w: w["epdms"]),
        mean_ttc_s=mean([seed for seed, _ in known], [value for _, value in known]),
        extended_comfort=_mean_of(windows, lambda w: w["extended_comfort"]),
        sub_metrics=_sub_metrics(windows),
        by_scenario=_groups(windows, "scenario"),
        by_depth=_groups(windows, "depth"),
        doubt_auroc=doubt_auroc([(r["seed"], p) for r in results for p in r["plans"]]),
        open_loop=_open_loop([(r["seed"], p) for r in results for p in r["open_loop"]]),
        against_first=differences(results, first),
    )


def differences(results: Sequence[Result], first: Sequence[Result]) -> dict[str, Estimate]:
    """Paired by world: each world's mean under this variant minus its mean under the first."""
    other = {result["seed"]: result for result in first}
    found = {}
    for name, of in _PER_WORLD.items():
        pairs = [(r["seed"], of(r), of(other[r["seed"]])) for r in results if r["seed"] in other]
        known = [(seed, own - before) for seed, own, before in pairs if own is not None and before is not None]
        estimate = mean([seed for seed, _ in known], [value for _, value in known])
        if estimate is not None:
            found[name] = estimate
    return found


def _mean_or_none(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


_PER_WORLD: dict[str, Callable[[Result], float | None]] = {
    "progress_share": lambda r: float(r["figures"]["progress_share"]),
    "epdms": lambda r: _mean_or_none([w["epdms"] for w in r["windows"]]),
    "ade_m": lambda r: _mean_or_none([p["ade_m"] for p in r["open_loop"]]),
}


def doubt_auroc(rows: Sequence[tuple[int, dict[str, Any]]]) -> Estimate | None:
    """How well the spread tells the worst tenth of plans, by mean distance from the expert's, from the rest."""
    errors = np.array([row["ade_m"] for _, row in rows], np.float64)
    if len(errors) < 2:
        return None
    worst = errors >= np.quantile(errors, 1.0 - WORST_SHARE)
    return auroc_estimate([seed for seed, _ in rows], np.array([row["spread_m"] for _, row in rows]), worst)


def rate(worlds: Sequence[int], flags: Sequence[bool]) -> Estimate | None:
    """A share with bounds over worlds; where none or all are set, exact ones for whole worlds instead."""
    found = mean(worlds, [float(flag) for flag in flags])
    if found is None or found.value not in (0.0, 1.0):
        return found
    low, high = clopper_pearson(found.worlds if found.value else 0, found.worlds)
    return dataclasses.replace(found, low=low, high=high)


def as_document(summary: Summary) -> dict[str, Any]:
    """For JSON."""
    return dataclasses.asdict(summary)


def _mean_of(rows: Sequence[tuple[int, dict[str, Any]]], value: Callable[[dict[str, Any]], float]) -> Estimate | None:
    return mean([seed for seed, _ in rows], [float(value(row)) for _, row in rows])


def _sub_metrics(windows: Sequence[tuple[int, dict[str, Any]]]) -> dict[str, Estimate]:
    found = {name: _mean_of(windows, lambda w, name=name: w["own"][name]) for name in SUB_METRICS}  # type: ignore[misc]
    found["progress"] = _mean_of(windows, lambda w: w["progress"])
    found["comfort"] = _mean_of(windows, lambda w: w["own"]["comfort"])
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def _groups(windows: Sequence[tuple[int, dict[str, Any]]], by: str) -> list[Group]:
    names = sorted({window[by] for _, window in windows})
    groups = []
    for name in names:
        rows = [(seed, window) for seed, window in windows if window[by] == name]
        one, two = _mean_of(rows, lambda w: w["pdms"]), _mean_of(rows, lambda w: w["epdms"])
        if one is not None and two is not None:
            groups.append(Group(name, len(rows), one, two))
    return groups


FLAGS = ("hit_1s", "hit_2s", "hit_3s", "hit_5s", "comfortable", "lateral", "longitudinal")
DISTANCES = (
    "l2_1s_m", "l2_2s_m", "l2_3s_m", "l2_mean_1s_m", "l2_mean_2s_m", "l2_mean_3s_m", "ade_m", "fde_m",
    "pdms", "epdms",
)  # fmt: skip


def _open_loop(rows: Sequence[tuple[int, dict[str, Any]]]) -> OpenLoop | None:
    if not rows:
        return None
    figures = {name: _mean_of(rows, lambda r, name=name: r[name]) for name in DISTANCES}  # type: ignore[misc]
    figures |= {name: rate([seed for seed, _ in rows], [bool(row[name]) for _, row in rows]) for name in FLAGS}
    figures["doubt_auroc"] = doubt_auroc(rows)
    scenarios = sorted({row["scenario"] for _, row in rows})
    split = {
        name: _mean_of([(seed, row) for seed, row in rows if row["scenario"] == name], lambda r: r["ade_m"])
        for name in scenarios
    }
    return OpenLoop(
        {name: e for name, e in figures.items() if e is not None},
        {name: e for name, e in split.items() if e is not None},
    )
