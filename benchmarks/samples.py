"""K answers to one prompt on the same cached prefix: what they cost, and what ranking them is worth.

Protocol: the reference checkpoint's INT8 bundle along the expert's drives, a plan every second. Each plan is followed
by K - 1 drawn ones (`Planner.draw`). Cost: processor time of the draw, beside that of the plan. Worth: displacement
over 5 s and PDMS against what the expert then drove and where everybody then was, of three choices among the K: the
greedy plan; what `PdmScorer` picks, which knows the present alone (others go straight on at constant speed); and the
best in hindsight, which no vehicle can pick. Means with 95 % bounds over whole drives.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from passes import CHECKPOINT
from result import show

from onboard_vla.app.evaluation.intervals import mean
from onboard_vla.app.evaluation.open_loop import (
    Due,
    expert_drive,
    frame_set,
    score_plan,
)
from onboard_vla.app.evaluation.surroundings import road_of
from onboard_vla.app.evaluation.trace import Instant
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.plan import Plan
from onboard_vla.core.scoring.ranking import PdmScorer
from onboard_vla.core.scoring.surroundings import Traffic
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.samples import Draw
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.world import World

FORECAST = 50
"""Instants of a forecast: 4 s and what NAVSIM v1's time to collision looks beyond."""
FIRST_SEED = 700_400
CHOICES = ("greedy", "scorer", "hindsight")


@dataclass
class Ranked:
    """Along all drives. `scores`: per choice and plan its displacement and PDMS; `worlds`: where each plan was made."""

    worlds: list[int] = field(default_factory=list)
    scores: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {name: [] for name in CHOICES})
    plan_ms: list[float] = field(default_factory=list)
    draw_ms: list[float] = field(default_factory=list)
    refused: int = 0
    distinct: list[int] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Candidates:
    """Of one prompt, the greedy one first; what is known when they are made."""

    index: int
    time_s: float
    plans: tuple[Plan, ...]
    ranks: NDArray[np.float64]


def along(seed: int, seconds: float, planner: Planner, draw: Draw, found: Ranked) -> None:
    """One drive: plans once a second, then all of their scores."""
    world = World(seed, "quiet_road")
    instants: list[Instant] = []
    asked: list[Candidates] = []
    for due in expert_drive(world, Renderer(default_rig()), seconds, instants):
        candidates = proposed(world, instants[-1], due, planner, replace(draw, seed=len(asked)), found)
        if candidates is not None:
            asked.append(candidates)
    for item in asked:
        scores = [score_plan(instants, world, item.index, plan, item.time_s) for plan in item.plans]
        table = [(score.displacement.ade_m, score.pdms) for score in scores]
        best = max(range(len(table)), key=lambda k: table[k][1])
        chosen = (0, int(np.argmax(item.ranks)), best)
        found.worlds.append(seed)
        for name, k in zip(CHOICES, chosen, strict=True):
            found.scores[name].append(table[k])


def proposed(world: World, here: Instant, due: Due, planner: Planner, draw: Draw, found: Ranked) -> Candidates | None:
    """The greedy plan and the drawn ones, ranked by what is known now; none if the plan is refused."""
    begin = time.process_time()
    plan = planner.plan(frame_set(due.pictures), world.ego, world.command, 1)
    planned = time.process_time()
    if not isinstance(plan, Plan):
        return None
    samples, trajectories = planner.draw(draw)
    found.plan_ms.append((planned - begin) * 1e3)
    found.draw_ms.append((time.process_time() - planned) * 1e3)
    found.refused += samples.refused
    drawn = [
        replace(plan, poses=poses, fine_poses=fine[:, :3], action_tokens=tuple(int(token) for token in tokens))
        for tokens, poses, fine in zip(samples.tokens, trajectories.poses, trajectories.fine, strict=True)
    ]
    plans = (plan, *drawn)
    found.distinct.append(len({item.action_tokens for item in plans}))
    traffic = Traffic.constant_velocity(here.users[:, 1:6], here.users[:, 6], here.agents, FORECAST, 0.1)
    # A signal is known to be red now; how long it stays so is not.
    road = road_of(world, here.ego_s_m, [world.time_ns] * FORECAST)
    scorer = PdmScorer(world.ego, traffic, road, VehicleGeometry())
    return Candidates(
        index=due.index,
        time_s=due.time_s,
        plans=plans,
        ranks=scorer.scores(np.array([item.fine_poses for item in plans])),
    )


def main() -> int:
    """Export, drive, draw, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=6, help="K, the greedy plan among them")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--drives", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    found, draw = Ranked(), Draw(arguments.samples - 1, arguments.temperature)
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        bundle = Bundle.open(export_bundle(CHECKPOINT, Path(folder) / "bundle", precision="int8"))
        planner = Planner(bundle, samples=arguments.samples)
        for seed in range(FIRST_SEED, FIRST_SEED + arguments.drives):
            along(seed, arguments.seconds, planner, draw, found)
    result: dict[str, Any] = {
        "k": arguments.samples,
        "temperature": arguments.temperature,
        "plans": len(found.worlds),
        "drives": arguments.drives,
        "refused_samples": found.refused,
        "distinct_plans_mean": round(statistics.mean(found.distinct), 2),
        "cpu_ms_plan_median": round(statistics.median(found.plan_ms), 2),
        "cpu_ms_draw_median": round(statistics.median(found.draw_ms), 2),
        "choices": {
            name: {
                "ade_m": str(mean(found.worlds, [ade for ade, _ in table])),
                "pdms": str(mean(found.worlds, [score for _, score in table])),
                "pdms_over_greedy": str(
                    mean(found.worlds, [a[1] - b[1] for a, b in zip(table, found.scores["greedy"], strict=True)])
                ),
            }
            for name, table in found.scores.items()
        },
    }
    show(result, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
