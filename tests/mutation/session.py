"""`python -m tests.mutation.session MODULE STORE JOBS [CHANGE ...]`: one pytest session over a module's suite.

Ends with 0 where the suite is green without mutants; results lie in STORE then. No CHANGE: every mutant is tried.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .campaign import Campaign
from .targets import SUITES

ROOT = Path(__file__).resolve().parents[2]


def main(name: str, store: str, jobs: str, *wanted: str) -> int:
    """Run the suite and its mutants; what is red without a mutant goes to stderr."""
    campaign = Campaign(f"onboard_vla.safety.{name}", Path(store), int(jobs), wanted)
    files = [str(ROOT / "tests" / "safety" / file) for file in SUITES[name]]
    arguments = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "-m", "not slow", "--rootdir", str(ROOT), *files]
    status = pytest.main(arguments, plugins=[campaign])
    for test in campaign.failed_unchanged:
        sys.stderr.write(f"{name}: red without any mutant: {test}\n")
    return 1 if campaign.failed_unchanged else int(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
