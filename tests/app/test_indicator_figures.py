"""Safety performance indicators of a run in figures, table, JSON and page; several runs together."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest

from onboard_vla.app.closed_loop_figures import figures_of
from onboard_vla.app.closed_loop_json import run_json
from onboard_vla.app.closed_loop_record import RunRecord
from onboard_vla.app.closed_loop_recorder import RunRecorder
from onboard_vla.app.demo_tables import figure_rows
from onboard_vla.app.demo_verdict import judge
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.app.indicator_figures import UNBOUNDED, IndicatorFigures, indicator_rows
from onboard_vla.app.report.page import page
from onboard_vla.core.clock import Now
from onboard_vla.core.indicators import SafetyIndicators
from onboard_vla.core.safe_trajectory import Engagement
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.supervisor import Supervisor
from onboard_vla.world.rig import default_rig

ALONE = SafetyIndicators(0, 10.0, 0, math.inf, math.inf, math.inf, 0.0, math.inf, math.inf, 0, math.inf, "0" * 64)
BEHIND = dataclasses.replace(
    ALONE, objects=1, headway_s=0.8, time_to_collision_s=4.0, time_to_brake_s=2.0, required_deceleration_mps2=1.5,
    rss_margin_m=-3.0, rss_violations=1, stop_margin_m=-1.0,
)  # fmt: skip


def test_shares_count_samples_and_the_worst_is_of_those_who_were_concerned():
    found = IndicatorFigures.of([ALONE, BEHIND, dataclasses.replace(BEHIND, headway_s=1.2), ALONE])
    assert (found.samples, found.rss_violated, found.stop_short) == (4, 0.5, 0.5)
    assert (found.headway_samples, found.headway_short, found.least_headway_s) == (2, 0.5, 0.8)
    assert (found.least_time_to_collision_s, found.least_time_to_brake_s) == (4.0, 2.0)
    assert (found.largest_required_deceleration_mps2, found.least_rss_margin_m) == (1.5, -3.0)
    assert found.least_encroachment_s is None


def test_nobody_is_no_number_and_contact_is_a_bounded_one():
    assert IndicatorFigures.of([]) is None
    alone = IndicatorFigures.of([ALONE])
    assert (alone.least_headway_s, alone.largest_required_deceleration_mps2) == (None, None)
    contact = dataclasses.replace(BEHIND, time_to_brake_s=-math.inf, required_deceleration_mps2=math.inf)
    found = IndicatorFigures.of([contact])
    assert (found.least_time_to_brake_s, found.largest_required_deceleration_mps2) == (-UNBOUNDED, UNBOUNDED)


def test_what_is_no_number_counts_as_violated():
    broken = dataclasses.replace(BEHIND, headway_s=math.nan, stop_margin_m=math.nan)
    found = IndicatorFigures.of([broken])
    assert (found.headway_short, found.stop_short) == (1.0, 1.0)


def test_several_runs_are_weighed_by_their_samples():
    one, two = IndicatorFigures.of([BEHIND]), IndicatorFigures.of([ALONE] * 3)
    total = IndicatorFigures.total([one, None, two])
    assert (total.samples, total.rss_violated, total.headway_samples, total.headway_short) == (4, 0.25, 1, 1.0)
    assert (total.least_headway_s, total.largest_required_deceleration_mps2) == (0.8, 1.5)
    assert IndicatorFigures.total([None]) is None
    rows = dict(indicator_rows([total, None]))
    assert rows["indicators: RSS distance violated"] == ["25.0% of 4 samples, least margin -3.0 m", "no samples"]
    assert indicator_rows([None]) == []


def test_a_run_shows_them_in_table_json_and_page(record):
    assert figures_of(record).indicators is None
    times = range(0, 10 * SECOND_NS, SECOND_NS // 10)
    run = dataclasses.replace(record, indicators=[dataclasses.replace(BEHIND, stamp_ns=t) for t in times])
    assert dict(figure_rows(run, figures_of(run)))["indicators: headway below 1 s"].startswith("100.0% of 100 samples")
    content = json.loads(json.dumps(run_json(run, judge(run), {}), allow_nan=False))
    assert content["measured"]["figures"]["indicators"]["least_rss_margin_m"] == -3.0
    text = page(run, judge(run), {}, default_rig())
    assert "safety performance indicators" in text
    assert "safety performance indicators" not in page(record, judge(record), {}, default_rig())


def test_a_run_shows_the_planners_doubt(record):
    figures = figures_of(record)
    assert figures.vision_ood.n == figures.spread.n == len(record.plans)
    assert figures.vision_ood.largest == pytest.approx(0.99)
    rows = dict(figure_rows(record, figures))
    assert rows["pictures' distance from nominal ones, farthest camera"].endswith("x nominal q99 (n = 300)")
    blind = dataclasses.replace(record, plans=[dataclasses.replace(p, vision_ood=None) for p in record.plans])
    rows = dict(figure_rows(blind, figures_of(blind)))
    assert rows["pictures' distance from nominal ones, farthest camera"] == "not delivered"
    assert "s doubt" in page(record, judge(record), {}, default_rig())


def test_only_what_comes_while_the_system_is_engaged_is_kept(record):
    kept = RunRecord(record.settings)
    recorder = RunRecorder(kept)
    recorder.engaged(Now(0, 0))
    standby = Supervisor(SupervisorConfig()).tick(Now(1, 1))
    for message in (BEHIND, standby, BEHIND, dataclasses.replace(standby, engagement=Engagement.ENGAGED), BEHIND):
        recorder.message(message, Now(2, 2))
    assert len(kept.indicators) == 1
