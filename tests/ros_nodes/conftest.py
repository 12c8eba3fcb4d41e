"""Own DDS domains, nodes of two distributions, and a client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .nodes import Client, NodeProcess


@pytest.fixture
def domain_id(monkeypatch: pytest.MonkeyPatch) -> int:
    """A domain of this test's own, with the shipped Fast DDS profile."""
    pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
    from onboard_vla.ros_nodes.environment import ros_environment, unused_domain_id

    number = unused_domain_id()
    for name, value in ros_environment(number).items():
        monkeypatch.setenv(name, value)
    return number


@pytest.fixture
def client(domain_id: int) -> Iterator[Client]:
    """A client in that domain."""
    client = Client(domain_id)
    yield client
    client.close()


@pytest.fixture
def start(domain_id: int, distribution: str, tmp_path) -> Iterator:
    """Starts nodes of the test's distribution; all end with the test."""
    nodes: list[NodeProcess] = []

    def begin(program: tuple[str, ...], **parameters: object) -> NodeProcess:
        nodes.append(NodeProcess(distribution, tmp_path, program, **parameters))
        return nodes[-1]

    yield begin
    for node in nodes:
        node.close()


@pytest.fixture
def distribution() -> str:
    """Kilted, where a test does not say otherwise."""
    return "kilted"
