"""Bounds over worlds, shares, areas under curves, and what summaries and page make of results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.app.evaluation.intervals import auroc, bootstrap, mean, ratio
from onboard_vla.app.evaluation.page import page, worst
from onboard_vla.app.evaluation.summary import doubt_auroc, rate, summarise
from onboard_vla.app.evaluation.tables import closed_loop_rows, difference_rows
from onboard_vla.app.evaluation.variant import ABLATIONS, Variant, with_ablation
from onboard_vla.core.errors import ConfigurationError

from .evaluation_rows import plan, result, window


def test_auroc_by_hand():
    assert auroc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True])) == 1.0
    assert auroc(np.array([1.0, 2.0, 3.0, 4.0]), np.array([True, False, False, True])) == 0.5
    assert auroc(np.array([1.0, 2.0, 2.0]), np.array([False, False, True])) == 0.75
    assert np.isnan(auroc(np.array([1.0, 2.0]), np.array([True, True])))


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30))
def test_auroc_is_the_share_of_pairs_in_order_with_ties_half(rows):
    scores, positive = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows])
    if positive.all() or not positive.any():
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    assert auroc(scores, positive) == pytest.approx(np.mean(pairs))
    assert auroc(-scores, positive) == pytest.approx(1 - np.mean(pairs))


def test_bounds_draw_whole_worlds_and_not_rows():
    # Two worlds of equal values each: were rows drawn, 200 of them would pin the mean to about 0.5.
    worlds, values = [1] * 100 + [2] * 100, [0.0] * 100 + [1.0] * 100
    found = mean(worlds, values)
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)
    assert (found.n, found.worlds) == (200, 2)


def test_bounds_cover_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(5)
    covered = 0
    for trial in range(120):
        effects = rng.normal(size=30)
        worlds = np.repeat(np.arange(30), 4)
        values = effects[worlds] + 0.3 * rng.normal(size=120)
        found = bootstrap(worlds.tolist(), lambda rows, v=values: float(v[rows].mean()), resamples=300, seed=trial)
        covered += found.low <= 0.0 <= found.high
    assert 0.86 <= covered / 120 <= 0.99


def test_nothing_has_no_bounds():
    assert mean([], []) is None
    assert ratio([1, 2], [1.0, 1.0], [0.0, 0.0]) is None


def test_ratio_is_sum_over_sum():
    assert ratio([1, 2], [10.0, 50.0], [20.0, 100.0]).value == 0.5
    assert ratio([1, 2], [10.0, 90.0], [20.0, 100.0]).value == pytest.approx(100 / 120)


def test_summary_counts_episodes_and_groups_windows():
    results = [
        result(1, [window(1.0), window(0.5, "follow")], interventions=2, intervention_reasons={"TOO_NEAR": 2}),
        result(2, [window(0.0, "follow", nc=0.0)], collisions_at_fault=2, progress_m=20.0),
        result(3, [window(0.7, depth="slow")], off_road=1),
    ]
    found = summarise("x", "modelled", results)
    assert (found.clean, found.clean_share.count, found.at_fault_share.count, found.off_road_share.count) == (
        1,
        1,
        1,
        1,
    )
    assert found.clean_share.low == pytest.approx(0.0084, abs=1e-4)
    assert found.clean_share.high == pytest.approx(0.9057, abs=1e-4)
    assert found.progress_share == pytest.approx(220 / 360)
    assert found.epdms.value == pytest.approx(2.2 / 4)
    assert found.sub_metrics["nc"].value == 0.75
    assert {g.name: (g.windows, round(g.epdms.value, 3)) for g in found.by_scenario} == {
        "cruise": (2, 0.85),
        "follow": (2, 0.25),
    }
    assert [g.name for g in found.by_depth] == ["fast", "slow"]
    assert found.fork == {"n": 30, "fast": 27}
    assert dict(closed_loop_rows([found]))["clean episodes"] == ["1 of 3 [0.8%, 90.6%]"]


def test_a_rate_that_never_varies_has_the_exact_bounds_of_whole_worlds():
    none, all_ = rate([1, 1, 2, 3], [False] * 4), rate([1, 1, 2, 3], [True] * 4)
    assert (none.value, none.low, none.high) == (0.0, 0.0, pytest.approx(0.7076, abs=1e-4))
    assert (all_.value, all_.low, all_.high) == (1.0, pytest.approx(0.2924, abs=1e-4), 1.0)
    assert rate([1, 2, 3, 4], [True, False, True, False]).value == 0.5


def test_variants_are_compared_world_by_world():
    first = [result(seed, [window(0.2 * seed)], progress_m=60.0) for seed in (1, 2, 3)]
    other = [result(seed, [window(0.2 * seed + 0.1)], progress_m=72.0) for seed in (1, 2, 3, 4)]
    found = summarise("other", "modelled", other, first)
    # Paired: the worlds' own spread does not count, and a world without a partner neither.
    epdms, progress = found.against_first["epdms"], found.against_first["progress_share"]
    assert (epdms.value, epdms.low, epdms.high) == (pytest.approx(0.1), pytest.approx(0.1), pytest.approx(0.1))
    assert (progress.value, progress.n) == (pytest.approx(0.1), 3)
    assert "ade_m" not in found.against_first
    rows = dict(difference_rows([summarise("first", "modelled", first), found]))
    assert rows["EPDMS, minus the first variant's"] == ["-", "0.100 [0.100, 0.100]"]
    assert difference_rows([summarise("first", "modelled", first)]) == []


def test_doubt_points_at_the_worst_tenth():
    rows = [(seed, plan(float(k), float(k))) for seed in (1, 2) for k in range(10)]
    assert doubt_auroc(rows).value == 1.0
    assert doubt_auroc([(seed, {**row, "spread_m": -row["spread_m"]}) for seed, row in rows]).value == 0.0
    assert doubt_auroc(rows[:1]) is None


def test_worst_episodes_come_by_what_went_wrong_and_then_by_score():
    results = [
        result(1, [window(0.9)]),
        result(2, [window(0.2)]),
        result(3, [window(0.8)], off_road=1),
        result(4, [window(0.95)], collisions_at_fault=1),
    ]
    assert [r["seed"] for r in worst(results)] == [4, 3, 2, 1]
    assert [r["seed"] for r in worst(results, 2)] == [4, 3]


def test_page_is_one_file_that_shows_the_worst_ten_and_escapes_what_it_is_told():
    results = [result(seed, [window(seed / 20, tlc=0.0)]) for seed in range(12)]
    results[3]["violations"] = [{"time_ns": 2_500_000_000, "kind": "off_road", "at_fault": True, "detail": "<corner>"}]
    summaries = [summarise("modelled sensors", "modelled", results)]
    text = page("a <title>", summaries, results, {"run": {"seconds": 20}, "versions": {"numpy": "2"}})
    assert text.count("<svg>") == 10
    assert "off road at 2.5 s (&lt;corner&gt;)" in text
    assert "a &lt;title&gt;" in text
    assert "http" not in text
    assert "lowest window 0.00 from 0 s: tlc, progress 0.90" in text


def test_each_ablation_changes_one_thing_and_turns_back_what_is_changed_already():
    base = Variant()
    for name, changes in ABLATIONS.items():
        other = with_ablation(base, name)
        assert other != base
        assert {f: getattr(other, f) for f in changes} == changes
        assert with_ablation(other, name) == base
        assert other.name != base.name
    with pytest.raises(ConfigurationError, match="expected one of depth, adaptive, camera"):
        with_ablation(base, "weather")
