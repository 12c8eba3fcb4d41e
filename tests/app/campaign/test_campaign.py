"""The campaign around its episodes: table, jobs, resumed results, starts, pairs, report, command."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import replace

import jsonschema
import pytest

from onboard_vla.app import cli
from onboard_vla.app.campaign import jobs as campaign_jobs
from onboard_vla.app.campaign import startup
from onboard_vla.app.campaign.cells import CellResult, family_rows
from onboard_vla.app.campaign.document import SCHEMA_PATH
from onboard_vla.app.campaign.episode import MONITOR_OFF, MONITOR_ON
from onboard_vla.app.campaign.fault_case import DANGEROUS, FAULTS, REACH, REFUSE
from onboard_vla.app.campaign.figures import FAIL, INCONCLUSIVE, PASS, danger_rows, verdict_of
from onboard_vla.app.campaign.golden import LEAST_ENGAGED, LEAST_MEAN_PROGRESS, LEAST_PROGRESS, GoldenDrive, figures_of
from onboard_vla.app.campaign.jobs import CONTROL_CASE, Result, all_jobs, pair_jobs, quick_jobs
from onboard_vla.app.campaign.pairs import asked_of, decisive, pair_case, pairs
from onboard_vla.app.campaign.real_result import RealResult
from onboard_vla.app.campaign.runner import ResultStore, run_jobs
from onboard_vla.app.campaign.soak import SoakDrive, parse_duration, soak_figures
from onboard_vla.app.campaign.startup import StartUp, start_ups
from onboard_vla.app.campaign.table import BY_KEY, CASES
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.safety import supervisor_host


def result(key="F3/black", monitor=MONITOR_ON, outcome="handled", harm="", number=0, **changes) -> Result:
    case = BY_KEY[key]
    values = {
        "key": f"{key}|{monitor}|5|0|{number}",
        "fault": case.fault,
        "variant": case.variant,
        "danger": case.danger,
        "monitor": monitor,
        "speed_mps": 5.0,
        "seed": 1,
        "outcome": outcome,
        "harm": harm,
        "effect_ms": 10.0,
        "detection_ms": 20.0,
        "handling_ms": 40.0,
        "highest": 2,
        "spoiled": 0,
        "spoiled_driven": 0,
        "rear_end_hits": 0,
        "deceleration_max_mps2": 2.0,
        "modes": ((-20.0, 0), (40.0, 2)),
    }
    return Result(**{**values, **changes})


def drive(road="quiet_road", seed=1, **changes) -> GoldenDrive:
    values = dict(fallback_entries=0, stop_entries=0, emergency_entries=0, phantoms=0, rear_end_hits=0)
    values |= dict(seconds=60.0, engaged_share=1.0, progress_share=1.0)
    return GoldenDrive(road, seed, **{**values, **changes}, harm="", error="", reasons=())


def real(**changes) -> RealResult:
    values = dict(key="r", fault="F14", variant="v", transport="zmq", number=0, limit_ms=250.0, handling_ms=150.0)
    values |= dict(highest=2, gap_ms=20.0, gate_stopped_ms=None, latched_on_return=None, lateness_ms=5.0)
    values |= dict(outcome="handled", inconclusive=False, detail="")
    return RealResult(**{**values, **changes})


def test_every_injected_fault_is_in_the_catalogue_and_every_dangerous_one_runs_without_the_monitor_too():
    assert {case.fault for case in CASES} <= FAULTS.keys()
    jobs = all_jobs()
    for case in CASES:
        monitors = {job.monitor for job in jobs if job.case == case.key}
        assert monitors == ({MONITOR_ON, MONITOR_OFF} if case.danger == DANGEROUS else {MONITOR_ON})


def test_all_injects_every_fault_a_hundred_times_and_every_pair_once():
    jobs = [job for job in all_jobs() if job.monitor == MONITOR_ON]
    for fault in {case.fault for case in CASES}:
        assert sum(job.case.startswith(f"{fault}/") for job in jobs) >= 100
    assert len(pair_jobs()) == len(pairs()) == 190
    assert {job.speed_mps for job in jobs} == {5.0, 15.0, 25.0}


def test_quick_covers_every_variant_that_has_no_like_and_every_speed_of_every_fault():
    jobs = [job for job in quick_jobs() if job.monitor == MONITOR_ON]
    assert {case.key for case in CASES if not case.alike} == {job.case for job in jobs} - {CONTROL_CASE.key}
    assert {case.key for case in CASES} == {job.case for job in all_jobs()} - {CONTROL_CASE.key}
    alike = [case for case in CASES if case.alike]
    assert {case.fault for case in alike} == {"F6", "F16"}
    assert all(
        any(not other.alike and other.names == case.names and other.mode <= case.mode for other in CASES)
        for case in alike
    )
    for fault in {case.fault for case in CASES}:
        assert len({job.speed_mps for job in jobs if job.case.startswith(f"{fault}/")}) == 3


def test_pair_asks_what_its_worse_half_asks_and_counts_from_that_half():
    front, ego = BY_KEY["F3/black"], BY_KEY["F17/speed 60 m/s"]
    pair = pair_case(front, ego)
    assert (pair.asks, int(pair.mode), pair.limit_ms) == (REACH, 3, ego.limit_ms + 20.0)
    assert decisive(front, ego) == (False, True)
    assert asked_of(front, ego, (True, True)) == (pair, (False, True))
    alone, counting = asked_of(front, ego, (True, False))
    assert (alone.mode, alone.limit_ms, alone.names, counting) == (
        front.mode, front.limit_ms + 20.0, front.names, (True, False),
    )  # fmt: skip


def test_verdict_fails_on_harm_lateness_and_danger_that_is_not_shown():
    shown = result(monitor=MONITOR_OFF, outcome="silent unsafe", harm="collision: x")
    assert verdict_of([result(), shown], None, [], 0).outcome == PASS
    for outcome in ("silent unsafe", "unsafe", "crash", "hang", "late", "misnamed", "swerved", "driven"):
        assert verdict_of([result(outcome=outcome), shown], None, [], 0).outcome == FAIL
    harmless = result(monitor=MONITOR_OFF, outcome="late")
    assert verdict_of([result(), harmless], None, [], 0).outcome == FAIL
    assert not danger_rows([harmless])[0].shown


def test_verdict_fails_where_the_mode_came_but_no_output_named_the_cause():
    shown = result(monitor=MONITOR_OFF, outcome="silent unsafe", harm="collision: x")
    verdict = verdict_of([result(detection_ms=None), shown], None, [], 0)
    assert (verdict.outcome, verdict.reasons) == (FAIL, ("F3/black: no output named the cause (BLACK)",))
    named_once = [result(detection_ms=None), result(number=1), shown]
    assert verdict_of(named_once, None, [], 0).outcome == PASS


def test_verdict_fails_where_plans_were_refused_but_no_output_said_why():
    for key, names in (("F8/a negative token", "PLAN_TOKENS"), ("F6/nan in the plan's poses", "PLAN_NOT_FINITE")):
        assert verdict_of([result(key)], None, [], 0).outcome == PASS
        verdict = verdict_of([result(key, detection_ms=None)], None, [], 0)
        assert (verdict.outcome, verdict.reasons) == (FAIL, (f"{key}: no output named the cause ({names})",))
    shown = [result("F9/ten of them", MONITOR_OFF, outcome="silent unsafe", harm="collision: x")]
    assert verdict_of([result("F9/ten of them", detection_ms=None), *shown], None, [], 0).outcome == PASS


def test_plans_of_no_shape_or_without_meaning_are_refused_outright_alone_and_in_pairs():
    outright = [case for case in CASES if case.outright]
    assert {case.fault for case in outright} == {"F6", "F7", "F8"}
    assert {case.key for case in CASES if case.fault in ("F7", "F8")} <= {case.key for case in outright}
    assert all(case.asks == REFUSE and case.names for case in outright)
    assert {case.key for case in CASES if case.fault == "F6" and "plan's" in case.variant} <= {c.key for c in outright}
    structure, random, frozen = BY_KEY["F8/0 tokens"], BY_KEY["F9/ten of them"], BY_KEY["F4/front"]
    assert pair_case(structure, random).outright
    assert pair_case(frozen, structure).outright
    assert not pair_case(frozen, random).outright


def test_verdict_is_inconclusive_where_something_did_not_happen():
    shown = result(monitor=MONITOR_OFF, outcome="silent unsafe", harm="collision: x")
    assert verdict_of([result(), shown], None, [], 3).outcome == INCONCLUSIVE
    assert verdict_of([result(effect_ms=None, outcome="masked"), shown], None, [], 0).outcome == INCONCLUSIVE
    assert verdict_of([result(), shown], None, [real(outcome="late", inconclusive=True)], 0).outcome == INCONCLUSIVE
    assert verdict_of([result(), shown], None, [real(outcome="late")], 0).outcome == FAIL


def test_verdict_fails_on_a_start_that_was_not_refused_and_on_a_missed_cell():
    assert verdict_of([], None, [], 0, (), [StartUp("x", False, "accepted")]).outcome == FAIL
    cells = [CellResult(f"cell|S2/{k}", "S2", k > 0, k != 2, ("contact",) if k == 2 else (), k == 0) for k in range(3)]
    (row,) = family_rows(cells)
    assert (row.cells, row.avoidable, row.unavoidable, row.contacts_unavoidable, row.missed) == (3, 2, 1, 1, 1)
    assert verdict_of([], None, [], 0, [row]).outcome == FAIL


@pytest.mark.parametrize(
    "changes",
    [
        {"fallback_entries": 11},
        {"emergency_entries": 3},
        {"stop_entries": 3},
        {"stop_entries": 2, "emergency_entries": 1},
        {"phantoms": 7},
        {"rear_end_hits": 1},
    ],
)
def test_golden_drives_fail_on_alarms_beyond_their_rate(changes):
    assert figures_of([drive(seed=k) for k in range(10)]).passed
    assert not figures_of([drive(**changes), *(drive(seed=k) for k in range(9))]).passed


def test_golden_drives_fail_where_the_vehicle_creeps_however_safely():
    others = [drive(seed=k) for k in range(9)]
    assert figures_of([drive(progress_share=LEAST_PROGRESS), *others]).passed
    crept = figures_of([drive(progress_share=LEAST_PROGRESS - 0.01), *others])
    assert crept.failures == (f"quiet_road, seed 1: {LEAST_PROGRESS - 0.01:.0%} of the expert's way, at least 50%",)
    for stopped in ({"stop_entries": 1}, {"emergency_entries": 1}):
        told = figures_of([drive(progress_share=0.2, **stopped), *others]).failures
        assert any("seed 1: 20% of the expert's way" in failure for failure in told), "a stop excuses nothing"
    assert figures_of([drive(seed=k, progress_share=LEAST_MEAN_PROGRESS) for k in range(7)]).passed
    slow = figures_of([drive(seed=k, progress_share=LEAST_MEAN_PROGRESS - 0.01) for k in range(7)])
    assert slow.failures == (f"{LEAST_MEAN_PROGRESS - 0.01:.0%} of the expert's way in the mean, at least 80%",)
    assert len(figures_of([drive(seed=k, progress_share=0.05) for k in range(7)]).failures) == 8


def test_golden_drive_that_never_engaged_counts_as_none():
    drives = [drive(seed=k, seconds=15.0) for k in range(6)]
    assert figures_of([*drives, drive(engaged_share=LEAST_ENGAGED)]).passed
    stood = figures_of([*drives, drive(engaged_share=0.0)])
    assert stood.failures == ("quiet_road, seed 1: engaged 0% of the time, at least 90%",)


@pytest.mark.parametrize("stop", ["stop_entries", "emergency_entries"])
def test_seven_short_golden_drives_allow_no_stop(stop):
    drives = [drive(seed=k, seconds=15.0) for k in range(6)]
    assert figures_of([*drives, drive(seconds=15.0)]).passed
    stopped = figures_of([*drives, drive(seconds=15.0, **{stop: 1})])
    assert stopped.failures == ("1 entries into L3 or L4 in 0.03 h, none allowed in up to 0.5 h",)
    assert stopped.stop[0] == 1
    # An hour bears the rate that it was given.
    assert figures_of([drive(seed=k, **{stop: int(k == 0)}) for k in range(60)]).passed


def test_results_are_kept_and_not_run_again(tmp_path, monkeypatch):
    kept = [result(), drive(), real(), CellResult("cell|S2/a", "S2", True, True, (), False)]
    store = ResultStore(tmp_path, "shard-1-of-1")
    for item in kept:
        store.add(item)
    again = ResultStore(tmp_path, "shard-2-of-2")
    assert list(again.results.values()) == kept
    monkeypatch.setattr("onboard_vla.app.campaign.runner.run_any", lambda job: pytest.fail("ran again"))
    job = campaign_jobs.Job("F3/black", MONITOR_ON, 5.0, 0, 0)
    assert job.key == kept[0].key
    run_jobs([job], again, lambda: pytest.fail("a kept result counts as speed"), workers=1)


def test_results_of_another_state_of_the_code_are_counted_and_prove_nothing_about_this_one(tmp_path):
    first = ResultStore(tmp_path, "shard-1-of-2", "a")
    first.add(result(number=1))
    second = ResultStore(tmp_path, "shard-2-of-2", "b")
    second.add(result(number=2))
    second.add(result(number=3))
    assert (first.foreign, second.foreign) == (0, 1)
    assert [ResultStore(tmp_path, "x", state).foreign for state in "abc"] == [2, 1, 3]
    (tmp_path / "old.jsonl").write_text(result(number=4).line() + "\n")
    assert ResultStore(tmp_path, "x", "b").foreign == 2
    shown = result(monitor=MONITOR_OFF, outcome="silent unsafe", harm="collision: x")
    assert verdict_of([result(), shown], None, [], 0, foreign=0).outcome == PASS
    told = verdict_of([result(), shown], None, [], 0, foreign=2)
    assert (told.outcome, told.reasons) == (INCONCLUSIVE, ("2 results in the folder are of another state of the code",))


def test_damaged_results_are_named_with_file_and_line(tmp_path):
    (tmp_path / "shard-1-of-1.jsonl").write_text(result().line() + "\n{broken\n")
    with pytest.raises(ConfigurationError, match=r"shard-1-of-1\.jsonl, line 2"):
        ResultStore(tmp_path, "x")


def test_every_start_with_something_wrong_is_refused_or_stays_at_l2():
    assert [start for start in start_ups() if not start.held] == []


def test_start_that_is_accepted_is_seen(monkeypatch):
    monkeypatch.setattr(startup.Thresholds, "require_core", lambda self, core, precision: None)
    assert [start.variant for start in start_ups() if not start.held][:1] == ["thresholds of another core"]


def test_a_process_that_does_not_hold_its_thresholds_against_its_bundle_is_seen(monkeypatch):
    monkeypatch.setattr(supervisor_host, "_require_bundle", lambda *arguments: None)
    monkeypatch.setattr(startup, "_driven", lambda variant, config: StartUp(variant, True, ""))
    assert [start.variant for start in start_ups() if not start.held] == [
        "thresholds of another core",
        "thresholds of another precision",
        "thresholds without a bundle to hold them against",
    ]


def test_a_process_that_refuses_every_start_is_seen(monkeypatch):
    def refuse(*_):
        raise ConfigurationError("no")

    monkeypatch.setattr(supervisor_host, "supervisor_config", refuse)
    monkeypatch.setattr(startup, "_driven", lambda variant, config: StartUp(variant, True, ""))
    assert [start.variant for start in start_ups() if not start.held] == ["thresholds and bundle that fit"]


def test_soak_counts_stops_and_growth():
    calm = [SoakDrive(drive(seed=k), 1, 200.0) for k in range(40)]
    assert soak_figures(calm).failures == ()
    growing = [SoakDrive(drive(seed=k), 1, 200.0 + k) for k in range(40)]
    assert "memory grows" in soak_figures(growing).failures[0]
    assert soak_figures([*calm, SoakDrive(drive(stop_entries=1), 1, 200.0)]).failures
    assert (parse_duration("2h"), parse_duration("90m")) == (7200.0, 5400.0)
    with pytest.raises(ConfigurationError, match="expected a time"):
        parse_duration("soon")


@pytest.mark.parametrize("resumed", [True, False])
def test_an_interrupted_campaign_says_what_is_kept_and_how_to_go_on(resumed, tmp_path, monkeypatch, capsys):
    def interrupted(job):
        if job.case == BY_KEY["F18/silent"].key:
            raise KeyboardInterrupt
        return replace(result(), key=job.key)

    monkeypatch.setattr("onboard_vla.app.campaign.runner.run_job", interrupted)
    folder = tmp_path / "kept"
    words = ["--fault", "F18", "--part", "single", "--workers", "1", "--json", str(tmp_path / "report.json")]

    assert cli.run(["faults", *words, *(["--resume", str(folder)] if resumed else [])]) == 130

    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("interrupted")]
    if resumed:
        kept = sum("fault" in json.loads(line) for line in (folder / "shard-1-of-1.jsonl").read_text().splitlines())
        assert kept > 0
        assert [line.split(" of ")[0] for line in told] == [f"interrupted: {kept}"]
        assert str(folder) in told[0]
    else:
        assert [line.split(":")[1].strip()[:17] for line in told] == ["no result is kept"]
    assert not (tmp_path / "report.json").exists()


FAULT = ("--fault", "F18", "--part", "single")


@pytest.mark.parametrize(("asked", "option"), [(FAULT, "--resume"), (FAULT, "--json"), (("--soak", "2h"), "--json")])
def test_a_place_that_cannot_be_written_is_refused_before_any_drive(asked, option, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("onboard_vla.app.campaign.runner.run_any", lambda job: pytest.fail("drove"))
    monkeypatch.setattr("onboard_vla.app.campaign.campaign.soak", lambda *_: pytest.fail("drove"))
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" if option == "--resume" else tmp_path / "file" / "report.json"

    assert cli.run(["faults", *asked, option, str(place)]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"onboard-vla: {option} {place}")
    assert "Errno" not in told


def test_command_writes_json_under_its_schema_and_html(tmp_path, monkeypatch):
    monkeypatch.setattr("onboard_vla.app.campaign.runner.run_job", lambda job: result(job.case, job.monitor))
    report = tmp_path / "report.json"
    words = ["faults", "--fault", "f18", "--part", "single", "--workers", "1", "--json", str(report)]
    monkeypatch.setattr(campaign_jobs, "CONTROL_CASE", BY_KEY["F18/silent"])
    status = cli.run(words)
    content = json.loads(report.read_text())
    jsonschema.validate(content, json.loads(SCHEMA_PATH.read_text()))
    assert status == content["exit_status"]
    assert {row["fault"] for row in content["rows"]} == {"F18"}
    assert "F30" in content["not_run"]
    page = (tmp_path / "report.html").read_text()
    assert "silent for 300 ms" in page
    assert content["provenance"]["thresholds_sha256"] in page


def test_no_page_is_put_beside_a_pipe(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("onboard_vla.app.campaign.runner.run_job", lambda job: result(job.case, job.monitor))
    monkeypatch.setattr(campaign_jobs, "CONTROL_CASE", BY_KEY["F18/silent"])
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    status = cli.run(["faults", "--fault", "f18", "--part", "single", "--workers", "1", "--json", str(pipe)])
    reader.join(timeout=10.0)
    assert status == json.loads(read[0])["exit_status"]
    assert list(tmp_path.iterdir()) == [pipe]
    assert ".html" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--fault", "F99"], "no fault F99"),
        (["--part", "S99"], "expected some of single, pairs"),
        (["--shard", "3/2"], "expected I/N"),
        (["--quick", "--all"], "expected one of them"),
        (["--transport", "tcp"], "expected zmq or ros"),
        (["--soak", "soon"], "expected a time"),
    ],
)
def test_wrong_arguments_are_one_clear_line(words, says, capsys):
    assert cli.run(["faults", *words]) == 64
    said = capsys.readouterr().err
    assert says in said
    assert len(said.strip().splitlines()) == 1


def test_list_names_every_variant(capsys):
    assert cli.run(["faults", "--list"]) == 0
    assert "F23" in capsys.readouterr().out
