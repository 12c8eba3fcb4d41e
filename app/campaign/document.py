"""The campaign as JSON: rows, bounds, every injection, and what it was made of."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema

from onboard_vla.app.campaign.cells import CellResult, family_rows
from onboard_vla.app.campaign.episode import MONITOR_OFF, MONITOR_ON, real_supervisor
from onboard_vla.app.campaign.fallback_scores import ScoreRow
from onboard_vla.app.campaign.fault_case import FAULTS, NOT_BUILT
from onboard_vla.app.campaign.figures import (
    CampaignVerdict,
    CaseRow,
    case_rows,
    controls,
    danger_rows,
)
from onboard_vla.app.campaign.golden import GoldenDrive, GoldenFigures
from onboard_vla.app.campaign.jobs import CONTROL, Result
from onboard_vla.app.campaign.real_result import RealResult, real_rows
from onboard_vla.app.campaign.recovery import RecoveryResult, RecoveryRow, recovery_rows
from onboard_vla.app.campaign.slow_drift import DriftResult
from onboard_vla.app.campaign.startup import StartUp
from onboard_vla.app.report.provenance import machine_summary, versions
from onboard_vla.world.source_commit import commit

FORMAT = 4
SCHEMA_PATH = Path(__file__).with_name("report.schema.json")


def document(
    results: Sequence[Result],
    golden: Sequence[GoldenDrive],
    golden_figures: GoldenFigures | None,
    real: Sequence[RealResult],
    verdict: CampaignVerdict,
    asked: dict[str, Any],
    cells: Sequence[CellResult] = (),
    start_ups: Sequence[StartUp] = (),
    recoveries: Sequence[RecoveryResult] = (),
    drifts: Sequence[DriftResult] = (),
    scores: ScoreRow | None = None,
) -> dict[str, Any]:
    """Everything, valid under `report.schema.json`.

    Raises:
        jsonschema.ValidationError: a fault of ours.
    """
    on = [r for r in results if r.monitor == MONITOR_ON and r.fault != CONTROL]
    ran = {r.fault for r in results} | {r.fault for r in real} | ({"F21"} if cells else set())
    ran |= ({"F25"} if start_ups else set()) | ({"F28"} if drifts else set())
    content: dict[str, Any] = {
        "format": FORMAT,
        "outcome": verdict.outcome,
        "exit_status": verdict.exit_status,
        "reasons": list(verdict.reasons),
        "counts": {
            "virtual_injections": len(on),
            "virtual_injections_monitor_off": sum(r.monitor == MONITOR_OFF and r.fault != CONTROL for r in results),
            "virtual_controls": sum(r.fault == CONTROL for r in results),
            "real_injections": len(real),
            "drifts": len(drifts),
            "recoveries": len(recoveries),
            "fallback_windows": 0 if scores is None else scores.windows,
            "golden_drives": len(golden),
            "scenario_cells": len(cells),
            "start_ups": len(start_ups),
        },
        "asked": asked,
        "controls": {m: dataclasses.asdict(controls(results, m)) for m in (MONITOR_ON, MONITOR_OFF)},
        "rows": [_row(row) for row in case_rows(results)],
        "danger": [dataclasses.asdict(row) for row in danger_rows(results)],
        "recovery": [_recovery(row) for row in recovery_rows(recoveries)],
        "not_run": {fault: NOT_BUILT.get(fault, "not asked for") for fault in FAULTS if fault not in ran},
        "scenarios": [dataclasses.asdict(row) for row in family_rows(cells)],
        "fallback_scores": None if scores is None else dataclasses.asdict(scores),
        "start_ups": [dataclasses.asdict(start) for start in start_ups],
        "golden": None if golden_figures is None else dataclasses.asdict(golden_figures),
        "golden_drives": [dataclasses.asdict(drive) for drive in golden],
        "real_rows": [{**dataclasses.asdict(row), "handling": _times(row.handling)} for row in real_rows(real)],
        "real": [dataclasses.asdict(result) for result in real],
        "drifts": [dataclasses.asdict(result) for result in drifts],
        "recoveries": [dataclasses.asdict(result) for result in recoveries],
        "injections": [dataclasses.asdict(result) for result in results],
        "provenance": provenance(),
    }
    content = json.loads(json.dumps(content))
    jsonschema.validate(content, json.loads(SCHEMA_PATH.read_text(encoding="utf-8")))
    return content


def provenance() -> dict[str, Any]:
    """Commit, configuration and thresholds under test, versions, machine."""
    config = real_supervisor().config
    return {
        "commit": commit(),
        "supervisor_config_sha256": sha256(repr(dataclasses.replace(config, thresholds=None))),
        "thresholds_sha256": sha256(repr(config.thresholds)),
        "versions": versions(),
        "machine": machine_summary(),
    }


def sha256(text: str) -> str:
    """Hex digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _row(row: CaseRow) -> dict[str, Any]:
    case = row.case
    return {
        "fault": case.fault,
        "variant": case.variant,
        "class": case.danger,
        "asks": case.asks,
        "mode": int(case.mode),
        "limit_ms": case.limit_ms,
        "outright": case.outright,
        "provider": case.provider,
        "note": case.note,
        "injections": row.injections,
        "without_effect": row.without_effect,
        "outcomes": row.outcomes,
        "missed": dataclasses.asdict(row.missed),
        "fdti_ms": _times(row.detection),
        "frti_ms": _times(row.reaction),
        "fhti_ms": _times(row.handling),
        "highest_mode": row.highest,
        "spoiled_plans": row.spoiled,
        "spoiled_plans_driven": row.spoiled_driven,
        "rear_end_hits": row.rear_end_hits,
    }


def _recovery(row: RecoveryRow) -> dict[str, Any]:
    return {**dataclasses.asdict(row), "times": _times(row.times)}


def _times(times: Any) -> dict[str, float] | None:  # noqa: ANN401 - Times or None
    return None if times is None else {"n": times.n, "p50": times.p50, "p95": times.p95, "max": times.largest}
