"""What holds for every test: the repository's root off the import path, and logs of ROS kept out of the home folder."""

import os
import sys
import tempfile
from pathlib import Path

import hypothesis
import pytest

import onboard_vla  # noqa: F401 - found before the path is cut: in a worktree PYTHONPATH names the root itself

ROOT = Path(__file__).resolve().parent.parent
sys.path[:] = [entry for entry in sys.path if Path(entry or os.getcwd()).resolve() != ROOT]
os.environ.setdefault("ROS_LOG_DIR", str(Path(tempfile.gettempdir()) / f"onboard-vla-ros-log-{os.getuid()}"))
# A busy machine makes examples slow and is no finding: the suite runs several processes beside each other.
hypothesis.settings.register_profile("random", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.register_profile("repeatable", hypothesis.settings.get_profile("random"), derandomize=True)
hypothesis.settings.load_profile("random")
"""`make test` asks for "repeatable": the same code gets the same examples. `make test-all` draws new ones each time."""
REAL_TIME = ("app", "hil", "ros_nodes")
"""Folders whose tests start processes and look at clocks: `make test` runs them one by one, others in parallel."""
NEEDS = {"parity": ("torch", "transformers"), "ros": ("rclpy",)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs the machine for itself; skip, with the reason, what this environment has no oracle for."""
    from importlib.util import find_spec

    missing = {mark: [name for name in names if find_spec(name) is None] for mark, names in NEEDS.items()}
    for item in items:
        if item.path.relative_to(ROOT / "tests").parts[0] in REAL_TIME:
            item.add_marker(pytest.mark.real_time)
        for mark, names in missing.items():
            if names and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=f"needs {' and '.join(names)} (extra {mark!r})"))
