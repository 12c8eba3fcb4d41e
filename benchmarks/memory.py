"""Resident memory over many plans: it must not grow.

Protocol: the reference checkpoint's INT8 bundle; a drive of 40 instants at 0.5 s, gone through again and again with
stamps that move on, so that half of the frame pairs are known as on the road. No turn is like another: its pictures
are rolled by other columns and rows and its speeds are others, so that prompts and answers are new, and a cache
without a bound would grow with them; every 50th plan thinks slowly, for passes of other lengths. After --warm-up
plans, by which engines, caches and the memory of guesses have their size (it is told how full they are), resident
memory is read every 100 plans. Growth is the median of the last tenth of the readings less that of the first; above
--limit-kib the exit status is 1. A bar on stderr tells how far it is.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from passes import CHECKPOINT, instants
from result import show
from rich.console import Console
from rich.progress import track

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import FAST, SLOW, Plan
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner

INSTANTS, PICTURES_APART, SLOW_EVERY, READ_EVERY = 40, 5, 50, 100
SPACING_NS = 500_000_000
SHIFT_ROWS, SHIFT_COLUMNS = 3, 37
"""Pixels that a turn's pictures are rolled by: all pairs of 29 and 397 turns, primes, come before one comes again."""
PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


def resident_kib() -> int:
    """Of this process, as the kernel counts it."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE_KIB


def later(frames: FrameSet, by_ns: int) -> FrameSet:
    """The very same pictures at a later time."""
    stamps = {role: tuple(stamp + by_ns for stamp in found) for role, found in frames.stamps_ns.items()}
    return replace(frames, stamp_ns=frames.stamp_ns + by_ns, stamps_ns=stamps)


def moved(frames: FrameSet, by_ns: int, turn: int) -> FrameSet:
    """The pictures of one turn later, other than in every turn before."""
    by = (SHIFT_ROWS * turn % 29, SHIFT_COLUMNS * turn % 397)
    images = {role: tuple(rolled(np.asarray(one), by) for one in found) for role, found in frames.images.items()}
    return replace(later(frames, by_ns), images=images)


def rolled(picture: NDArray[np.uint8], by: tuple[int, int]) -> NDArray[np.uint8]:
    """A copy rolled by rows and columns; read-only, or the vision cache would not trust it."""
    found = np.roll(picture, by, axis=(0, 1))
    found.flags.writeable = False
    return found


def driven(ego: EgoState, by_ns: int, turn: int) -> EgoState:
    """The state of one turn later, at another speed than in the turns before."""
    return replace(ego, stamp_ns=ego.stamp_ns + by_ns, speed_mps=abs(ego.speed_mps + 0.37 * turn % 9.0 - 4.5))


def fullness(planner: Planner) -> dict[str, int]:
    """How much the memory of guesses and the arrays of passes hold; both have bounds."""
    memory = planner.decoder._memory
    return {"contexts": 0 if memory is None else len(memory), "passes": len(planner.language._passes._known)}


def main() -> int:
    """Plan, read, judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=10_000)
    parser.add_argument("--warm-up", type=int, default=1_000)
    parser.add_argument("--limit-kib", type=int, default=1024)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    readings: list[int] = []
    filled: dict[str, int] = {}
    made = {"valid": 0, "slow": 0}
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        bundle = Bundle.open(export_bundle(CHECKPOINT, Path(folder) / "bundle", precision="int8"))
        seen = list(instants(bundle.cameras, "quiet_road", 700_300, PICTURES_APART * INSTANTS))[::PICTURES_APART]
        planner = Planner(bundle)
        gc.collect()
        started = time.process_time()
        numbers = range(arguments.warm_up + arguments.plans)
        for number in track(numbers, "plans", console=Console(stderr=True)):
            turn, at = divmod(number, INSTANTS)
            frames, ego, command = seen[at]
            by_ns = turn * INSTANTS * SPACING_NS
            depth = SLOW if number % SLOW_EVERY == 0 else FAST
            later = driven(ego, by_ns, turn)
            plan = planner.plan(moved(frames, by_ns, turn), later, command, number, depth=depth)
            if number == arguments.warm_up:
                filled = fullness(planner)
            if number >= arguments.warm_up:
                made["valid"] += isinstance(plan, Plan)
                made["slow"] += depth == SLOW
                if (number - arguments.warm_up) % READ_EVERY == 0:
                    readings.append(resident_kib())
        spent_s = time.process_time() - started
    tenth = max(1, len(readings) // 10)
    growth_kib = statistics.median(readings[-tenth:]) - statistics.median(readings[:tenth])
    result = {
        "plans": arguments.plans,
        **made,
        "remembered_after_warm_up": filled,
        "remembered_at_the_end": fullness(planner),
        "growth_kib": growth_kib,
        "limit_kib": arguments.limit_kib,
        "kept": growth_kib <= arguments.limit_kib,
        "first_mib": round(readings[0] / 1024, 1),
        "last_mib": round(readings[-1] / 1024, 1),
        "most_mib": round(max(readings) / 1024, 1),
        "processor_seconds": round(spent_s, 1),
        "readings_kib": readings,
    }
    show(result, as_json=arguments.json)
    return 0 if result["kept"] else 1


if __name__ == "__main__":
    sys.exit(main())
