"""Figures, JSON, tables and report of a made-up run."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
from rich.console import Console

from onboard_vla.app.closed_loop_figures import (
    Distribution,
    ForkChoice,
    figures_of,
    interventions,
    mode_changes,
    mode_rises,
)
from onboard_vla.app.closed_loop_json import compared_part, digest_of, run_json
from onboard_vla.app.closed_loop_record import RunRecord, RunSettings, ViolationRecord
from onboard_vla.app.demo_tables import end_tables, figure_rows, verdict_line
from onboard_vla.app.demo_verdict import in_words, judge
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.app.report.page import page
from onboard_vla.app.report.picture import write_picture
from onboard_vla.app.report.projection import in_ego_frame, plan_in_odometry
from onboard_vla.app.report.provenance import provenance_of
from onboard_vla.core.camera_rig import project, ribbon
from onboard_vla.core.cameras import BACK, FRONT
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.verdict import Reason
from onboard_vla.world.rig import default_rig


def test_percentiles_are_order_statistics_with_their_count():
    values = [float(v) for v in range(1, 101)]
    assert Distribution.of(values) == Distribution(100, 50.0, 99.0, 100.0)
    assert Distribution.of([3.0]) == Distribution(1, 3.0, 3.0, 3.0)
    assert Distribution.of([]) is None


def test_figures_count_entries_and_passes(record):
    figures = figures_of(record)
    assert figures.plans == 300
    assert figures.passes_per_plan == (6.0, 1.0, 9.0)
    assert figures.interventions == 2
    assert [code for _, code in interventions(record)] == ["IMAGE_BLACK", "PLANNER_SILENT"]
    assert figures.mode_shares["L0"] == pytest.approx(1 - 16 / 60, abs=0.001)
    assert figures.progress_share == pytest.approx(1 / 1.1, abs=0.01)


def fork_said(record, *probabilities):
    """The run with plans whose forks gave these probabilities of slow thinking."""
    plans = [dataclasses.replace(p, slow_probability=q) for p, q in zip(record.plans, probabilities, strict=False)]
    return dataclasses.replace(record, plans=plans)


def test_share_of_the_fork_counts_its_probability_and_not_the_forced_depth(record):
    run = fork_said(record, 0.1, 0.49, 0.5, 0.9)
    figures = figures_of(run)
    assert figures.depths == {"fast": 4}
    assert figures.fork == ForkChoice(4, 2)
    assert ForkChoice.total([figures.fork, None, ForkChoice(6, 6)]) == ForkChoice(10, 8)
    second = dataclasses.replace(run, plans=[*run.plans, dataclasses.replace(run.plans[-1], depth="slow")])
    assert figures_of(second).fork == ForkChoice(4, 2), "a second answer has the fork of the first"
    rows = dict(figure_rows(run, figures))
    assert rows["fork would have picked fast"] == "50.0% (n = 4)"
    assert rows["depth of plans, forced"] == "fast x4"
    content = json.loads(json.dumps(run_json(run, judge(run), {})))
    assert content["measured"]["figures"]["fork"] == {"n": 4, "fast": 2}
    assert "50.0% (n = 4)" in page(run, judge(run), {}, default_rig())


def test_planner_without_a_language_model_has_no_fork(record):
    plans = [dataclasses.replace(plan, passes=(0, 0, 0), slow_probability=0.0) for plan in record.plans]
    run = dataclasses.replace(record, plans=plans)
    assert figures_of(run).fork is None
    assert dict(figure_rows(run, figures_of(run)))["fork would have picked fast"] == "no model, no fork"


def test_published_reason_says_what_was_measured_and_its_limit():
    assert in_words(Reason("BLACK", 0.25, 8.0, "front: mean grey")) == "front: mean grey: 0.25, limit 8"


def test_mode_changes_begin_with_the_first_mode_and_name_only_changes(record):
    assert [mode for _, mode, *_ in mode_changes(record)] == [0, 2, 0, 2, 0]


def test_the_report_lists_every_rise_of_the_mode_with_what_was_measured(record):
    """Also L1, and one whose reason has no finite number; falls are no intervention."""
    published = [
        dataclasses.replace(item, mode=1, reasons=(Reason("SPREAD_RAISED", float("nan"), 0.5, "step 3"),))
        if 2 * SECOND_NS <= item.stamp_ns < 4 * SECOND_NS
        else item
        for item in record.published
    ]
    run = dataclasses.replace(record, published=published)

    assert [(rise.at_ns, rise.mode) for rise in mode_rises(run)] == [
        (2 * SECOND_NS, 1),
        (15_120_000_000, 2),
        (40_120_000_000, 2),
    ]
    content = json.loads(json.dumps(run_json(run, judge(run), {}), allow_nan=False))
    first, black, _ = content["interventions"]
    assert first["lasted_ns"] == 2 * SECOND_NS
    assert first["reasons"] == [{"code": "SPREAD_RAISED", "measured": None, "limit": 0.5, "detail": "step 3"}]
    assert black["reasons"] == [{"code": "IMAGE_BLACK", "measured": 0.0, "limit": 8.0, "detail": "front: mean grey"}]
    text = page(run, judge(run), {}, default_rig())
    cells = (
        "<td>2.00 s</td><td>L1 reduced</td><td>2.00 s</td><td>SPREAD_RAISED</td><td>step 3</td><td>nan</td><td>0.5</td>"
    )
    assert cells in text
    assert "<td>15.12 s</td><td>L2 fallback</td><td>8.00 s</td><td>IMAGE_BLACK</td>" in text


def test_digest_ignores_wall_clock_values_and_sees_plans(record):
    digest = digest_of(compared_part(record))
    slower = dataclasses.replace(
        record,
        plans=[dataclasses.replace(p, stage_ms={"total": 999.0}, age_ns=1, received_ns=2) for p in record.plans],
        probe=[],
        loop_lateness_ms=[5.0],
        cpu_percent={"vehicle": 3.0},
    )
    assert digest_of(compared_part(slower)) == digest
    other = dataclasses.replace(record, plans=[dataclasses.replace(record.plans[0], tokens=(1,)), *record.plans[1:]])
    assert digest_of(compared_part(other)) != digest


def test_json_is_plain_and_holds_the_verdict(record):
    content = json.loads(json.dumps(run_json(record, judge(record), provenance_of({}, {}))))
    assert content["verdict"]["outcome"] == "PASS"
    assert content["compared"]["plans"][0]["tokens"] == list(range(10))
    assert content["measured"]["figures"]["latency"]["n"] == 300


def test_end_tables_show_both_faults(record):
    console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for table in end_tables(record, figures_of(record), judge(record)):
        console.print(table)
    text = console.export_text()
    assert "front camera black for 3 s" in text
    assert "PLANNER_SILENT" in text
    assert "n = 300" in text


def test_end_tables_lose_no_word_on_a_narrow_terminal(record):
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for table in end_tables(record, figures_of(record), judge(record)):
        console.print(table)
    assert "…" not in console.export_text()


def test_verdict_line_names_the_reason(record):
    broken = dataclasses.replace(record, violations=[ViolationRecord(3 * SECOND_NS, "collision", True, "drove into x")])
    assert verdict_line(judge(record)) == "PASS (exit 0)"
    assert "drove into x at 3.0 s" in verdict_line(judge(broken))


def test_report_is_one_file_that_fetches_nothing(record):
    text = page(record, judge(record), provenance_of({"core hash": "abc"}, {"seed": 7}), default_rig())
    links = re.findall(r"""(?:src|href)=["']([^"'#][^"']*)""", text)
    assert links
    assert all(link.startswith("data:image/png;base64,") for link in links)
    assert "@import" not in text
    assert "url(" not in re.sub(r"url\(#[^)]*\)", "", text)
    assert "<script" not in text
    assert text.count("<svg") == 3
    assert "abc" in text


def test_report_of_a_run_that_ended_at_once_can_be_written():
    empty = RunRecord(RunSettings(1, "quiet_road", "perfect", "zmq", SECOND_NS, 0, "model", ()))
    empty.stopped_early = "interrupted at 0.0 s"
    assert "interrupted" in page(empty, judge(empty), {}, default_rig())


def test_report_escapes_what_comes_from_outside(record):
    hostile = dataclasses.replace(
        record, settings=dataclasses.replace(record.settings, planner="<script>"), snapshots=[], published=[], steps=[]
    )
    assert "<script>" not in page(hostile, judge(hostile), {}, default_rig())


def test_picture_is_written_and_a_run_without_pictures_is_refused(record, tmp_path):
    write_picture(tmp_path / "images" / "demo.png", record, default_rig())
    assert (tmp_path / "images" / "demo.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(OnboardVlaError, match="no camera pictures"):
        write_picture(tmp_path / "x.png", dataclasses.replace(record, snapshots=[]), default_rig())


def test_point_ahead_is_seen_by_the_front_camera_and_not_by_the_back_one():
    rig = default_rig()
    ahead = np.array([[20.0, 0.0, 0.0], [20.0, 3.0, 0.0]])
    pixels, visible = project(rig[FRONT], ahead)
    assert visible.all()
    assert pixels[0, 0] == pytest.approx(rig[FRONT].width / 2, abs=1.0)
    assert pixels[1, 0] < pixels[0, 0]
    assert rig[FRONT].height / 2 < pixels[0, 1] < rig[FRONT].height
    assert not project(rig[BACK], ahead)[1].any()


def test_ribbon_lies_on_both_sides_of_its_path():
    left, right = ribbon(np.array([[0.0, 0.0], [10.0, 0.0]]))
    assert np.allclose(left[:, 1], 0.8)
    assert np.allclose(right[:, 1], -0.8)
    assert len(ribbon(np.zeros((5, 2)))[0]) == 0
    assert len(ribbon(np.zeros((0, 2)))[0]) == 0


def test_plan_is_placed_where_its_picture_was_taken(record):
    plan = record.plans[50]
    placed = plan_in_odometry(record, plan)
    at_10_s, at_15_s = (record.steps[k * 50] for k in (10, 15))
    assert placed[0] == pytest.approx((at_10_s.x_m, at_10_s.y_m, at_10_s.heading_rad), abs=0.01)
    assert placed[-1] == pytest.approx((at_15_s.x_m, at_15_s.y_m, at_15_s.heading_rad), abs=0.05)
    back = in_ego_frame(tuple(placed[0]), placed[:, :2])
    assert back[1:] == pytest.approx(plan.poses[:, :2], abs=0.01)
