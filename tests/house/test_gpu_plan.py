"""The benchmark for a GPU refuses without one, and its whole path runs on the processor."""

from __future__ import annotations

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


@pytest.mark.slow
def test_a_dry_run_takes_every_step_and_calls_itself_one():
    done = run("--dry-run", "--cameras", "3", "--plans", "1", "--reasoning", "5", "--peers", "", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["dry_run"]
    fast, slow = report["rows"]
    assert (fast["depth"], slow["depth"]) == ("fast", "slow")
    assert fast["passes"] == 10, "a prefill and a pass for every action but the first"
    assert slow["passes"] == 10 + 6, "and one for every token of text"
    for row in (fast, slow):
        assert 0 < row["share_of_decode_floor"] < 1
        assert not row["within_aims"], "no peer, no claim"
