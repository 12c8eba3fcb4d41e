"""A second start of a deployment on the same machine."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.app.ros.others import held_names, own_names
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
