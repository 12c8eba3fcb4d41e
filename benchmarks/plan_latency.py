"""A plan's latency beside other runtimes on the same checkpoint, pictures and answers, in one run.

Two checkpoints: the reference checkpoint, and 42 million random weights of the same family (`random_checkpoint.py`).
Protocol: one drive at 10 Hz, a plan every 0.5 s (steady state: half of the frame pairs were seen before). At each
instant every candidate makes one plan, in an order that turns by one each time. Everybody says the same answer: the
actions of the reference checkpoint's own plan at this instant. Peers are made to say it token by token, and so is our
runtime where weights are random, so that guesses ahead are as good as on the reference checkpoint.

Two rows per peer: as its users run it, which decodes the whole answer (fast prefix, actions, suffix); and with the fast
prefix as part of the prompt. Times run from pictures in memory to action tokens, for ours to the finished plan with its
uncertainty; for peers without cropping and resizing, which they would do elsewhere. One thread each, but OpenVINO its
default: its CPU time is the sum over its threads, and its wall time less where processors are idle. On a busy machine
CPU time, of all threads, is the figure to compare; with processors idle both are, so both are told. "outside": share of
the planning thread's processor time that is spent outside the engines' sessions and the patches, as in `outside.py`:
what binds an engine's arrays, frame pairs and the vision cache are outside. More threads do more of what is inside, so
that the share is told too high.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import random_checkpoint
from numpy.typing import NDArray
from passes import instants

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import Plan
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.kernels.reference_images import crop_and_resize
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import Arrays, Engine
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.prompt import AnswerIds, answer_ids

REFERENCE = random_checkpoint.REFERENCE
PLAN_EVERY = 5
"""Pictures from one plan to the next: 0.5 s."""
WARM_UP = 4
"""Plans that are made and not counted: the first half of them fill the vision cache."""
AIMS = {"transformers": 4.0, "openvino": 2.0}
"""How many times faster than a peer as its users run it a plan is to be."""


class Peer(Protocol):
    """Another runtime with the same checkpoint."""

    description: str

    def timed(
        self, pictures: dict[str, list[NDArray[np.uint8]]], ids: Sequence[int], forced: Sequence[int]
    ) -> tuple[float, float]:
        """Wall and CPU time in ms of answering after `ids` with as many tokens as `forced` has.

        `pictures`: per camera, at the model's size. A peer that can be made to says `forced`, each token chosen from
        that step's logits.
        """

    def close(self) -> None:
        """End it."""


@dataclass(frozen=True, eq=False)
class Instant:
    """What a plan is made from, and what it is to say."""

    frames: FrameSet
    ego: EgoState
    command: str
    actions: tuple[int, ...]


@dataclass
class Candidate:
    """Somebody who makes plans; `plan` returns stage times in ms, if it has them."""

    name: str
    plan: Callable[[Instant], dict[str, float]]
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    passes: list[float] = field(default_factory=list)
    outside: list[float] = field(default_factory=list)

    def measure(self, instant: Instant, counted: bool) -> None:
        """One plan."""
        start, cpu = time.perf_counter(), time.process_time()
        told = self.plan(instant)
        wall_ms, cpu_ms = (time.perf_counter() - start) * 1e3, (time.process_time() - cpu) * 1e3
        if counted:
            self.wall_ms.append(told.get("wall", wall_ms))
            self.cpu_ms.append(told.get("cpu", cpu_ms))
            self.passes.append(told["passes"])
            if "outside" in told:
                self.outside.append(told["outside"])

    def report(self) -> dict[str, Any]:
        """Medians."""
        return {
            "candidate": self.name,
            "plans": len(self.wall_ms),
            "wall_ms_median": round(statistics.median(self.wall_ms), 2),
            "cpu_ms_median": round(statistics.median(self.cpu_ms), 2),
            "passes_mean": round(statistics.mean(self.passes), 2),
            "outside_share_median": round(statistics.median(self.outside), 3) if self.outside else None,
        }


class Stopwatch:
    """Processor time of the calling thread inside the methods it was put around, of which none calls another."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def put_around(self, owner: object, name: str) -> None:
        """Time every call of this method of this object."""
        work = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401  (whatever `work` takes and gives)
            begin = time.thread_time()
            try:
                return work(*arguments, **named)
            finally:
                self.seconds += time.thread_time() - begin

        setattr(owner, name, timed)


class WatchedEngine:
    """An engine which can be made to say an answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.ids: tuple[int, ...] = ()
        self.start = 0

    @property
    def executions(self) -> int:
        """See `Engine`."""
        return self._engine.executions

    def run(self, inputs: Arrays, outputs: Arrays) -> None:
        """See `Engine.run`; the answer's action k is what position `start` + k - 1 leads to."""
        self._engine.run(inputs, outputs)
        if self.ids:
            past = len(inputs["past_key_0"])
            for row, logits in zip(inputs["rows"], outputs["logits"], strict=True):
                step = past + int(row) + 1 - self.start
                if 0 <= step < len(self.ids):
                    logits[self.ids[step]] = 1e6


def ours(name: str, bundle: Bundle, threads: int, forced: bool, **options: bool) -> Candidate:
    """Our runtime on one bundle."""
    planner = Planner(bundle, threads, **options)
    inside = Stopwatch()
    for engine in (planner.language._engine, *planner.vision._engines.values()):
        inside.put_around(engine._session, "run_with_iobinding")  # type: ignore[attr-defined]
    inside.put_around(planner.vision._maker, "write")
    language = WatchedEngine(planner.language._engine)
    planner.language._engine = language
    answer, first = answer_of(planner), bundle.manifest.actions.first_id

    def plan(instant: Instant) -> dict[str, float]:
        if forced:
            prompt = planner.prompt.write(instant.ego, instant.command)
            language.start = len(prompt.ids) + len(answer.fast_prefix)
            language.ids = tuple(first + action for action in instant.actions)
        begin, before = time.thread_time(), inside.seconds
        result = planner.plan(instant.frames, instant.ego, instant.command, 1)
        whole = time.thread_time() - begin
        if not isinstance(result, Plan) or result.action_tokens != instant.actions:
            raise SystemExit(f"{name}: the plan is {result!r}, expected the actions {instant.actions}")
        outside = 1.0 - (inside.seconds - before) / whole
        return {"passes": result.passes.prefill + result.passes.decode, "outside": outside}

    return Candidate(name, plan)


def answer_of(planner: Planner) -> AnswerIds:
    """The fixed parts of a planner's answers."""
    return answer_ids(planner.bundle.template, planner._tokenizer, planner.bundle.manifest.actions)


def of_peer(name: str, peer: Peer, planner: Planner) -> Iterator[Candidate]:
    """A peer's two rows."""
    bundle, answer = planner.bundle, answer_of(planner)
    suffix = planner._tokenizer.encode(bundle.template.answer.answer_suffix)
    resized: dict[int, dict[str, list[NDArray[np.uint8]]]] = {}

    def pictures(instant: Instant) -> dict[str, list[NDArray[np.uint8]]]:
        if instant.frames.stamp_ns not in resized:
            resized.clear()
            resized[instant.frames.stamp_ns] = {
                camera.role: [
                    crop_and_resize(np.asarray(picture), camera.crop, camera.width, camera.height)
                    for picture in instant.frames.images[camera.role]
                ]
                for camera in bundle.manifest.cameras
            }
        return resized[instant.frames.stamp_ns]

    def plan(instant: Instant, *, prefixed: bool) -> dict[str, float]:
        ready = pictures(instant)
        ids = planner.prompt.write(instant.ego, instant.command).ids.tolist()
        actions = tuple(bundle.manifest.actions.first_id + action for action in instant.actions)
        said = actions if prefixed else (*answer.fast_prefix, *actions, *suffix)
        given = [*ids, *answer.fast_prefix] if prefixed else ids
        wall, spent = peer.timed(ready, given, said)
        return {"wall": wall, "cpu": spent, "passes": float(len(said))}

    yield Candidate(f"{name}, as its users run it", lambda instant: plan(instant, prefixed=False))
    yield Candidate(f"{name}, same forced prefix", lambda instant: plan(instant, prefixed=True))


def drive(reference: Bundle, seed: int, count: int) -> list[Instant]:
    """Instants of a drive at which the reference checkpoint has a fast plan, with that plan's actions."""
    planner, found = Planner(reference), []
    for number, (frames, ego, command) in enumerate(
        instants(reference.cameras, "quiet_road", seed, 2 * PLAN_EVERY * (count + WARM_UP))
    ):
        if number % PLAN_EVERY == 0 and len(found) < count + WARM_UP:
            plan = planner.plan(frames, ego, command, number)
            if isinstance(plan, Plan):
                found.append(Instant(frames, ego, command, plan.action_tokens))
    return found


def compare(candidates: list[Candidate], met: list[Instant]) -> list[dict[str, Any]]:
    """Measure all candidates at all instants, in turning order."""
    for number, instant in enumerate(met):
        turn = number % len(candidates)
        for candidate in (*candidates[turn:], *candidates[:turn]):
            candidate.measure(instant, counted=number >= WARM_UP)
    return [candidate.report() for candidate in candidates]


def main() -> int:
    """Export, drive, plan with everybody, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="transformers", help="comma-separated: transformers, openvino")
    parser.add_argument(
        "--openvino-python", default=sys.executable, help="interpreter with openvino-genai and optimum-intel"
    )
    parser.add_argument("--checkpoints", default="reference,random", help="comma-separated: reference, random")
    parser.add_argument("--plans", type=int, default=10)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    peers = [name for name in arguments.peers.split(",") if name]
    results: dict[str, Any] = {}
    described: dict[str, str] = {}
    opened: list[Peer] = []
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        reference = Bundle.open(export_bundle(REFERENCE, Path(folder) / "reference-int8", precision="int8"))
        met = drive(reference, arguments.seed, arguments.plans)
        for name in arguments.checkpoints.split(","):
            checkpoint = REFERENCE if name == "reference" else random_checkpoint.write(Path(folder) / name)
            bundles = {
                precision: Bundle.open(
                    export_bundle(
                        checkpoint, Path(folder) / f"{name}-{precision}-own", precision=precision, unjudged=True
                    )
                )
                for precision in ("int8", "fp32")
            }
            candidates = [
                ours(f"ours, int8{word}", bundles["int8"], arguments.threads, name == "random", **off)
                for word, off in (
                    ("", {}),
                    (", no look-ahead", {"look_ahead": False}),
                    (", no prefix cache", {"prefix_cache": False}),
                    (", no vision cache", {"vision_cache": False}),
                )
            ]
            # Forced: other numbers may choose another action at a near tie.
            candidates.append(ours("ours, fp32", bundles["fp32"], arguments.threads, forced=True))
            writer = Planner(bundles["fp32"])
            for peer_name in peers:
                peer = make_peer(
                    peer_name, checkpoint, bundles["fp32"], Path(folder) / f"{name}-{peer_name}", arguments
                )
                opened.append(peer)
                described[peer_name] = peer.description
                candidates += of_peer(peer_name, peer, writer)
            rows = compare(candidates, met)
            while opened:
                opened.pop().close()
            results[name] = {
                "prompt_tokens": len(writer.prompt.write(met[0].ego, met[0].command).ids),
                "rows": rows,
                "ratios": ratios(rows),
                "wall_ratios": ratios(rows, "wall_ms_median"),
            }
    protocol = {
        "plans": len(met) - WARM_UP,
        "warm_up": WARM_UP,
        "threads": arguments.threads,
        "peers": described,
        "onnxruntime": version("onnxruntime"),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average": os.getloadavg(),
    }
    if arguments.json:
        sys.stdout.write(json.dumps({"protocol": protocol, "results": results}, indent=2) + "\n")
    else:
        print_table(protocol, results)
    return 0


def make_peer(name: str, checkpoint: Path, bundle: Bundle, folder: Path, arguments: argparse.Namespace) -> Peer:
    """Load a peer."""
    if name == "transformers":
        from peers.transformers_peer import TransformersPeer

        return TransformersPeer(checkpoint, bundle, arguments.threads)
    if name == "openvino":
        from peers.openvino_peer import OpenVinoPeer

        folder.mkdir()
        return OpenVinoPeer(checkpoint, bundle, folder, arguments.openvino_python)
    raise SystemExit(f"--peers: {name!r} is unknown; known: {', '.join(AIMS)}")


def ratios(rows: list[dict[str, Any]], time_of: str = "cpu_ms_median") -> dict[str, float]:
    """CPU time, of all threads, of each row over that of our INT8 plan; or another of the rows' times."""
    base = next(row[time_of] for row in rows if row["candidate"] == "ours, int8")
    return {row["candidate"]: round(row[time_of] / base, 2) for row in rows}


def print_table(protocol: dict[str, Any], results: dict[str, Any]) -> None:
    """One line a candidate."""
    out = sys.stdout.write
    out(json.dumps(protocol) + "\n")
    for name, result in results.items():
        out(f"{name} checkpoint, {result['prompt_tokens']} prompt tokens\n")
        words = ("CPU ms", "to ours", "wall ms", "to ours", "passes", "outside")
        out(f"  {'':38}" + "".join(f"{word:>10}" for word in words) + "\n")
        for row in result["rows"]:
            who, outside = row["candidate"], row["outside_share_median"]
            out(f"  {who:38}{row['cpu_ms_median']:10.2f}{result['ratios'][who]:10.2f}")
            out(f"{row['wall_ms_median']:10.2f}{result['wall_ratios'][who]:10.2f}{row['passes_mean']:10.2f}")
            out("\n" if outside is None else f"{outside:10.1%}\n")
    for peer in protocol["peers"]:
        for name, result in results.items():
            who = f"{peer}, as its users run it"
            cpu, wall = result["ratios"][who], result["wall_ratios"][who]
            out(f"{name}: {peer} as run {cpu:.2f} x ours in CPU time, {wall:.2f} x in wall time")
            out(f" (aim {AIMS[peer]:.0f})\n")


if __name__ == "__main__":
    sys.exit(main())
