"""Where a fast plan's time outside engines and patches goes, part by part.

Protocol: the reference checkpoint's INT8 bundle; a drive of --instants instants 0.5 s apart, gone through --turns times
with stamps that move on, so that half of the frame pairs are known; what guesses come from is forgotten before each
turn. Processor time of the thread that plans. An engine's time is that of its session alone, what binds arrays is
outside; of the patches it is all of `PatchMaker.write`. "plan": the least of all turns at each instant, averaged over
instants. "parts": another run with a clock around each part, medians over turns; the clocks take time, too, so that
only shares are told. Exit status 1 if more than --aim of a plan is outside.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from memory import later
from passes import CHECKPOINT, instants
from result import show

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import Plan
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner

APART_NS, WARM_UP, FIRST_SEED = 500_000_000, 4, 700_300
clock = time.thread_time


class Session:
    """An engine's session with a clock."""

    def __init__(self, session: Any) -> None:  # noqa: ANN401  (onnxruntime's)
        self._session, self.seconds = session, 0.0

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (onnxruntime's)
        return getattr(self._session, name)

    def run_with_iobinding(self, *arguments: Any) -> None:  # noqa: ANN401  (onnxruntime's)
        """See `onnxruntime.InferenceSession`."""
        begin = clock()
        self._session.run_with_iobinding(*arguments)
        self.seconds += clock() - begin


class Watched:
    """A planner whose engines, patches and parts are timed."""

    def __init__(self, bundle: Bundle) -> None:
        self.planner = planner = Planner(bundle)
        self._sessions = []
        for engine in (planner.language._engine, *planner.vision._engines.values()):
            session = Session(engine._session)  # type: ignore[attr-defined]
            engine._session = session  # type: ignore[attr-defined]
            self._sessions.append(session)
        self.patches_s, self._write = 0.0, planner.vision._maker.write
        planner.vision._maker.write = self._timed_write  # type: ignore[method-assign,assignment]
        self.parts: dict[str, float] = {}
        self._inner: list[float] = []

    @property
    def engines_s(self) -> float:
        """Of all engines so far."""
        return sum(session.seconds for session in self._sessions)

    def clock_parts(self) -> None:
        """Put a clock around each part from now on; a part's own time is without those inside it."""
        planner, decoder = self.planner, self.planner.decoder
        sequence, model = decoder._sequence, self.planner.language
        for part, owner, names in (
            ("choosing and guessing", decoder, ("decode",)),
            ("choosing and guessing", decoder._action_decoder, ("decode", "_guess")),
            ("choosing and guessing", decoder._memory, ("learn",)),
            ("choosing and guessing", sequence, ("choose", "score", "expect_finite", "say", "keep")),
            ("passes", sequence, ("begin", "push")),
            ("passes", model, ("forward",)),
            ("vision's pairs and cache", planner, ("_see", "_check")),
            ("vision's distances", planner, ("_distances",)),
            ("prompt", planner, ("_prompt_input",)),
            ("prompt", planner.prompt, ("write",)),
            ("signals and trajectory", planner, ("_made",)),
            ("the rest", planner, ("plan",)),
        ):
            for name in names:
                setattr(owner, name, self._clocked(part, getattr(owner, name)))

    def _clocked(self, part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  (whatever `work` takes and gives)
            begin, others = clock(), self.engines_s + self.patches_s
            self._inner.append(0.0)
            try:
                return work(*arguments, **named)
            finally:
                took = clock() - begin - (self.engines_s + self.patches_s - others)
                self.parts[part] = self.parts.get(part, 0.0) + took - self._inner.pop()
                if self._inner:
                    self._inner[-1] += took

        return run

    def _timed_write(self, *arguments: Any) -> None:  # noqa: ANN401  (as `PatchMaker.write`)
        begin = clock()
        self._write(*arguments)
        self.patches_s += clock() - begin


def drive(watched: Watched, seen: list[tuple[FrameSet, EgoState, str]], turn: int) -> list[tuple[float, float, float]]:
    """Seconds of each plan of one turn: whole, engines, patches."""
    memory = watched.planner.decoder._memory
    assert memory is not None
    memory._next.clear()
    found = []
    for number, (frames, ego, command) in enumerate(seen):
        by_ns = turn * len(seen) * APART_NS
        pictures = later(frames, by_ns)
        begin, engines, patches = clock(), watched.engines_s, watched.patches_s
        plan = watched.planner.plan(pictures, replace(ego, stamp_ns=ego.stamp_ns + by_ns), command, number)
        found.append((clock() - begin, watched.engines_s - engines, watched.patches_s - patches))
        if not isinstance(plan, Plan):
            raise SystemExit(f"instant {number}: {plan!r}")
    return found


def main() -> int:
    """Export, drive, plan, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--instants", type=int, default=44)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--aim", type=float, default=0.1)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        bundle = Bundle.open(export_bundle(CHECKPOINT, Path(folder) / "bundle", precision="int8"))
        seen = list(instants(bundle.cameras, "quiet_road", FIRST_SEED, 5 * arguments.instants))[::5]
        watched = Watched(bundle)
        drive(watched, seen, 0)
        times = np.array([drive(watched, seen, 1 + turn) for turn in range(arguments.turns)])[:, WARM_UP:] * 1e3
        watched.clock_parts()
        parts: list[dict[str, float]] = []
        for turn in range(arguments.turns):
            watched.parts = {}
            drive(watched, seen, 1 + arguments.turns + turn)
            parts.append(watched.parts)
    whole, engines, patches = times.min(axis=0).mean(axis=0).tolist()
    middle = {name: statistics.median(one[name] for one in parts) for name in parts[0]}
    total = sum(middle.values())
    result = {
        "plan_ms": {"whole": round(whole, 2), "engines": round(engines, 2), "patches": round(patches, 2)},
        "outside_ms": round(whole - engines - patches, 2),
        "outside_share": round(1 - (engines + patches) / whole, 3),
        "parts": {name: round(took / total, 2) for name, took in sorted(middle.items(), key=lambda item: -item[1])},
        "kernels": watched.planner.kernels.name,
    }
    show(result, as_json=arguments.json)
    return int(result["outside_share"] > arguments.aim)


if __name__ == "__main__":
    sys.exit(main())
