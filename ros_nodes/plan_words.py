"""What stands below the cameras: who drives and why, what the model planned, and what it doubts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import SafeTrajectory, Takeover
from onboard_vla.ros_nodes.plan_scene import PlanScene

REASONS = 3
"""Spelled out; of the rest the codes alone, so that the plan and its doubt are still to be seen."""


def words_of(scene: PlanScene, has_rig: bool, now: Now) -> list[str]:
    """Lines, the most important ones first."""
    lines = ["no supervisor heard"] if scene.safe is None else _said(scene.safe)
    if scene.plan is None:
        lines.append("no plan yet")
    else:
        lines += _planned(scene.plan, scene.stamp_ns)
    if scene.rejection is not None:
        rejection = scene.rejection
        lines.append(f"plan {rejection.plan_id} rejected: {rejection.code}: {rejection.detail}")
    if not has_rig:
        lines.append("parameter rig is not set: where the cameras sit is unknown, nothing is drawn into their pictures")
    return lines


def _said(safe: SafeTrajectory) -> list[str]:
    first = f"{safe.mode.name.replace('_', ' ')}, {safe.engagement.value.replace('_', ' ')}, driven by {safe.source}"
    if safe.takeover is not Takeover.NONE:
        first += f", TAKEOVER {safe.takeover.name}"
    lines = [first]
    for reason in safe.reasons[:REASONS]:
        lines.append(f"{reason.code}: {reason.detail} ({reason.measured:.3g}, limit {reason.limit:.3g})")
    if len(safe.reasons) > REASONS:
        lines.append("also: " + ", ".join(dict.fromkeys(reason.code for reason in safe.reasons[REASONS:])))
    lines += [f"refused: {reason.code}: {reason.detail}" for reason in safe.refusals]
    return lines


def _planned(plan: Plan, picture_ns: int | None) -> list[str]:
    doubt = plan.uncertainty
    age = "" if picture_ns is None else f", made of a picture {seconds(picture_ns - plan.stamp_ns):.2f} s older"
    took = plan.stage_ms.get("total")
    first = " at the first step" if len(doubt.outside_mass) < len(doubt.spread_m) else ""
    lines = [
        f"plan {plan.plan_id}: {plan.depth} thinking{age}" + ("" if took is None else f", took {took:.0f} ms"),
        f"doubt: spread up to {_greatest(doubt.spread_m):.2f} m a step, {_greatest(doubt.outside_mass):.1%} outside "
        f"the codebook{first}, second way {_greatest(doubt.second_mass):.0%}, {doubt.negative_log_likelihood:.2f} nats",
    ]
    if doubt.vision_ood:
        camera, distance = max(doubt.vision_ood.items(), key=lambda item: item[1])
        lines.append(f"strangest picture: {camera.replace('_', ' ')}, distance {distance:.1f}")
    if plan.shed:
        lines.append("without " + ", ".join(plan.shed))
    if plan.text:
        lines.append(f"says: {plan.text}")
    return lines


def _greatest(values: NDArray[np.float32]) -> float:
    return float(values.max()) if values.size else 0.0
