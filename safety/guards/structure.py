"""The shape of a plan: exact counts, finite numbers, the right bundle. The finite check comes first and is fatal."""

from __future__ import annotations

import math

import numpy as np

from onboard_vla.core.clock import seconds
from onboard_vla.core.plan import FAST, SLOW, Plan
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import StructureLimits

UNCERTAINTY_SIGNALS = ("spread_m", "outside_mass", "chosen_mass", "second_mass", "second_distance_m")


OF_FIRST_STEP = (1,)
"""Shape of `outside_mass` where the planner computes what it needs of the first step alone."""


def check_structure(plan: Plan, limits: StructureLimits, core_hash: str | None) -> list[Reason]:
    """Reasons to refuse the plan outright, each a hard fault. `core_hash`: the thresholds' core, None without any."""
    arrays = {"poses": plan.poses, "fine_poses": plan.fine_poses}
    arrays |= {name: getattr(plan.uncertainty, name) for name in UNCERTAINTY_SIGNALS}
    for name, array in arrays.items():
        broken = int(np.size(array) - np.count_nonzero(np.isfinite(array)))
        if broken:
            return [Reason("PLAN_NOT_FINITE", float(broken), 0.0, f"{name} holds values that are not finite")]
    figures = plan.step_s, plan.uncertainty.negative_log_likelihood, *plan.uncertainty.vision_ood.values()
    if not all(math.isfinite(figure) for figure in figures):
        return [Reason("PLAN_NOT_FINITE", 1.0, 0.0, "step, likelihood or a camera's figure is not finite")]
    reasons = []
    shapes = {
        "poses": (limits.poses, 3),
        "fine_poses": (limits.poses * limits.sub_steps, 3),
        **{name: (limits.poses,) for name in UNCERTAINTY_SIGNALS},
    }
    if arrays["outside_mass"].shape == OF_FIRST_STEP:
        shapes["outside_mass"] = OF_FIRST_STEP
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            found = float(arrays[name].shape[0]) if arrays[name].ndim else 0.0
            detail = f"{name}: expected shape {shape}, found {arrays[name].shape}"
            reasons.append(Reason("PLAN_SHAPE", found, float(shape[0]), detail))
    if len(plan.action_tokens) != limits.tokens:
        detail = "count of action tokens"
        reasons.append(Reason("PLAN_TOKENS", float(len(plan.action_tokens)), float(limits.tokens), detail))
    if plan.action_tokens and min(plan.action_tokens) < 0:
        reasons.append(Reason("PLAN_TOKENS", float(min(plan.action_tokens)), 0.0, "negative action token"))
    if plan.depth not in (FAST, SLOW):
        reasons.append(Reason("PLAN_DEPTH", 1.0, 0.0, f"expected {FAST} or {SLOW}, found {plan.depth[:20]!r}"))
    if abs(plan.step_s - limits.step_s) > 1e-6:
        reasons.append(Reason("PLAN_STEP", plan.step_s, limits.step_s, "time between poses"))
    skew_s = seconds(plan.stamp_ns - plan.oldest_frame_stamp_ns)
    if not 0.0 <= skew_s <= limits.frame_skew_s:
        reasons.append(Reason("PLAN_FRAME_SKEW", skew_s, limits.frame_skew_s, "oldest picture against the anchor"))
    if core_hash is not None and plan.bundle_hash != core_hash:
        detail = f"plan is of bundle {plan.bundle_hash[:12]!r}, thresholds are for {core_hash[:12]!r}"
        reasons.append(Reason("PLAN_BUNDLE", 1.0, 0.0, detail))
    if reasons:
        return reasons
    ends = plan.fine_poses[limits.sub_steps - 1 :: limits.sub_steps]
    mismatch = float(np.abs(ends - plan.poses).max())
    if mismatch > limits.fine_mismatch_m:
        reasons.append(Reason("PLAN_FINE_MISMATCH", mismatch, limits.fine_mismatch_m, "fine poses leave the poses"))
    return reasons
