"""Scenario cells driven by the real supervisor in virtual time, judged, and written down in resumable shards."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from onboard_vla.calibration.provisional import provisional_thresholds
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.safety.config import SIMULATION_PROFILE, FallbackSettings, LadderSettings, SupervisorConfig
from onboard_vla.safety.friction import for_friction
from onboard_vla.safety.operating_domain import OperationalDesignDomain
from onboard_vla.safety.supervisor import Supervisor
from onboard_vla.world.scenarios.cell import FALLBACK_TIME, WHERE_REFERENCE_AVOIDS, Cell
from onboard_vla.world.scenarios.families import cells
from onboard_vla.world.scenarios.loop import (
    PERCEPTION_DELAY_TICKS,
    PERCEPTION_TICKS,
    STANDBY_S,
    TICK_S,
    Course,
    Driver,
)
from onboard_vla.world.scenarios.measures import Measures, measure, shortfalls
from onboard_vla.world.scenarios.motion import track
from onboard_vla.world.scenarios.planner import CORE_HASH
from onboard_vla.world.scenarios.reference_drivers import (
    AS_PUBLISHED,
    CarefulHuman,
    Handicap,
    ReferenceResult,
    Reg157Driver,
    drive_reference,
)

SAME_AS_OURS = Handicap(PERCEPTION_DELAY_TICKS * TICK_S, PERCEPTION_TICKS * TICK_S, 0.2, 0.2)
"""The reference drivers get the perception and the actuators that the driver under test has."""
REFERENCES: dict[str, type[CarefulHuman] | type[Reg157Driver]] = {"careful_human": CarefulHuman, "reg157": Reg157Driver}
NO_LIMIT_S = 600.0
"""L2 may last as long as it has to; the ladder's own limit is tested elsewhere."""
SOON_NOMINAL = LadderSettings(
    fallback_max_s=NO_LIMIT_S, dwell_s=0.1, clear_s=0.1, handback_clear_s=0.1, shadow_passes=2
)
"""Where the stop is to begin while the model drives: how long that takes is tested elsewhere."""
SPEED_CAP_MPS = 40.0
"""The fallback is tried beyond its cap of 50 km/h, up to 130 km/h and a little over."""


@dataclass(frozen=True)
class Outcome:
    """One cell's result. `references`: with our perception and actuators; `published`: without those handicaps."""

    key: str
    parameters: dict[str, float]
    measures: Measures
    references: dict[str, ReferenceResult]
    published: dict[str, ReferenceResult]
    shortfalls: tuple[str, ...]

    @property
    def avoidable(self) -> bool:
        """Whether a reference driver with our handicaps avoids contact (true where none was asked)."""
        return not self.references or any(result.avoids for result in self.references.values())


def make_driver(cell: Cell, thresholds: Thresholds | None = None) -> Supervisor:
    """The supervisor as a cell needs it: without thresholds where L2 is forced, because nobody plans.

    `thresholds`: instead of the provisional ones, where somebody plans.
    """
    fallback = FallbackSettings(speed_cap_mps=SPEED_CAP_MPS)
    if cell.friction is not None and cell.friction_known:
        fallback = for_friction(fallback, cell.friction)
    if thresholds is None and cell.planner_dies_s is not None:
        thresholds = provisional_thresholds(CORE_HASH, "none")
    ladder = LadderSettings(fallback_max_s=NO_LIMIT_S)
    if cell.stop_at_s is not None and cell.stop_by == FALLBACK_TIME:
        ladder = LadderSettings(fallback_max_s=cell.stop_at_s)
    elif cell.stop_at_s is not None:
        ladder = SOON_NOMINAL
    config = SupervisorConfig(
        profile=SIMULATION_PROFILE,
        thresholds=thresholds,
        fallback=fallback,
        ladder=ladder,
        odd=OperationalDesignDomain(speed_max_mps=SPEED_CAP_MPS),
    )
    return Supervisor(config)


def run_cell(cell: Cell, driver: Driver | None = None) -> Outcome:
    """Drive and judge one cell; `driver`: instead of the real supervisor."""
    geometry = VehicleGeometry()
    run = Course(cell, driver or cast(Driver, make_driver(cell)), geometry).drive()
    measures = measure(run, geometry)
    references, published = {}, {}
    if cell.requirement.contact == WHERE_REFERENCE_AVOIDS:
        references = reference_results(cell, geometry, SAME_AS_OURS)
        published = reference_results(cell, geometry, AS_PUBLISHED)
    found = shortfalls(cell, measures, references)
    return Outcome(cell.key, dict(cell.parameters), measures, references, published, tuple(found))


def run_cells(family: str, shard: int, shards: int, out: Path, *, quick: bool = False, most: int | None = None) -> int:
    """Run the cells of one shard that `out` (JSON lines) does not hold yet, at most `most`; returns how many ran.

    Raises:
        ConfigurationError: the shard is not one of `shards`, or there is no such family.
    """
    if not 0 <= shard < shards:
        raise ConfigurationError(f"shard: expected 0 to {shards - 1}, found {shard}")
    return run_listed(itertools.islice(cells(family, quick=quick), shard, None, shards), out, most=most)


def run_listed(wanted: Iterable[Cell], out: Path, *, most: int | None = None) -> int:
    """Run the cells that `out` (JSON lines) does not hold yet, at most `most`; returns how many ran."""
    done = {row["key"] for row in read_rows(out)}
    cut_off = out.exists() and not out.read_text(encoding="utf-8").endswith("\n")
    ran = 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        file.write("\n" if cut_off else "")
        for cell in wanted:
            if cell.key in done:
                continue
            if most is not None and ran >= most:
                break
            file.write(json.dumps(as_row(run_cell(cell)), allow_nan=False) + "\n")
            file.flush()
            ran += 1
    return ran


def read_rows(out: Path) -> list[dict[str, object]]:
    """Rows written so far; a last line that was cut off is left out."""
    if not out.exists():
        return []
    rows = []
    for line in out.read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def as_row(outcome: Outcome) -> dict[str, object]:
    """An outcome as JSON; figures that are not finite become null."""
    row = {**dataclasses.asdict(outcome), "avoidable": outcome.avoidable, "holds": not outcome.shortfalls}
    return cast("dict[str, object]", _finite(row))


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def reference_results(cell: Cell, geometry: VehicleGeometry, handicap: Handicap) -> dict[str, ReferenceResult]:
    """Both reference drivers against the cell's first participant."""
    ticks = range(-round(STANDBY_S / TICK_S), round(cell.duration_s / TICK_S) + 1)
    times = [tick * TICK_S for tick in ticks]
    front = cell.start_m + geometry.length_m - geometry.rear_overhang_m
    other = track(cell.participants[0], Polyline(cell.line), front, np.array(times))
    return {
        name: drive_reference(
            driver(), other, times, cell.speed_mps, front, geometry.width_m, geometry.length_m, handicap
        )
        for name, driver in REFERENCES.items()
    }
