"""Scenario cells as part of the campaign: F21's cut-in grid, and the other families beside it.

A cell that no reference driver survives with the same perception and actuators is counted as unavoidable, not left out.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from onboard_vla.app.campaign.statistics import clopper_pearson
from onboard_vla.app.scenario_runs import as_row, run_cell
from onboard_vla.world.scenarios.cell import Cell
from onboard_vla.world.scenarios.families import FAMILIES, cells

CUT_IN_FAMILY = "S2"
TITLES = {
    "S1": "standing lead",
    "S1b": "standing lead, seen late",
    "S2": "cut-in (F21)",
    "S3": "lead brakes",
    "S4": "cut-out",
    "S5": "curves",
    "S6": "crossing pedestrians and cyclists",
    "S7": "low friction",
    "S8": "in-lane stop",
    "S9": "stop and go",
    "S10": "blocked road",
    "S11": "phantom objects",
    "S12": "switch-over",
    "S13": "range of speeds",
}


@dataclass(frozen=True)
class CellJob:
    """One cell, by its place in its family."""

    family: str
    index: int
    name: str

    @property
    def key(self) -> str:
        """As `CellResult.key`."""
        return f"cell|{self.family}/{self.name}"


@dataclass(frozen=True)
class CellResult:
    """How a cell ended. `avoidable`: a reference driver with our handicaps avoids contact, or none was asked."""

    key: str
    family: str
    avoidable: bool
    holds: bool
    shortfalls: tuple[str, ...]
    contact: bool

    def line(self) -> str:
        """As one line of a results file."""
        return json.dumps({"cell": dataclasses.asdict(self)}, separators=(",", ":"))

    @staticmethod
    def of_content(content: dict[str, Any]) -> CellResult:
        """Read a line's content back."""
        return CellResult(**{**content, "shortfalls": tuple(content["shortfalls"])})


@dataclass(frozen=True)
class FamilyRow:
    """A family added up. `bound`: upper 95 % bound on the share of avoidable cells that do not hold."""

    family: str
    title: str
    cells: int
    avoidable: int
    unavoidable: int
    contacts_unavoidable: int
    missed: int
    bound: float
    first: str


def cell_jobs(*, quick: bool, families: Sequence[str] = ()) -> list[CellJob]:
    """Every cell of these families (all of them if none is named); `quick`: those that every test run drives."""
    return [
        CellJob(family, index, cell.name)
        for family in FAMILIES
        if not families or family in families
        for index, cell in enumerate(cells(family))
        if cell.quick or not quick
    ]


def run_cell_job(job: CellJob) -> CellResult:
    """Drive and judge one cell with the real supervisor."""
    cell = _cells(job.family)[job.index]
    row = as_row(run_cell(cell))
    measures: Any = row["measures"]
    return CellResult(
        key=job.key,
        family=job.family,
        avoidable=bool(row["avoidable"]),
        holds=bool(row["holds"]),
        shortfalls=tuple(str(word) for word in row["shortfalls"]),  # type: ignore[attr-defined]
        contact=bool(measures["contact"]),
    )


@lru_cache(maxsize=2)
def _cells(family: str) -> tuple[Cell, ...]:
    return tuple(cells(family))


def family_rows(results: Sequence[CellResult]) -> list[FamilyRow]:
    """One row a family, in their order."""
    rows = []
    for family in FAMILIES:
        mine = [r for r in results if r.family == family]
        if not mine:
            continue
        avoidable = [r for r in mine if r.avoidable]
        missed = [r for r in mine if not r.holds]
        first = f"{missed[0].key.removeprefix('cell|')}: {', '.join(missed[0].shortfalls)}" if missed else ""
        rows.append(
            FamilyRow(
                family=family,
                title=TITLES[family],
                cells=len(mine),
                avoidable=len(avoidable),
                unavoidable=len(mine) - len(avoidable),
                contacts_unavoidable=sum(r.contact for r in mine if not r.avoidable),
                missed=len(missed),
                bound=clopper_pearson(len(missed), len(mine))[1],
                first=first,
            )
        )
    return rows
