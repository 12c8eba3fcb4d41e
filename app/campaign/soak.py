"""F30: drive without faults for a given time on the wall, as much road as fits, and look at rates and memory."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass

import psutil

from onboard_vla.app.campaign.golden import ROADS, GoldenDrive, drive_golden, exceeds, figures_of
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.app.worker_pool import WorkerPool
from onboard_vla.core.errors import ArgumentError

DRIVE_S = 60.0
FIRST_SEED = 1000
FALLBACK_PER_HOUR = 0.1
"""L2 entries in an hour on nominal roads (the catalogue's F30); L3 and L4: none."""
GROWTH_MIB_PER_HOUR = 1.0
"""Of a worker's memory per driven hour, after its first drives."""
SETTLED_DRIVES = 4
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class SoakDrive:
    """One drive, and what its worker's memory stood at afterwards."""

    drive: GoldenDrive
    worker: int
    resident_mib: float


@dataclass(frozen=True)
class SoakFigures:
    """The soak added up. `growth_mib_per_hour`: worst worker; None where none drove long enough."""

    drives: int
    hours: float
    fallback_entries: int
    stop_entries: int
    emergency_entries: int
    growth_mib_per_hour: float | None
    failures: tuple[str, ...]


def parse_duration(text: str) -> float:
    """Seconds from "2h", "90m" or "30s".

    Raises:
        ArgumentError: anything else.
    """
    number, unit = text[:-1], text[-1:]
    try:
        found = float(number) * UNITS_S[unit]
    except (KeyError, ValueError) as error:
        raise ArgumentError(f"--soak {text!r}: expected a time such as 2h, 90m or 30s") from error
    if not 0.0 < found < 1e6:
        raise ArgumentError(f"--soak {text!r}: expected more than nothing and less than 10 days")
    return found


def soak(duration_s: float, workers: int | None, done: Callable[[SoakDrive], None]) -> list[SoakDrive]:
    """Drive until the time is up; drives that have begun are finished."""
    count = workers or len(os.sched_getaffinity(0))
    end = time.monotonic() + duration_s
    drives: list[SoakDrive] = []
    number = 0
    with WorkerPool(count) as pool:
        running: set[Future[SoakDrive]] = set()
        while running or time.monotonic() < end:
            while len(running) < count and time.monotonic() < end:
                running.add(pool.submit(_drive, ROADS[number % len(ROADS)], FIRST_SEED + number))
                number += 1
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                drives.append(future.result())
                done(drives[-1])
    return drives


def soak_figures(drives: list[SoakDrive]) -> SoakFigures:
    """Rates against the catalogue's limits."""
    golden = figures_of([d.drive for d in drives])
    fallback = sum(d.drive.fallback_entries for d in drives)
    stops = sum(d.drive.stop_entries for d in drives)
    growth = _growth(drives)
    failures = []
    if exceeds(fallback, FALLBACK_PER_HOUR * golden.hours):
        failures.append(f"{fallback} entries into L2 in {golden.hours:.1f} h, limit {FALLBACK_PER_HOUR:g}/h")
    if stops or golden.emergency[0]:
        failures.append(f"{stops} entries into L3 and {golden.emergency[0]} into L4, limit 0")
    if golden.harms:
        failures.append(f"{golden.harms} drives with harm or an exception")
    if growth is not None and growth > GROWTH_MIB_PER_HOUR:
        failures.append(f"memory grows by {growth:.1f} MiB per driven hour, limit {GROWTH_MIB_PER_HOUR:g}")
    return SoakFigures(len(drives), golden.hours, fallback, stops, golden.emergency[0], growth, tuple(failures))


def as_document(drives: list[SoakDrive], figures: SoakFigures) -> dict[str, object]:
    """For JSON."""
    return {"figures": dataclasses.asdict(figures), "drives": [dataclasses.asdict(d) for d in drives]}


def _drive(road: str, seed: int) -> SoakDrive:
    drive = drive_golden(road, seed, round(DRIVE_S * SECOND_NS))
    return SoakDrive(drive, os.getpid(), psutil.Process().memory_info().rss / 2**20)


def _growth(drives: list[SoakDrive]) -> float | None:
    """Slope between the least memory of the first and of the last settled drives of a worker; the worst worker's."""
    slopes = []
    for worker in {d.worker for d in drives}:
        mine = [d for d in drives if d.worker == worker][SETTLED_DRIVES:]
        if len(mine) >= 4 * SETTLED_DRIVES:
            first = min(d.resident_mib for d in mine[: 2 * SETTLED_DRIVES])
            last = min(d.resident_mib for d in mine[-2 * SETTLED_DRIVES :])
            hours = sum(d.drive.seconds for d in mine) / 3600.0
            slopes.append((last - first) / hours)
    return max(slopes, default=None)
