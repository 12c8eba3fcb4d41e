"""What processes say about themselves: aspects, levels, and what to do."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

import onboard_vla
from onboard_vla.core.plan import Heartbeat, PassCount, Plan, PlanRejection, Uncertainty
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.ros_nodes import checks
from onboard_vla.ros_nodes.checks import (
    ASPECTS,
    CameraGuardChecks,
    Level,
    PlannerChecks,
    SupervisorChecks,
    aspect_of,
)

TRAJECTORY = SafeTrajectory(
    1, 1, Engagement.ENGAGED, Mode.NOMINAL, "model", 3, (), np.zeros((0, 6)), False, Takeover.NONE, -1, -1, (), 0, "c"
)


def reason(code: str, detail: str = "") -> Reason:
    return Reason(code, 1.5, 1.0, detail)


def of_supervisor(**changes) -> dict[str, checks.Check]:
    source = SupervisorChecks()
    source.observe(dataclasses.replace(TRAJECTORY, **changes))
    return {check.name: check for check in source.checks()}


def test_without_reasons_everything_is_well() -> None:
    found = of_supervisor()

    assert {check.level for check in found.values()} == {Level.OK}
    assert len(found) == len(ASPECTS) + 2


@pytest.mark.parametrize(
    ("code", "detail", "aspect"),
    [
        ("EGO_STALE", "", "ego state"),
        ("CAMERA_GUARD_SILENT", "", "camera guard"),
        ("CAMERA_MISSING", "front: no verdict received", "cameras"),
        ("BLACK", "front: mean", "cameras"),
        ("PLANNER_HANGS", "", "planner"),
        ("THRESHOLDS_MISSING", "", "thresholds"),
        ("COLLISION", "at 1.2 s", "plan checks"),
        ("PLAN_STALE", "", "plan checks"),
    ],
)
def test_reasons_stand_under_their_aspect_with_figures_and_a_remedy(code, detail, aspect) -> None:
    found = of_supervisor(mode=Mode.FALLBACK, reasons=(reason(code, detail),))

    assert [name for name, check in found.items() if check.level is not Level.OK] == ["mode", aspect]
    assert found[aspect].message.startswith(f"{code}: ")
    assert len(found[aspect].message) > len(code) + 10
    assert found[aspect].values == ((code, f"1.5 (limit 1) {detail}".strip()),)


def test_every_aspect_owns_reasons_that_the_supervisor_has() -> None:
    room = Path(onboard_vla.__file__).parent / "safety"
    text = "".join(path.read_text() for path in room.rglob("*.py"))
    words = set(re.findall(r'"([A-Z][A-Z]+(?:_[A-Z]+)*)"', text))
    words |= {f"{process}_SILENT" for process in ("PLANNER", "CAMERA_GUARD")}

    owners = {aspect_of(reason(word)).name for word in words}

    assert owners == {aspect.name for aspect in ASPECTS} | {"plan checks"}


@pytest.mark.parametrize(
    ("mode", "level"), [(Mode.REDUCED, Level.WARN), (Mode.IN_LANE_STOP, Level.ERROR), (Mode.NOMINAL, Level.WARN)]
)
def test_an_aspect_is_as_bad_as_the_mode_and_never_well_with_a_reason(mode, level) -> None:
    assert of_supervisor(mode=mode, reasons=(reason("EGO_LATE"),))["ego state"].level is level


def test_a_second_process_of_a_name_is_named_with_what_ends_the_stop() -> None:
    twice = reason("DUPLICATE_AUTHORITY", "processes that speak as vla_planner")

    message = of_supervisor(mode=Mode.IN_LANE_STOP, reasons=(twice,))["authority"].message

    assert message.startswith("DUPLICATE_AUTHORITY (processes that speak as vla_planner): end the other one")
    assert "log" not in message


def test_a_latched_vehicle_says_how_to_get_on_and_why_the_last_command_was_refused() -> None:
    refused = (Reason("NOT_STANDING", 0.0, 1.0, "standing still for, s"),)

    mode = of_supervisor(engagement=Engagement.LATCHED, mode=Mode.STOPPED, refusals=refused)["mode"]

    assert mode.level is Level.ERROR
    assert "re-arm at standstill" in mode.message
    assert ("refused: NOT_STANDING", "standing still for, s") in mode.values


def test_planner_that_holds_its_heartbeats_back_is_an_error(monkeypatch) -> None:
    source = PlannerChecks()
    now = [10**9]
    monkeypatch.setattr(checks.time, "monotonic_ns", lambda: now[0])
    assert source.checks()[0].level is Level.STALE

    source.observe(Heartbeat("vla_planner", 1, 1, 1, 4, 3, True, "plan 3"))
    assert source.checks()[0].level is Level.OK
    now[0] += 250_000_001
    assert source.checks()[0].level is Level.ERROR


def test_a_rejected_plan_is_a_warning_with_its_code() -> None:
    source = PlannerChecks()

    source.observe(PlanRejection(7, 1, "ego_stale", "0.6 s"))

    assert source.checks()[1].level is Level.WARN
    assert "ego_stale" in source.checks()[1].message


def test_a_plan_that_goes_without_something_is_a_warning_that_names_it() -> None:
    poses = np.zeros((10, 3), np.float32)
    plan = Plan(
        7, 1, 1, 0.5, poses, poses, (0,) * 10, "fast", 0.1, "", Uncertainty.sure(10), PassCount(1, 1, 9), {}, "",
    )  # fmt: skip
    source = PlannerChecks()

    source.observe(plan)
    assert (source.checks()[1].level, source.checks()[1].message) == (Level.OK, "plan 7, fast")
    source.observe(dataclasses.replace(plan, shed=("history", "camera back")))
    assert source.checks()[1].level is Level.WARN
    assert source.checks()[1].message.startswith("plan 7, fast, without history, camera back: ")


def test_each_camera_is_judged_by_its_own_newest_verdict(monkeypatch) -> None:
    source = CameraGuardChecks()
    now = [10**9]
    monkeypatch.setattr(checks.time, "monotonic_ns", lambda: now[0])
    source.observe(Verdict("front", 1, 0, True, (), ""))
    source.observe(Verdict("back", 1, 0, False, (reason("BLACK"),), ""))
    source.observe(Verdict("front_left", 1, 0, True, (reason("DULL"),), ""))

    levels = {check.name: check.level for check in source.checks()}
    assert levels == {
        "camera front": Level.OK,
        "camera back": Level.ERROR,
        "camera front_left": Level.WARN,
        **{f"camera {name}": Level.STALE for name in ("front_right", "back_left", "back_right")},
    }
    silent = next(check for check in source.checks() if check.name == "camera back_left")
    assert "cameras.transport (raw or compressed)" in silent.message
    now[0] += 1_000_000_001
    assert [check.level for check in source.checks() if check.name == "camera front"] == [Level.ERROR]
