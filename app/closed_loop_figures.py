"""Figures of a run: what tables, JSON and report all quote, computed once from the record."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onboard_vla.app.closed_loop_record import PlanRecord, RunRecord
from onboard_vla.app.demo_verdict import at_fault_collisions
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS
from onboard_vla.app.indicator_figures import IndicatorFigures
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.world.violations import COLLISION, OFF_ROAD, RED_LIGHT, STOPPED_WITHOUT_CAUSE

FORK_THRESHOLD = 0.5
"""The fork picks the likelier of its two tokens, as greedy decoding does."""
PREFILL = 1
"""Position in `PlanRecord.passes`."""


@dataclass(frozen=True)
class Distribution:
    """Median, 99th percentile and maximum of `n` samples: exact order statistics, never quoted without `n`."""

    n: int
    p50: float
    p99: float
    largest: float

    @staticmethod
    def of(values: Sequence[float]) -> Distribution | None:
        """None for no samples. The percentile is the smallest value with at least that share at or below it."""
        if not len(values):
            return None
        ordered = np.sort(np.asarray(values, np.float64))
        at = [ordered[max(int(np.ceil(share * len(ordered))) - 1, 0)] for share in (0.50, 0.99)]
        return Distribution(len(ordered), float(at[0]), float(at[1]), float(ordered[-1]))


@dataclass(frozen=True)
class ForkChoice:
    """How often the model's fork alone would have answered fast: `fast` of `n` plans, whatever depth was decoded.

    A second answer on the same pictures has the fork of the first, and does not count again.
    """

    n: int
    fast: int

    @staticmethod
    def of(plans: Sequence[PlanRecord]) -> ForkChoice | None:
        """Over the plans that a language model made; None if none did. Fast: `slow_probability` below one half."""
        asked = {plan.stamp_ns: plan.slow_probability for plan in plans if plan.passes[PREFILL] > 0}
        chosen = [probability < FORK_THRESHOLD for probability in asked.values()]
        return ForkChoice(len(chosen), sum(chosen)) if chosen else None

    @staticmethod
    def total(choices: Sequence[ForkChoice | None]) -> ForkChoice | None:
        """Several runs together; None if no run has any."""
        known = [choice for choice in choices if choice is not None]
        return ForkChoice(sum(c.n for c in known), sum(c.fast for c in known)) if known else None

    def __str__(self) -> str:
        return f"{self.fast / self.n:.1%} (n = {self.n})"


@dataclass(frozen=True)
class RunFigures:
    """What one run amounts to. Times in ms, shares 0 to 1, mode shares over published trajectories.

    `depths`: plans by the depth they were decoded at, which the planner's setting forces; `fork`: its own choice.
    """

    plans: int
    rejections: int
    rejection_codes: dict[str, int]
    depths: dict[str, int]
    fork: ForkChoice | None
    passes_per_plan: tuple[float, float, float]
    passes_largest: tuple[int, int, int]
    latency: Distribution | None
    age: Distribution | None
    mode_shares: dict[str, float]
    model_share: float
    interventions: int
    intervention_reasons: dict[str, int]
    collisions_at_fault: int
    collisions_other: int
    off_road: int
    red_lights: int
    needless_stops: int
    progress_m: float
    expert_progress_m: float
    progress_share: float
    mean_speed_mps: float
    loop_lateness: Distribution | None
    probe_lateness: Distribution | None
    spread: Distribution | None
    vision_ood: Distribution | None
    indicators: IndicatorFigures | None


def figures_of(record: RunRecord) -> RunFigures:
    """Compute the figures of a run."""
    driving = record.driving()
    modes = Counter(item.mode for item in driving)
    passes = np.array([plan.passes for plan in record.plans], np.float64).reshape(-1, 3)
    kinds = Counter(violation.kind for violation in record.violations)
    at_fault = len(at_fault_collisions(record.violations))
    reasons = [reason for _, reason in interventions(record)]
    expert = record.expert_progress_m
    return RunFigures(
        plans=len(record.plans),
        rejections=len(record.rejections),
        rejection_codes=dict(Counter(rejection.code for rejection in record.rejections)),
        depths=dict(Counter(plan.depth for plan in record.plans)),
        fork=ForkChoice.of(record.plans),
        passes_per_plan=_triple(passes.mean(axis=0)) if len(passes) else (0.0, 0.0, 0.0),
        passes_largest=_whole(passes.max(axis=0)) if len(passes) else (0, 0, 0),
        latency=Distribution.of([plan.latency_ms for plan in record.plans]),
        age=Distribution.of([plan.age_ns / MILLISECOND_NS for plan in record.plans]),
        mode_shares={f"L{mode.value}": _share(modes[mode.value], len(driving)) for mode in Mode},
        model_share=_share(sum(item.source == "model" for item in driving), len(driving)),
        interventions=len(reasons),
        intervention_reasons=dict(Counter(reasons)),
        collisions_at_fault=at_fault,
        collisions_other=kinds[COLLISION] - at_fault,
        off_road=kinds[OFF_ROAD],
        red_lights=kinds[RED_LIGHT],
        needless_stops=kinds[STOPPED_WITHOUT_CAUSE],
        progress_m=record.progress_m,
        expert_progress_m=expert,
        progress_share=_share(record.progress_m, expert),
        mean_speed_mps=_share(record.progress_m, record.settings.run_ns / SECOND_NS),
        loop_lateness=Distribution.of(record.loop_lateness_ms),
        probe_lateness=Distribution.of([lateness for _, lateness in record.probe]),
        spread=Distribution.of([plan.spread_m for plan in record.plans]),
        vision_ood=Distribution.of([plan.vision_ood for plan in record.plans if plan.vision_ood is not None]),
        indicators=IndicatorFigures.of(record.indicators),
    )


def interventions(record: RunRecord) -> list[tuple[int, str]]:
    """Entries into L2 or above while engaged: (time_ns, first reason's code). The mode at engagement is no entry."""
    driving = record.driving()
    entries, before = [], driving[0].mode if driving else Mode.NOMINAL.value
    for item in driving:
        if item.mode >= Mode.FALLBACK > before:
            entries.append((item.stamp_ns, item.reasons[0].code if item.reasons else "no reason given"))
        before = item.mode
    return entries


def mode_changes(record: RunRecord) -> list[tuple[int, int, str, str, tuple[str, ...]]]:
    """The mode timeline: (stamp_ns, mode, engagement, source, reason codes) at every change of the first three."""
    changes: list[tuple[int, int, str, str, tuple[str, ...]]] = []
    for item in record.driving():
        state = (item.mode, item.engagement, item.source)
        if not changes or state != changes[-1][1:4]:
            changes.append((item.stamp_ns, *state, tuple(reason.code for reason in item.reasons)))
    return changes


@dataclass(frozen=True)
class ModeRise:
    """A safer mode than before, with the reasons in force. `lasted_ns`: until the next change of mode, or the end."""

    at_ns: int
    mode: int
    lasted_ns: int
    reasons: tuple[Reason, ...]


def mode_rises(record: RunRecord) -> list[ModeRise]:
    """Every intervention, L1 too. The mode at engagement is none."""
    driving = record.driving()
    changes = [b for a, b in itertools.pairwise(driving) if a.mode != b.mode]
    ends = [*(item.stamp_ns for item in changes[1:]), record.settings.run_ns]
    before = driving[0].mode if driving else Mode.NOMINAL.value
    rises = []
    for item, end_ns in zip(changes, ends, strict=False):
        if item.mode > before:
            rises.append(ModeRise(item.stamp_ns, item.mode, end_ns - item.stamp_ns, item.reasons))
        before = item.mode
    return rises


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])


def _whole(values: np.ndarray) -> tuple[int, int, int]:
    return int(values[0]), int(values[1]), int(values[2])
