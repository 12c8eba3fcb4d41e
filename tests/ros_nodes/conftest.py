"""Own DDS domains, nodes of two distributions, and a client; our messages for the tests of their codecs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from onboard_vla.app.straight_road.lateness import LatenessWatch

from .message_stubs import standard_stubs, stub_package, texts_of
from .nodes import Client, NodeProcess

PACKAGE = Path(__file__).resolve().parents[2] / "ros_nodes" / "onboard_vla_msgs"
ROOM = "onboard_vla.ros_nodes."


@pytest.fixture
def domain_id(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A domain of this test's own, with the shipped Fast DDS profile."""
    pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
    from onboard_vla.ros_nodes.environment import give_back_domain_id, ros_environment, unused_domain_id

    number = unused_domain_id()
    for name, value in ros_environment(number).items():
        monkeypatch.setenv(name, value)
    yield number
    give_back_domain_id(number)


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
        sys.stdout.write(f"{node.log}:\n{node.said()}\n")  # pytest shows it where the test fails


@pytest.fixture
def late_since(tmp_path) -> Iterator[Callable[[int], float]]:
    """How late this machine was since a monotonic time, s, for `conclusively`."""
    watch = LatenessWatch(tmp_path)
    yield watch.since
    watch.close()


@pytest.fixture
def distribution() -> str:
    """Kilted, where a test does not say otherwise."""
    return "kilted"


@dataclass(frozen=True)
class Typed:
    """Codecs and views over generated messages or stubs; `through_dds` serialises the former and reads them back."""

    generated: bool
    messages: ModuleType
    codec: ModuleType
    views: ModuleType
    through_dds: Callable[[Any], Any]


def _generated() -> Typed:
    from rclpy.serialization import deserialize_message, serialize_message

    return Typed(
        True,
        import_module("onboard_vla_msgs.msg"),
        import_module(f"{ROOM}typed_codec"),
        import_module(f"{ROOM}typed_views"),
        lambda packed: deserialize_message(serialize_message(packed), type(packed)),
    )


def imported_over(stubs: dict[str, ModuleType], *names: str) -> list[ModuleType]:
    """Modules of the room imported anew over stub packages, which are taken out of the way again."""
    before = dict(sys.modules)
    packages = {name.partition(".")[0] for name in stubs}
    for name in before:
        if name.partition(".")[0] in packages or name.startswith(ROOM):
            del sys.modules[name]
    sys.modules.update(stubs)
    try:
        return [import_module(name) for name in names]
    finally:
        for name in [name for name in sys.modules if name not in before or name in stubs]:
            del sys.modules[name]
        sys.modules.update(before)


@pytest.fixture(scope="session", params=["generated", "stubs"])
def typed(request: pytest.FixtureRequest) -> Iterator[Typed]:
    """Both kinds of classes."""
    if request.param == "generated":
        if find_spec("rclpy") is None or find_spec("onboard_vla_msgs") is None:
            pytest.skip("onboard_vla_msgs is not built in this environment: `make test` builds it from wheels")
        yield _generated()
        return
    stubs = standard_stubs()
    stub_package("onboard_vla_msgs", texts_of(PACKAGE), stubs)
    codec, views = imported_over(stubs, f"{ROOM}typed_codec", f"{ROOM}typed_views")
    yield Typed(False, stubs["onboard_vla_msgs.msg"], codec, views, lambda packed: packed)
