"""Scenario cells with the real supervisor in virtual time: what must hold, and that the runner would see it fail."""

from __future__ import annotations

import itertools
import json

import pytest

from onboard_vla.app.cut_in_edges import edge_cells
from onboard_vla.app.scenario_runs import (
    SAME_AS_OURS,
    make_driver,
    read_rows,
    reference_results,
    run_cell,
    run_cells,
)
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.world.scenarios.cut_in import cut_in
from onboard_vla.world.scenarios.families import cells

FAST = ("S1b", "S2", "S4", "S5", "S8", "S10")
SLOW = ("S1", "S3", "S6", "S7", "S9", "S11", "S12", "S13")


class Deaf:
    """A driver that sees no objects: the real supervisor with the object lists emptied."""

    def __init__(self, cell):
        self._supervisor = make_driver(cell)

    def receive(self, message, now):
        if type(message).__name__ == "ObjectList":
            message = type(message)(message.stamp_ns, ())
        self._supervisor.receive(message, now)

    def tick(self, now):
        return self._supervisor.tick(now)


def test_a_driver_that_sees_nothing_fails_the_family():
    cell = next(cells("S1b"))
    outcome = run_cell(cell, Deaf(cell))
    assert outcome.measures.contact
    assert any("contact" in text for text in outcome.shortfalls)


def test_a_driver_that_always_brakes_does_not_pass_the_parked_car():
    cell = next(cell for cell in cells("S10") if cell.name == "parked_right_50")

    class Braking:
        def __init__(self):
            self._supervisor = make_driver(cell)

        def receive(self, message, now):
            if type(message).__name__ != "LaneObservation" or now.monotonic_ns < 10_700_000_000:
                self._supervisor.receive(message, now)

        def tick(self, now):
            return self._supervisor.tick(now)

    assert "did not get past" in run_cell(cell, Braking()).shortfalls


def test_a_run_is_the_same_every_time():
    cell = cut_in(60, 30, 18, 1.0)
    assert run_cell(cell) == run_cell(cell)


def test_shards_cover_a_family_once_and_resume_where_they_stopped(tmp_path):
    out = tmp_path / "rows.jsonl"
    total = len(list(cells("S8", quick=True)))
    first = run_cells("S8", 0, 2, out, quick=True, most=1)
    out.write_text(out.read_text() + '{"key": "cut off')
    rest = run_cells("S8", 0, 2, out, quick=True) + run_cells("S8", 1, 2, out, quick=True)
    rows = read_rows(out)
    assert first == 1
    assert first + rest == total == len({row["key"] for row in rows}) == len(rows)
    assert json.dumps(rows, allow_nan=False)
    with pytest.raises(ConfigurationError, match="expected 0 to 1, found 2"):
        run_cells("S8", 2, 2, out)


@pytest.mark.parametrize("family", [*FAST, *(pytest.param(family, marks=pytest.mark.slow) for family in SLOW)])
def test_the_fallback_holds_the_quick_cells(family):
    outcomes = [run_cell(cell) for cell in cells(family, quick=True)]
    assert {outcome.key: outcome.shortfalls for outcome in outcomes if outcome.shortfalls} == {}


def test_edges_of_the_grid_are_the_avoidable_cells_beside_unavoidable_ones():
    row = [cut_in(60, 30, gap, 1.0) for gap in range(1, 60)]
    found = [cell.parameters["gap_m"] for cell in edge_cells(iter(row))]
    references = [reference_results(cell, VehicleGeometry(), SAME_AS_OURS).values() for cell in row]
    avoidable = [any(result.avoids for result in results) for results in references]
    changes = sum(a != b for a, b in itertools.pairwise(avoidable))
    assert len(found) == changes == 2
    assert all(avoidable[int(gap) - 1] for gap in found)
    assert not avoidable[int(found[0])]
    assert not avoidable[int(found[1]) - 2]
