"""Model passes per plan on the reference checkpoint: guessing ahead against one token a pass.

Protocol: drives of the world with pictures at 10 Hz, INT8 and fp32. --at says on which of ten pictures there is a
plan: the rhythm of a planner with its default options (`plan_period_s` 0.2, `cameras.share_decoding`) if it is not
given, 0,2,4,6,8 for every 0.2 s, 0,1,2,3,4,5,6,7,8,9 for every picture. Guesses come from earlier plans, so the rate
decides how good they are. At each such instant all planners plan on the same frame set, fast and, every fifth time,
slow. Passes are those of the language model (prefill included), counted by the engine. Driving is judged by the plan
itself: braking takes more than 2 m/s off the speed in 5 s; of the rest, a turn changes the heading by more than 0.2
rad.

Equality is held against two decoders. One token a pass with two rows a pass, as the runtime does it: everything must
be equal to the bit. One token a pass with one row a pass, as most runtimes do it: another kernel computes it, with
other last bits, so near ties may fall the other way; they are counted, with how near the tie was. The reference
checkpoint has no repetition penalty; --repetition-penalty gives it one, by which it says other things.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from onboard_vla.core.cameras import CameraFrame, FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import FAST, SLOW, Plan
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner import Planner

CHECKPOINT = Path(__file__).parents[1] / "world" / "reference"
TURN_RAD, BRAKING_MPS = 0.2, 2.0
SLOW_EVERY = 5
DEFAULT_RHYTHM = (0, 2, 5, 7)
"""Of ten pictures at 10 Hz, those that a planner plans on: see `runtime/anchor_pacing.py`."""
KINDS = ("straight", "turn", "braking")


def instants(cameras: tuple[str, ...], profile: str, seed: int, count: int) -> Iterator[tuple[FrameSet, EgoState, str]]:
    """Let the expert drive: what the planner sees at each picture."""
    from onboard_vla.world.expert import Expert
    from onboard_vla.world.render import Renderer
    from onboard_vla.world.rig import default_rig
    from onboard_vla.world.world import World

    world = World(seed, profile)
    expert, renderer, ingest = Expert(world), Renderer(default_rig()), CameraIngest(cameras, 4, 0.5)
    tick = 0
    while count:
        for camera, view in renderer.render(world).items():
            picture = view.copy()
            picture.flags.writeable = False
            ingest.add(CameraFrame(camera, world.time_ns, tick, picture))
        if (frames := ingest.frame_set()) is not None:
            count -= 1
            yield frames, world.ego, world.command
        tick += 1
        for _ in range(5):
            world.step(expert.control(), 0.02)


def places(text: str) -> tuple[int, ...]:
    """The pictures of ten that are planned on, of an option "0,2,5,7"."""
    found = tuple(int(word) for word in text.split(","))
    if not found or list(found) != sorted(set(found)) or not 0 <= found[0] <= found[-1] <= 9:
        raise ValueError(f"--at {text}: expected numbers from 0 to 9 in order, such as 0,2,5,7")
    return found


def kind_of(plan: Plan) -> str:
    """What sort of driving a plan is."""
    speed = np.hypot(*np.diff(plan.poses[:, :2], axis=0, prepend=np.zeros((1, 2), np.float32)).T) / plan.step_s
    if speed[0] - speed[-1] > BRAKING_MPS:
        return "braking"
    return "turn" if abs(float(np.unwrap(plan.poses[:, 2])[-1])) > TURN_RAD else "straight"


@dataclass
class Tally:
    """Passes of one kind of plan."""

    ahead: list[int] = field(default_factory=list)
    plain: list[int] = field(default_factory=list)

    def report(self) -> dict[str, Any]:
        """Means, and the share of plans that took a prefill alone."""
        if not self.ahead:
            return {"plans": 0}
        return {
            "plans": len(self.ahead),
            "mean_passes": round(statistics.mean(self.ahead), 2),
            "mean_passes_one_token_a_pass": round(statistics.mean(self.plain), 2),
            "median_passes": statistics.median(self.ahead),
            "most_passes": max(self.ahead),
            "one_pass_share": round(sum(n == 1 for n in self.ahead) / len(self.ahead), 3),
        }


class Comparison:
    """Three planners of one bundle on the same instants."""

    def __init__(self, bundle: Bundle) -> None:
        self.ahead, self.plain = Planner(bundle), Planner(bundle, look_ahead=False)
        self.one_row = Planner(bundle, look_ahead=False)
        self.one_row.language.least_rows = 1
        self.fast = {kind: Tally() for kind in KINDS}
        self.slow = Tally()
        self.plans = self.unequal = self.one_row_differs = 0
        self.near_ties: list[float] = []
        self.logit_differences: list[float] = []

    def see(self, instant: tuple[FrameSet, EgoState, str], number: int, depth: str) -> None:
        """Plan on one instant with all three."""
        plans = [planner.plan(*instant, number, depth=depth) for planner in (self.ahead, self.plain, self.one_row)]
        logits = [p.decoder.action_logits.copy() for p in (self.ahead, self.plain, self.one_row)]
        ahead, plain, one_row = plans
        self.plans += 1
        if not (isinstance(ahead, Plan) and isinstance(plain, Plan)):
            self.unequal += type(ahead) is not type(plain) or getattr(ahead, "code", 0) != getattr(plain, "code", 1)
            return
        same = (ahead.action_tokens, ahead.text) == (plain.action_tokens, plain.text)
        self.unequal += not (same and np.array_equal(logits[0], logits[1]))
        tally = self.fast[kind_of(plain)] if depth == FAST else self.slow
        tally.ahead.append(ahead.passes.prefill + ahead.passes.decode)
        tally.plain.append(plain.passes.prefill + plain.passes.decode)
        if not isinstance(one_row, Plan) or one_row.action_tokens != plain.action_tokens or one_row.text != plain.text:
            self.one_row_differs += 1
            best = np.sort(logits[1], axis=1)
            self.near_ties.append(float((best[:, -1] - best[:, -2]).min()))
        else:
            self.logit_differences.append(float(np.abs(logits[2] - logits[1]).max()))

    def report(self) -> dict[str, Any]:
        """Figures of all plans."""
        return {
            "fast": {kind: tally.report() for kind, tally in self.fast.items()},
            "fast_all": Tally(
                [n for tally in self.fast.values() for n in tally.ahead],
                [n for tally in self.fast.values() for n in tally.plain],
            ).report(),
            "slow": self.slow.report(),
            "plans": self.plans,
            "unequal_to_one_token_a_pass": self.unequal,
            "one_row": {
                "plans_that_differ": self.one_row_differs,
                "smallest_margins_of_those": self.near_ties,
                "largest_logit_difference_of_the_others": max(self.logit_differences, default=0.0),
                "share_equal_to_the_bit": round(
                    sum(d == 0 for d in self.logit_differences) / max(len(self.logit_differences), 1), 4
                ),
            },
        }


def with_penalty(bundle: Bundle, penalty: float | None) -> Bundle:
    """The bundle, with another repetition penalty if one is given."""
    if penalty is None:
        return bundle
    generation = replace(bundle.manifest.generation, repetition_penalty=penalty)
    return replace(bundle, manifest=replace(bundle.manifest, generation=generation))


def main() -> int:
    """Export, drive, plan, print; 1 if a plan differs from one token a pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--drives", type=int, default=5, help="drives of quiet_road, and as many of urban")
    parser.add_argument("--plans", type=int, default=100, help="pictures of a drive, 0.1 s apart")
    parser.add_argument("--at", type=places, default=DEFAULT_RHYTHM, help="which of ten pictures are planned on")
    parser.add_argument("--first-seed", type=int, default=700_000)
    parser.add_argument("--repetition-penalty", type=float, help="another than the checkpoint's")
    parser.add_argument("--precision", choices=("int8", "fp32"), action="append")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    precisions = arguments.precision or ["int8", "fp32"]
    load_before = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        comparisons = {}
        for precision in precisions:
            path = export_bundle(arguments.checkpoint, Path(folder) / precision, precision=precision, unjudged=True)
            comparisons[precision] = Comparison(with_penalty(Bundle.open(path), arguments.repetition_penalty))
        cameras = next(iter(comparisons.values())).ahead.bundle.cameras
        for drive in range(2 * arguments.drives):
            profile = ("quiet_road", "urban")[drive % 2]
            shown = enumerate(instants(cameras, profile, arguments.first_seed + drive, arguments.plans))
            for number, instant in enumerate(instant for at, instant in shown if at % 10 in arguments.at):
                for comparison in comparisons.values():
                    comparison.see(instant, number, FAST)
                    if number % SLOW_EVERY == 0:
                        comparison.see(instant, number, SLOW)
    result = {
        "protocol": {
            "drives": 2 * arguments.drives,
            "pictures_per_drive": arguments.plans,
            "planned_on_of_ten_pictures": arguments.at,
            "first_seed": arguments.first_seed,
            "repetition_penalty": next(iter(comparisons.values())).ahead.bundle.manifest.generation.repetition_penalty,
            "bundles": {precision: c.ahead.bundle.core_hash for precision, c in comparisons.items()},
            "python": platform.python_version(),
            "onnxruntime": version("onnxruntime"),
            "machine": platform.machine(),
            "load_average": [load_before, os.getloadavg()],
        },
        "results": {precision: comparison.report() for precision, comparison in comparisons.items()},
    }
    if arguments.json:
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        print_table(result["results"])
    return int(any(c.unequal for c in comparisons.values()))


def print_table(results: dict[str, Any]) -> None:
    """One line a kind of plan."""
    out = sys.stdout.write
    out("                          plans  mean passes  one token a pass  median  most  one pass\n")
    for precision, report in results.items():
        for name, tally in (*report["fast"].items(), ("all fast", report["fast_all"]), ("slow", report["slow"])):
            if tally["plans"]:
                out(f"{precision:6}{name:18}{tally['plans']:7}{tally['mean_passes']:13.2f}")
                out(f"{tally['mean_passes_one_token_a_pass']:18.2f}{tally['median_passes']:8g}{tally['most_passes']:6}")
                out(f"{tally['one_pass_share']:10.1%}\n")
        one_row = report["one_row"]
        unequal, differ = report["unequal_to_one_token_a_pass"], one_row["plans_that_differ"]
        out(f"{precision}: {report['plans']} plans, {unequal} not equal to the bit to one token a pass; ")
        out(f"{differ} differ with one-row kernels (smallest margins {one_row['smallest_margins_of_those']})\n")


if __name__ == "__main__":
    sys.exit(main())
