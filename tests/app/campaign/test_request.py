"""What of a campaign runs when only some of it is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from onboard_vla.app.campaign.cells import CellJob
from onboard_vla.app.campaign.fault_case import FAULTS
from onboard_vla.app.campaign.jobs import CONTROL_CASE, PAIR_PREFIX, Job
from onboard_vla.app.campaign.real_result import RealResult, real_rows
from onboard_vla.app.campaign.request import (
    PARTS,
    CampaignRequest,
    check_request,
    missing,
    real_time_jobs,
    virtual_jobs,
)
from onboard_vla.app.campaign.runner import GoldenJob, ResultStore
from onboard_vla.core.errors import ConfigurationError


def request(*parts: str, everything: bool = True, faults: tuple[str, ...] = (), shard=(1, 1)) -> CampaignRequest:
    return CampaignRequest(everything, faults, parts, shard, None, Path("unused.json"), 1, "zmq")


def test_parts_together_are_the_whole_campaign_and_do_not_overlap():
    whole = [job.key for job in (*virtual_jobs(request()), *real_time_jobs(request()))]
    parts = [job.key for part in PARTS for job in (*virtual_jobs(request(part)), *real_time_jobs(request(part)))]

    assert len(set(whole)) == len(whole)
    assert sorted(parts) == sorted(whole)


def test_a_part_is_that_part_alone():
    pairs = virtual_jobs(request("pairs"))
    assert len(pairs) == 190
    assert all(isinstance(job, Job) and job.case.startswith(PAIR_PREFIX) for job in pairs)
    assert any(isinstance(job, Job) and job.case == CONTROL_CASE.key for job in virtual_jobs(request("single")))
    assert {job.family for job in virtual_jobs(request("S9", "S3")) if isinstance(job, CellJob)} == {"S3", "S9"}
    assert all(isinstance(job, GoldenJob) for job in virtual_jobs(request("golden", everything=False)))


def test_real_processes_alone_are_more_than_a_hundred_and_shards_share_them():
    alone = request("real")
    assert virtual_jobs(alone) == []
    jobs = real_time_jobs(alone)
    assert sum(job.key.split("|")[1][:3] in ("F13", "F14", "F22", "F23") for job in jobs) >= 100
    shared = [job for index in (1, 2, 3) for job in real_time_jobs(request("real", shard=(index, 3)))]
    assert sorted(job.key for job in shared) == sorted(job.key for job in jobs)
    assert missing(alone, ResultStore(None, "x")) == len(jobs)


@pytest.mark.parametrize(
    ("parts", "faults", "everything", "told"),
    [
        (("pairs",), (), False, "--part pairs: nothing of it runs in the quick campaign"),
        ((), ("F29",), False, "--fault F29: nothing of it would run here: pairs run with --all"),
        ((), ("F3", "F30"), True, "--fault F30: nothing of it would run here: run it with --soak"),
        (("drifts",), ("F3",), True, "--fault F3: nothing of it would run here: not in --part drifts"),
        (("golden", "single"), ("F25",), True, "--fault F25: nothing of it would run here"),
    ],
)
def test_what_would_run_nothing_is_refused_instead_of_passing(parts, faults, everything, told):
    with pytest.raises(ConfigurationError, match=told):
        check_request(request(*parts, faults=faults, everything=everything))


@pytest.mark.parametrize("fault", sorted(FAULTS.keys() - {"F29", "F30"}))
def test_every_fault_of_the_catalogue_runs_in_the_quick_campaign(fault):
    check_request(request(everything=False, faults=(fault,)))


def test_every_part_can_be_asked_for():
    check_request(request(*PARTS))


def test_the_long_cut_in_grid_comes_after_all_other_cells():
    families = [job.family for job in virtual_jobs(request()) if isinstance(job, CellJob)]

    assert families.index("S2") > max(k for k, family in enumerate(families) if family != "S2")


def test_rows_of_real_injections_leave_out_what_a_late_machine_made_worthless():
    def result(number: int, handling_ms: float | None, outcome: str, inconclusive: bool = False) -> RealResult:
        return RealResult(
            f"k{number}", "F14", "killed", "zmq", number, 250.0, handling_ms, 2, 20.0 + number, None, None, 5.0,
            outcome, inconclusive, "",
        )  # fmt: skip

    told = [result(0, 100.0, "handled"), result(1, 140.0, "handled"), result(2, 300.0, "late")]
    (row,) = real_rows([*told, result(9, 900.0, "late", inconclusive=True)])

    assert (row.injections, row.inconclusive, row.outcomes) == (4, 1, {"handled": 2, "late": 1})
    assert row.handling is not None
    assert (row.handling.n, row.handling.p50, row.handling.largest) == (3, 140.0, 300.0)
    assert row.longest_gap_ms == 22.0
