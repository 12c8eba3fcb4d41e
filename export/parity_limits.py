"""How far a bundle may be from the float32 model: limits on the figures of `verify`, each with its reason.

They say what a plan may differ by, not what some export happens to reach; an export beyond one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import log
from typing import Any

from onboard_vla.core.errors import ArgumentError, BundleError
from onboard_vla.export.verify import Figures

ADVICE = (
    "calibrate on scenes of the deployment (calibration_ranges.npz or --calibration-scenes) and judge on others of it "
    "(--golden-scenes), keep sensitive layers in float32 (--keep-float), or export with --precision fp32"
)


@dataclass(frozen=True)
class ParityLimit:
    """A figure (a field of `Figures`) that must be at most `bound`."""

    figure: str
    bound: float
    unit: str
    reason: str


PARITY_LIMITS = (
    ParityLimit(
        "preference_loss_max",
        log(2),
        "nats",
        "an action that float32 would not take must be one that it holds at least half as likely as its own",
    ),
    ParityLimit(
        "fork_loss_max",
        log(2),
        "nats",
        "fast and slow thinking may be swapped only where float32's odds between them are below 2 to 1",
    ),
    ParityLimit(
        "motion_shift_mean_m",
        0.01,
        "m",
        "ten steps that all err the same way then end 0.1 m off, the error that the codebook is allowed at every speed",
    ),
    ParityLimit(
        "ade_mean_m",
        0.1,
        "m",
        "number format may cost a plan what the codebook may (0.1 m); the reference model itself errs by 0.76 m",
    ),
    ParityLimit(
        "ade_p95_m",
        0.76,
        "m",
        "19 plans of 20 move by less than the reference model errs on average (card: ADE 5 s 0.76 m); the worst is "
        "no measure, for a near tie that any rounding decides may part two plans: `preference_loss_max` guards it",
    ),
)


MANY_SCENES = 1000
"""From how many scenes on `PLAN_LIMITS` say what they are for: one plan in a hundred is ten of these."""
PLAN_LIMITS = (
    ParityLimit(
        "fork_changes",
        0.01,
        "of all",
        "fast or slow thinking is chosen as by float32 in 99 of 100 scenes, near ties included",
    ),
    ParityLimit("ade_median_m", 0.05, "m", "half of all plans move by less than half of what the codebook may cost"),
)
"""Limits over many scenes (`MANY_SCENES` and more), where near ties must happen; the worst of so many is no measure."""

AIMS = (
    ParityLimit(
        "ade_p99_m",
        0.25,
        "m",
        "reported beside the margin where plans part: one flipped token moves a plan by more, so a near tie misses it",
    ),
)
"""What is aimed at and reported; missing it refuses nothing."""


def tightened(
    limits: tuple[ParityLimit, ...], bounds: Mapping[str, float], field: str = "limits"
) -> tuple[ParityLimit, ...]:
    """The project's limits, each replaced by a bound of the bundle's own where that is tighter; looser ones are not.

    Raises:
        BundleError: a bound is no number.
    """
    for figure, bound in bounds.items():
        if isinstance(bound, bool) or not isinstance(bound, (int, float)):
            raise BundleError(f"manifest.parity.{field}: {figure} must be a number, found {bound!r}; export it again")
    return tuple(replace(limit, bound=min(limit.bound, bounds.get(limit.figure, limit.bound))) for limit in limits)


@dataclass(frozen=True)
class Limits:
    """The project's limits with tighter bounds of a bundle's own: `golden` over golden scenes, `many` over many."""

    golden: tuple[ParityLimit, ...] = PARITY_LIMITS
    many: tuple[ParityLimit, ...] = PLAN_LIMITS

    @classmethod
    def of_manifest(cls, parity: Mapping[str, Any]) -> Limits:
        """Those that count for a bundle with these parity figures in its manifest.

        Raises:
            BundleError: a bound is no number.
        """
        return cls(
            tightened(PARITY_LIMITS, parity.get("limits", {}), "limits"),
            tightened(PLAN_LIMITS, parity.get("plan_limits", {}), "plan_limits"),
        )


def own_limits(bounds: Mapping[str, float]) -> Limits:
    """The project's limits with tighter bounds of an export's own.

    Raises:
        ArgumentError: a figure has no limit, or a bound is no number or looser than the project's.
    """
    known = {limit.figure: limit.bound for limit in (*PARITY_LIMITS, *PLAN_LIMITS)}
    for figure, bound in bounds.items():
        if figure not in known:
            raise ArgumentError(f"limit {figure!r}: expected one of {', '.join(known)}")
        if not 0 <= bound <= known[figure]:
            raise ArgumentError(
                f"limit {figure}: {bound:g} is not from 0 to the project's {known[figure]:.3g}: tighten it"
            )
    return Limits(tightened(PARITY_LIMITS, bounds), tightened(PLAN_LIMITS, bounds))


def misses(figures: Figures, share: float = 1.0, limits: tuple[ParityLimit, ...] = PARITY_LIMITS) -> list[str]:
    """Limits that the figures do not keep, in words; `share` of each bound counts. A figure that is NaN misses."""
    return [
        f"{limit.figure} is {getattr(figures, limit.figure):.3g} {limit.unit}, "
        f"at most {limit.bound:.3g} {limit.unit} is allowed"
        for limit in limits
        if not getattr(figures, limit.figure) <= share * limit.bound
    ]


def require_parity(figures: Figures, what: str, limits: tuple[ParityLimit, ...] = PARITY_LIMITS) -> None:
    """Hold figures against all limits.

    Raises:
        BundleError: one or more are missed; each figure and its limit are named, and what to do.
    """
    if missed := misses(figures, limits=limits):
        where = f"over {figures.scenes} golden scenes ({figures.steps} steps)"
        raise BundleError(f"{what} is too far from the float32 model {where}: {'; '.join(missed)}; {ADVICE}")


def limits_table(limits: tuple[ParityLimit, ...] = PARITY_LIMITS) -> dict[str, float]:
    """Figure to bound, for manifests and reports."""
    return {limit.figure: limit.bound for limit in limits}
