"""A run as JSON: a compared part without any wall-clock value, its digest, and beside it what was measured."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from pathlib import Path
from typing import Any

from onboard_vla.app.closed_loop_figures import ModeRise, figures_of, mode_changes, mode_rises
from onboard_vla.app.closed_loop_record import RunRecord
from onboard_vla.app.demo_verdict import Reaction, RunVerdict

RUN_JSON_FORMAT = 2
PROGRESS_DIGITS = 6
"""Metres are rounded to the micrometre: finer digits say nothing and differ between printers of floats."""


def compared_part(record: RunRecord) -> dict[str, Any]:
    """What two lock-step runs of one seed on one machine have in common, bit for bit."""
    settings = record.settings
    last = record.steps[-1] if record.steps else None
    return {
        "seed": settings.seed,
        "profile": settings.profile,
        "sensor": settings.sensor,
        "planner": settings.planner,
        "run_ns": settings.run_ns,
        "plan_latency_ns": settings.plan_latency_ns,
        "faults": [{"title": f.fault.title, "start_ns": f.start_ns} for f in record.faults],
        "plans": [
            {
                "plan_id": plan.plan_id,
                "stamp_ns": plan.stamp_ns,
                "tokens": list(plan.tokens),
                "depth": plan.depth,
                "poses_sha256": hashlib.sha256(plan.poses.tobytes()).hexdigest(),
            }
            for plan in record.plans
        ],
        "rejections": [{"stamp_ns": r.stamp_ns, "code": r.code} for r in record.rejections],
        "modes": [
            {"stamp_ns": stamp, "mode": mode, "engagement": engagement, "source": source, "reasons": list(codes)}
            for stamp, mode, engagement, source, codes in mode_changes(record)
        ],
        "violations": [dataclasses.asdict(violation) for violation in record.violations],
        "progress_m": round(record.progress_m, PROGRESS_DIGITS),
        "final_pose": [round(v, PROGRESS_DIGITS) for v in (last.x_m, last.y_m, last.heading_rad)] if last else [],
    }


def digest_of(compared: dict[str, Any]) -> str:
    """SHA-256 over the compared part in one canonical spelling."""
    return hashlib.sha256(json.dumps(compared, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def run_json(record: RunRecord, verdict: RunVerdict, provenance: dict[str, Any]) -> dict[str, Any]:
    """The whole file. `compared` and `digest` repeat from run to run in lock-step; the rest was measured."""
    compared = compared_part(record)
    return {
        "format": RUN_JSON_FORMAT,
        "compared": compared,
        "digest": digest_of(compared),
        "verdict": {
            "outcome": verdict.outcome,
            "exit_status": verdict.exit_status,
            "reasons": list(verdict.reasons),
            "checks": [dataclasses.asdict(check) for check in verdict.checks],
            "reactions": [_reaction(reaction) for reaction in verdict.reactions],
            "not_judged": list(verdict.not_judged),
        },
        "interventions": [_rise(rise) for rise in mode_rises(record)],
        "measured": {
            "transport": record.settings.transport,
            "figures": dataclasses.asdict(figures_of(record)),
            "cpu_percent": record.cpu_percent,
            "restarts": [{"time_ns": time_ns, "process": name} for time_ns, name in record.restarts],
        },
        "provenance": provenance,
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write JSON, making the folder if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2, sort_keys=False) + "\n", encoding="utf-8")


def _rise(rise: ModeRise) -> dict[str, Any]:
    """JSON has no numbers that are not finite; such a one is null."""
    reasons = [
        {
            "code": reason.code,
            "measured": reason.measured if math.isfinite(reason.measured) else None,
            "limit": reason.limit if math.isfinite(reason.limit) else None,
            "detail": reason.detail,
        }
        for reason in rise.reasons
    ]
    return {"at_ns": rise.at_ns, "mode": rise.mode, "lasted_ns": rise.lasted_ns, "reasons": reasons}


def _reaction(reaction: Reaction) -> dict[str, Any]:
    fields = dataclasses.asdict(reaction)
    fields["fault"] = {"title": reaction.fault.fault.title, "start_ns": reaction.fault.start_ns}
    return fields
