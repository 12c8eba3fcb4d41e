"""A second start of a deployment on the same machine."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

import pytest

from onboard_vla.app.ros import others
from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.app.ros.others import held_names, own_logs, own_names, running_already
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.ros_nodes.deployment import Deployment

NAMESPACE = f"pid{os.getpid()}"
"""Of this run of the tests alone."""
DOMAIN = 77
NAMES = ("safety_supervisor", "vla_planner")
OTHER = f"""
import sys
from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.app.ros.others import own_names
from onboard_vla.ros_nodes.deployment import Deployment
with own_names(DeploymentFile(Deployment("vehicle", "/b"), "/{NAMESPACE}/", {DOMAIN}), ["vla_planner", "camera_guard"]):
    print("held", flush=True)
    sys.stdin.read()
"""


def deployment(namespace=NAMESPACE, domain_id=DOMAIN):
    return DeploymentFile(Deployment("simulation", "/b"), namespace, domain_id)


@pytest.fixture
def other():
    """Another start, with two nodes."""
    process = subprocess.Popen([sys.executable, "-c", OTHER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_start_of_nodes_that_another_start_has_is_refused_and_takes_none_of_them(other):
    with pytest.raises(ConfigurationError, match=f"^/{NAMESPACE}/vla_planner run already .ROS_DOMAIN_ID {DOMAIN}."):
        own_names(deployment(), NAMES).__enter__()

    assert held_names(deployment(), NAMES) == [f"/{NAMESPACE}/vla_planner"]
    with own_names(deployment(), ["safety_supervisor"]):
        pass


@pytest.fixture
def taken(monkeypatch):
    """Addresses that were taken, if only for a moment."""
    addresses = []

    class Socket(socket.socket):
        def bind(self, address):
            addresses.append(address)
            super().bind(address)

    monkeypatch.setattr(others.socket, "socket", Socket)
    return addresses


def test_who_looks_and_who_is_refused_take_no_name_from_a_start_of_the_same_instant(other, taken):
    assert held_names(deployment(), NAMES) == [f"/{NAMESPACE}/vla_planner"]
    assert held_names(deployment(f"{NAMESPACE}b"), NAMES) == []
    with pytest.raises(ConfigurationError):
        own_names(deployment(), NAMES).__enter__()

    assert taken == []


def test_of_two_starts_that_both_saw_nobody_one_goes_on(monkeypatch):
    monkeypatch.setattr(others, "held_names", lambda file, names: [])
    with own_names(deployment(), ("vla_planner", "safety_supervisor")):
        with pytest.raises(ConfigurationError, match=f"^/{NAMESPACE}/safety_supervisor run already"):
            own_names(deployment(), ("safety_supervisor", "camera_guard")).__enter__()
        with pytest.raises(ConfigurationError, match=f"^/{NAMESPACE}/safety_supervisor run already"):
            own_names(deployment(), ("vla_planner", "safety_supervisor")).__enter__()


@pytest.mark.parametrize("apart", [{"namespace": f"{NAMESPACE}b"}, {"domain_id": DOMAIN + 1}])
def test_another_namespace_or_domain_is_free(other, apart):
    file = deployment(**apart)
    with own_names(file, NAMES):
        assert held_names(file, NAMES) == [f"/{file.namespace}/{name}" for name in NAMES]
    assert held_names(file, NAMES) == []


def test_the_domain_of_the_environment_is_the_one_of_a_file_that_names_none(other, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN))
    assert held_names(deployment(domain_id=None), NAMES) == [f"/{NAMESPACE}/vla_planner"]
    monkeypatch.setenv("ROS_DOMAIN_ID", "")
    assert held_names(deployment(domain_id=None), NAMES) == []


def test_names_are_free_as_soon_as_the_start_that_had_them_was_killed(other):
    other.kill()
    other.wait()

    assert held_names(deployment(), NAMES) == []
    with own_names(deployment(), NAMES):
        pass


RTPS = "\x1b[37;1m10:22 \x1b[31;1m[\x1b[37;1mRTPS\x1b[31;1m Error] \x1b[37mport is too high\x1b[m\n"


@pytest.mark.parametrize(
    ("stderr", "says"),
    [
        (f"Traceback:\n  File x\nRuntimeError: no middleware\n{RTPS}", "RuntimeError: no middleware"),
        (RTPS, "10:22 [RTPS Error] port is too high"),
        ("", "Command '['presence']' returned non-zero exit status 1."),
    ],
    ids=["Python's error", "the middleware's, without its colours", "nothing said"],
)
def test_why_nobody_could_be_looked_for_is_one_plain_line(monkeypatch, stderr, says):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(1, ["presence"], "", stderr)

    monkeypatch.setattr(others.subprocess, "run", fail)
    monkeypatch.setattr(others, "node_variables", lambda file: {})

    with pytest.raises(OSError, match=f"^{re.escape(says)}$"):
        running_already(deployment(), NAMES)


def test_a_file_in_the_place_of_the_logs_is_refused_with_what_was_expected(tmp_path):
    place = tmp_path / "logs"
    place.touch()

    for logs in (place, place / "below"):
        with pytest.raises(ConfigurationError, match=f"^--logs {logs}: expected a folder that can be written, found: "):
            own_logs(logs).__enter__()
