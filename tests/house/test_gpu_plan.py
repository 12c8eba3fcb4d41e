"""The benchmark for a GPU refuses without one, and its whole path runs on the processor."""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu_plan.py"


def run(*arguments):
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], capture_output=True, text=True, check=False)


def test_without_a_gpu_one_line_and_status_3():
    from onboard_vla.core.errors import EnvironmentLacksError
    from onboard_vla.kernels.launch_driver import DriverDevice

    try:
        DriverDevice().close()
    except EnvironmentLacksError:
        done = run()
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr.startswith("gpu_plan: ")
        assert "nothing can run on a GPU" in done.stderr
        assert done.stderr.count("\n") == 1
    else:
        pytest.skip("a machine with a GPU")


@pytest.fixture
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module


def test_packages_that_are_missing_are_said_together_before_any_work(benchmarks, monkeypatch):
    from onboard_vla.core.errors import EnvironmentLacksError

    script = benchmarks("gpu_plan")
    monkeypatch.setattr(
        script.importlib.util, "find_spec", lambda name: None if name in ("onnx", "torch") else object()
    )
    with pytest.raises(EnvironmentLacksError, match="packages are missing: onnx, torch; pip install onnx torch"):
        script.require(argparse.Namespace(dry_run=True, peers="eager"))


def row(cameras, depth, total_ms=10.0):
    return {
        "cameras": cameras, "depth": depth, "total_ms": total_ms, "share_of_decode_floor": 0.7, "transformers_ms": {},
    }  # fmt: skip


def test_a_report_is_written_after_each_part_and_a_failed_part_costs_no_other(benchmarks, tmp_path):
    script = benchmarks("gpu_plan_run")
    header = {"format": script.FORMAT, "device": {"name": "g"}, "versions": {}, "protocol": {}}
    out = tmp_path / "folder" / "report.json"
    report = script.Report(header, out, 1e9)
    report.part("3 cameras", lambda: report.note(row(3, "fast")))
    assert json.loads(out.read_text())["rows"][0]["times_faster_than_eager"] is None
    report.part("6 cameras", lambda: [][1])
    known = report.row(3, "fast") | {"transformers_ms": {"eager": {"whole_answer": 40.0}}}
    report.part("eager", lambda: report.note(known))
    found = json.loads(out.read_text())
    assert [(one["times_faster_than_eager"], one["within_aims"]) for one in found["rows"]] == [(4.0, True)]
    assert found["left_out"] == {"6 cameras": "IndexError: list index out of range"}

    later = script.Report(header, out, 1e9)
    later.part("6 cameras", lambda: later.note(row(6, "fast")))
    assert [one["cameras"] for one in json.loads(out.read_text())["rows"]] == [3, 6]
    elsewhere = script.Report({**header, "device": {"name": "another"}}, out, -1.0)
    elsewhere.part("3 cameras", lambda: elsewhere.note(row(3, "fast")))
    found = json.loads(out.read_text())
    assert (found["rows"], found["left_out"]) == ([], {"3 cameras": "not begun: out of time"})


@pytest.mark.slow
def test_a_dry_run_takes_every_step_and_calls_itself_one():
    done = run("--dry-run", "--cameras", "3", "--plans", "1", "--reasoning", "5", "--peers", "", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["dry_run"]
    assert report["left_out"] == {}
    fast, slow = report["rows"]
    assert (fast["depth"], slow["depth"]) == ("fast", "slow")
    assert fast["passes"] == 10, "a prefill and a pass for every action but the first"
    assert slow["passes"] == 10 + 6, "and one for every token of text"
    for row in (fast, slow):
        assert 0 < row["share_of_decode_floor"] < 1
        assert not row["within_aims"], "no peer, no claim"
