"""S14: adding windows up, what fails, and one road driven."""

from __future__ import annotations

import dataclasses

import pytest

from onboard_vla.app.campaign.fallback_scores import ScoreJob, ScoreResult, run_score, score_jobs, score_row
from onboard_vla.app.campaign.figures import FAIL, PASS, verdict_of
from onboard_vla.app.campaign.golden import WORLD_ROADS

GOOD = ScoreResult("score|urban|1", "urban", 1, 100, 0, 0, 0, 0.9, 0.8, 2)


def test_means_are_over_windows():
    row = score_row([GOOD, dataclasses.replace(GOOD, windows=300, pdms=0.5, epdms=0.4)])
    assert row is not None
    assert (row.drives, row.windows) == (2, 400)
    assert (row.pdms, row.epdms) == (pytest.approx(0.6), pytest.approx(0.5))
    assert score_row([]) is None


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({}, True),
        ({"failed_nc": 1}, False),
        ({"failed_dac": 1}, False),
        ({"failed_ttc": 2}, True),
        ({"failed_ttc": 6}, False),
    ],
)
def test_one_contact_or_excursion_fails_and_ttc_when_its_share_is_refuted(changes, held):
    row = score_row([dataclasses.replace(GOOD, **changes)])
    assert row is not None
    assert row.held is held
    assert verdict_of([], None, [], 0, scores=row).outcome == (PASS if held else FAIL)


def test_every_road_is_driven():
    assert {job.road for job in score_jobs(quick=True)} == set(WORLD_ROADS)
    assert len({job.key for job in score_jobs(quick=False)}) == 40


def test_the_fallback_alone_drives_a_road_within_its_rules():
    result = run_score(ScoreJob("quiet_road", 1, 9.0))
    assert result.windows >= 2
    assert (result.failed_nc, result.failed_dac, result.highest) == (0, 0, 2)
    assert 0.5 < result.epdms <= 1.0
    assert ScoreResult.of_content(dataclasses.asdict(result)) == result
