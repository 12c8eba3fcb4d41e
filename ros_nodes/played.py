"""Which topics of a recording a replay gives to the graph."""

from __future__ import annotations

from collections.abc import Mapping

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process_graph import VEHICLE
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.ros_nodes.topics import row_named


def played_topics(bag: str, topics: Mapping[str, str], outputs: bool, commands: bool) -> dict[str, str]:
    """The chosen ones of a recording's `topics`, which are types by recorded name; `bag` names it in errors.

    `outputs`: also what the graph's processes had said. `commands`: also those of operator and driver.

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
        if row.topic.kind in (OperatorCommand, DriverState) and not commands:
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
