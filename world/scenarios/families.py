"""All scenario families by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.world.scenarios import crossing, following, phantoms, roads
from onboard_vla.world.scenarios.cell import Cell
from onboard_vla.world.scenarios.cut_in import cut_in_grid

FAMILIES: dict[str, Callable[[], Iterator[Cell]]] = {
    "S1": following.standing_leads,
    "S1b": following.standing_leads_seen_late,
    "S2": cut_in_grid,
    "S3": following.braking_leads,
    "S4": following.cut_outs,
    "S5": roads.curves,
    "S6": crossing.crossings,
    "S7": roads.low_friction,
    "S8": roads.stops,
    "S9": following.stop_and_go,
    "S10": roads.blocked_roads,
    "S11": lambda: chain(
        phantoms.phantoms(), phantoms.lasting_ghosts(), phantoms.jitters(), phantoms.flips(), phantoms.real_ones()
    ),
    "S12": roads.switch_overs,
    "S13": roads.speed_range,
}


def cells(family: str, *, quick: bool = False) -> Iterator[Cell]:
    """The cells of a family in a fixed order; `quick`: only those that every test run drives.

    Raises:
        ConfigurationError: no such family.
    """
    if family not in FAMILIES:
        raise ConfigurationError(f"scenario family {family!r}: expected one of {', '.join(FAMILIES)}")
    return (cell for cell in FAMILIES[family]() if cell.quick or not quick)
