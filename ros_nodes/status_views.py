"""Views for who builds no messages: takeover request and plan decision as diagnostic_msgs/DiagnosticStatus."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.process_graph import PLANNER, SUPERVISOR
from onboard_vla.core.safe_trajectory import SafeTrajectory, Takeover

HARDWARE_ID = "onboard_vla"
TAKEOVER_WORDS = {
    Takeover.NONE: (DiagnosticStatus.OK, "no request"),
    Takeover.ADVISORY: (DiagnosticStatus.WARN, "be ready to take over"),
    Takeover.MANDATORY: (DiagnosticStatus.ERROR, "take over now"),
}


def to_takeover_request(message: SafeTrajectory) -> DiagnosticStatus:
    """What is asked of the driver, since when, why, and when the driver acted on it (stamps in ns, -1: not yet)."""
    level, words = TAKEOVER_WORDS[message.takeover]
    return _status(
        level,
        f"{SUPERVISOR}: takeover request",
        words,
        {
            "takeover": message.takeover.name,
            "takeover_stamp_ns": message.takeover_stamp_ns,
            "driver_stamp_ns": message.driver_stamp_ns,
            "mode": message.mode.name,
            "reasons": [reason.code for reason in message.reasons],
        },
    )


def takeover_news(message: SafeTrajectory) -> tuple[object, ...]:
    """A request is new when its kind or one of its two stamps is."""
    return message.takeover, message.takeover_stamp_ns, message.driver_stamp_ns


def to_decision(message: Plan | PlanRejection) -> DiagnosticStatus:
    """What the planner decided, without the plan itself; values are JSON."""
    name = f"{PLANNER}: decision"
    about = {"plan_id": message.plan_id, "stamp_ns": message.stamp_ns}
    if isinstance(message, PlanRejection):
        about |= {"code": message.code, "detail": message.detail}  # type: ignore[dict-item]
        return _status(DiagnosticStatus.WARN, name, f"rejected: {message.code}", about)
    doubt = message.uncertainty
    return _status(
        DiagnosticStatus.OK,
        name,
        f"plan, {message.depth}",
        {
            **about,
            "depth": message.depth,
            "slow_probability": message.slow_probability,
            "text": message.text,
            "scene": dataclasses.asdict(message.scene),
            "shed": message.shed,
            "negative_log_likelihood": doubt.negative_log_likelihood,
            "greatest_spread_m": float(doubt.spread_m.max()) if len(doubt.spread_m) else None,
            "greatest_outside_mass": float(doubt.outside_mass.max()) if len(doubt.outside_mass) else None,
            "outside_mass_steps": len(doubt.outside_mass),
            "vision_ood": doubt.vision_ood,
            "tokens": len(message.action_tokens),
            "passes": [message.passes.vision, message.passes.prefill, message.passes.decode],
            "stage_ms": message.stage_ms,
            "camera_skew_ms": message.camera_skew_ms,
            "bundle_hash": message.bundle_hash,
        },
    )


def _status(level: bytes, name: str, message: str, values: Mapping[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=json.dumps(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id=HARDWARE_ID, values=pairs)
