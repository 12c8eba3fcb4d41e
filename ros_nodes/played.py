"""Which topics of a recording a replay gives to the graph, and what of them first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import TYPE_CHECKING

from onboard_vla.core.cameras import CameraModel
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process_graph import VEHICLE
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.core.settings import SettingsRequest
from onboard_vla.ros_nodes.topics import row_named

if TYPE_CHECKING:
    from onboard_vla.ros_nodes.bag import Recorded

COMMANDS = (OperatorCommand, DriverState, SettingsRequest)
"""What must not reach a vehicle from a file: who leads, and within which limits."""


def played_topics(bag: str, topics: Mapping[str, str], outputs: bool, commands: bool) -> dict[str, str]:
    """The chosen ones of a recording's `topics`, which are types by recorded name; `bag` names it in errors.

    `outputs`: also what the graph's processes had said. `commands`: also `COMMANDS`.

    Raises:
        ConfigurationError: it holds nothing that would be played, or is of two graphs.
    """
    chosen: dict[str, str] = {}
    shared: set[str] = set()
    twice: list[str] = []
    for name, kind in topics.items():
        row = row_named(name, kind)
        if row is None or row.topic is None or not (row.sender == VEHICLE or outputs):
            continue
        if row.topic.kind in COMMANDS and not commands:
            continue
        chosen[name] = kind
        if row.shared_name in shared:
            twice.append(row.shared_name)
        shared.add(row.shared_name)
    if not chosen:
        raise ConfigurationError(f"{bag} has no input of the graph: it holds {sorted(topics)}")
    if twice:
        raise ConfigurationError(
            f"{bag} holds {min(twice)} of more than one namespace: expected a recording of one graph, "
            f"found {', '.join(sorted(chosen))}"
        )
    return chosen


def states_among(kinds: Mapping[str, str]) -> frozenset[str]:
    """The topics whose last message holds until the next one: what is latched, and what a camera's lens is.

    `kinds`: types by recorded name.
    """
    rows = {name: row_named(name, kind) for name, kind in kinds.items()}
    return frozenset(
        name
        for name, row in rows.items()
        if row is not None and row.topic is not None and (row.latched or row.topic.kind is CameraModel)
    )


def from_start(recorded: Iterable[Recorded], start_ns: int, states: Set[str]) -> Iterator[Recorded]:
    """A recording's messages from a time on; before them what held then, the last earlier message of each of `states`.

    A route is recorded once, at the beginning: without it nobody plans on the rest.
    """
    held: dict[str, Recorded] | None = {}
    for message in recorded:
        if held is None:
            yield message
        elif message.time_ns >= start_ns:
            yield from held.values()
            held = None
            yield message
        elif message.topic in states:
            held[message.topic] = message
    if held is not None:
        yield from held.values()
