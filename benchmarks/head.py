"""What a head of the actions alone gains: `export --action-head` and the planner's option `actions_alone`.

A pass ends in the head: logits of every token of the vocabulary, of which 2,048 are actions. With the option the first
pass of a plan computes all of them, for the fork and the first action, and the passes behind it the actions' alone.

Measured, processor time of one thread, on the runtime's engine, INT8, the three in alternation: a decode pass with
--rows tokens behind a prompt, of a bundle without such a head, of one that has it and computes the whole head, and of
the same with the actions alone. The reference checkpoint, 42 million random weights, and the same with AutoVLA's
153,713 rows. Projected, from the roofline's floors: AutoVLA-3B. Per cent are of the language model's passes (measured:
a prefill, then decode passes, the prompt's first text known) and of the whole plan's floor (projected).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import random_checkpoint
from numpy.typing import NDArray
from result import show

from onboard_vla.app.roofline import autovla
from onboard_vla.app.roofline.devices import device_of
from onboard_vla.app.roofline.floors import PlanFloor, floors
from onboard_vla.app.roofline.of_bundle import sizes_of
from onboard_vla.app.roofline.report import MODEL_PRECISIONS
from onboard_vla.app.roofline.stages import DECODE, HEAD, PREFILL_ROWS, costs
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import OnnxEngine, StandingArrays
from onboard_vla.runtime.kv_cache import KvCache
from onboard_vla.runtime.language_model import causal_bias

ACTIONS, AUTOVLA_ROWS = 2048, autovla.MODEL.text.vocabulary_size
"""AutoVLA: its codebook, and its vocabulary grown by that."""
PICTURE = (448, 252)
DEVICES = ("agx-orin-64", "h200")
TIMES = 60
Work = Callable[[], None]


def a_pass(bundle: Bundle, new: int, past: int, rows: int, *, alone: bool = False) -> Work:
    """Something to do again and again: a pass whose last `rows` tokens' logits are wanted, or their actions' alone."""
    engine = OnnxEngine(bundle.path / bundle.manifest.language_graph)
    text, rng = bundle.manifest.model.text, np.random.default_rng(0)
    cache = KvCache(text.layers, past + new, text.kv_heads, text.head_dim)
    cache.advance(past)
    wanted, none = np.arange(new - rows, new), np.empty(0, np.int64)
    inputs: dict[str, NDArray[Any]] = {
        "embeds": rng.standard_normal((new, text.hidden_size), np.float32),
        "cos": rng.standard_normal((new, text.head_dim), np.float32),
        "sin": rng.standard_normal((new, text.head_dim), np.float32),
        "bias": causal_bias(past, new),
        **({"rows": none, "action_rows": wanted} if alone else {"rows": wanted}),
        **cache.past(),
    }
    name, columns = ("action_logits", ACTIONS) if alone else ("logits", text.vocabulary_size)
    given = StandingArrays(inputs)
    taken = StandingArrays({name: np.empty((rows, columns), np.float32), **cache.room(new)})
    return lambda: engine.run(given, taken)


def medians_ms(works: dict[str, Work]) -> dict[str, float]:
    """Processor time of each, in alternation."""
    spent: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(TIMES + 1):
        for name, work in works.items():
            start = time.thread_time()
            work()
            if turn:
                spent[name].append(time.thread_time() - start)
    return {name: statistics.median(times) * 1e3 for name, times in spent.items()}


def measured(checkpoint: Path, folder: Path, passes: int, rows: int) -> dict[str, object]:
    """Of a checkpoint, exported with and without the head."""
    without, having = (
        Bundle.open(
            export_bundle(
                checkpoint, folder / str(head), precision="int8", fallbacks=(), unjudged=True, action_head=head
            )
        )
        for head in (False, True)
    )
    assert having.manifest.actions.count == ACTIONS
    sizes = sizes_of(having, len(having.cameras), PICTURE)
    past = sizes.prompt + sizes.forced
    found = medians_ms(
        {
            "without such a head": a_pass(without, rows, past, rows),
            "the whole head": a_pass(having, rows, past, rows),
            "the actions alone": a_pass(having, rows, past, rows, alone=True),
            "prefill": a_pass(having, *sizes.prefill(cold=False), PREFILL_ROWS),
        }
    )
    prefill, whole, alone = found.pop("prefill"), found["the whole head"], found["the actions alone"]
    graph = having.manifest.language_graph
    more = having.manifest.files[graph].bytes - without.manifest.files[graph].bytes
    return {
        "decode_pass_ms": {name: round(ms, 3) for name, ms in found.items()},
        "bundle_kb_more": round(more / 1e3),
        **gain(whole - alone, passes, prefill + (passes - 1) * whole),
    }


def projected(precision: str, device: str, cameras: int, passes: int) -> dict[str, object]:
    """AutoVLA-3B: a head's time is its share of the weights, for it is bound by memory."""
    size = autovla.autovla(cameras, PICTURE)
    steady = floors(costs(size, *autovla.graphs(precision), cold=False), device_of(device), None)
    plan = PlanFloor(autovla.NAME, precision, device_of(device), size, passes, steady, steady)
    stages = {one.stage: one.floor_ms for one in steady}
    saved = stages[HEAD] * (1 - ACTIONS / AUTOVLA_ROWS)
    return {
        "decode_pass_ms": round(stages[DECODE], 3),
        "head_ms": round(stages[HEAD], 3),
        **gain(saved, passes, plan.floor_ms),
    }


def gain(saved_ms: float, passes: int, plan_ms: float) -> dict[str, object]:
    """Of a plan, every pass of which but the first saves so much."""
    saved = (passes - 1) * saved_ms
    return {"plan_ms": round(plan_ms, 2), "gain": f"{saved:.2f} ms, {saved / plan_ms:.1%}"}


def main() -> int:
    """Export, time, project, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--passes", type=int, default=4, help="of the language model in a fast plan, prefill included")
    parser.add_argument("--rows", type=int, default=8, help="tokens of a decode pass, guesses included")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    passes, rows = arguments.passes, arguments.rows
    result: dict[str, object] = {"passes": passes, "rows": rows}
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        found = Path(folder)
        checkpoints = {
            "reference": random_checkpoint.REFERENCE,
            "42 M random": random_checkpoint.write(found / "random"),
            "42 M random, AutoVLA's vocabulary": random_checkpoint.write(found / "wide", vocabulary=AUTOVLA_ROWS),
        }
        for number, (name, checkpoint) in enumerate(checkpoints.items()):
            result[name] = measured(checkpoint, found / f"bundles-{number}", passes, rows)
    for device in DEVICES:
        for precision in MODEL_PRECISIONS:
            for cameras in autovla.CAMERAS:
                name = f"{autovla.NAME} {precision}, {cameras} cameras, {device}: PROJECTION"
                result[name] = projected(precision, device, cameras, passes)
    show(result, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
