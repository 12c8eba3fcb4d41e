"""The cut-in grid where it decides: cells that a reference driver avoids, next to cells that none does.

The whole grid is 29 970 drives; what a reference avoids in it costs a minute to find out, and along the gap it changes
once or twice a row. A driver that is no worse than the references can fail only where they just avoid contact, so these
cells come first: `python -m onboard_vla.app.cut_in_edges --out FILE`, resumable, prints what the file then holds.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from onboard_vla.app.scenario_runs import SAME_AS_OURS, read_rows, reference_results, run_listed
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.world.scenarios.cell import Cell
from onboard_vla.world.scenarios.cut_in import cut_in_grid


def edge_cells(grid: Iterator[Cell] | None = None) -> Iterator[Cell]:
    """Avoidable cells with an unavoidable neighbour in their row of gaps."""
    geometry = VehicleGeometry()
    for row in _rows(cut_in_grid() if grid is None else grid):
        avoids = [_avoidable(cell, geometry) for cell in row]
        for k, cell in enumerate(row):
            if avoids[k] and not all(avoids[max(k - 1, 0) : k + 2]):
                yield cell


def _rows(grid: Iterator[Cell]) -> Iterator[list[Cell]]:
    """Cells of one pair of speeds and one lateral speed, by gap."""

    def row(cell: Cell) -> tuple[float, float, float]:
        p = cell.parameters
        return p["own_kmh"], p["other_kmh"], p["lateral_mps"]

    ordered = sorted(grid, key=lambda cell: (*row(cell), cell.parameters["gap_m"]))
    return (list(cells) for _, cells in itertools.groupby(ordered, key=row))


def _avoidable(cell: Cell, geometry: VehicleGeometry) -> bool:
    return any(result.avoids for result in reference_results(cell, geometry, SAME_AS_OURS).values())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the file lacks, then say what it holds; 1 where a cell does not hold."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.app.cut_in_edges", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="results, JSON lines; what is there is not run again")
    parser.add_argument("--most", type=int, default=None, help="stop after so many cells")
    given = parser.parse_args(arguments)
    cells = list(edge_cells())
    # In an order that spreads any part of the run over the whole grid.
    cells.sort(key=lambda cell: zlib.crc32(cell.key.encode()))
    run_listed(cells, given.out, most=given.most)
    rows = {str(row["key"]): row for row in read_rows(given.out)}
    mine = [rows[cell.key] for cell in cells if cell.key in rows]
    failed = [row for row in mine if not row["holds"]]
    for row in failed:
        sys.stdout.write(f"{row['key']}: {row['shortfalls']}\n")
    sys.stdout.write(f"{len(mine)} of {len(cells)} cells at the edge driven, {len(failed)} do not hold\n")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
