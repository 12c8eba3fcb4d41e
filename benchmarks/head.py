"""What a head of the actions alone would gain: the vocabulary's share of a pass, and two ways to do without it.

A pass ends in the head: logits of every token of the vocabulary, of which 2,048 are actions. Two ways to compute fewer:

* `actions_alone`: nothing else is ever computed. Another token that wins is not seen, nor the mass outside the actions.
* `rest_once`: passes compute the actions' logits; the rest of the vocabulary is computed once, for the fork and all
  actions, before anything is made of them. Every refusal and every signal is what it is now; the head's weights are
  read once a plan instead of once a pass.

Measured, processor time of one thread, on the runtime's engine, INT8: the passes of a fast plan (a prefill, then decode
passes with --rows tokens, the prompt's first text known), and heads of these sizes and precision by themselves: the
reference checkpoint, 42 million random weights, and the same with AutoVLA's 153,713 rows (body and head added up).
Projected, from the roofline's floors: AutoVLA-3B. Per cent are of the language model's passes (measured) and of the
whole plan's floor (projected).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import random_checkpoint
from result import show

from onboard_vla.app.roofline import autovla
from onboard_vla.app.roofline.devices import device_of
from onboard_vla.app.roofline.floors import PlanFloor, floors
from onboard_vla.app.roofline.measured import StageTimes
from onboard_vla.app.roofline.of_bundle import sizes_of
from onboard_vla.app.roofline.report import MODEL_PRECISIONS
from onboard_vla.app.roofline.stages import DECODE, HEAD, costs
from onboard_vla.app.roofline.timing import median_s
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.product_graph import product_graph
from onboard_vla.export.weights import HEAD_MULTIPLE
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import OnnxEngine

ACTIONS, AUTOVLA_ROWS = 2048, autovla.MODEL.text.vocabulary_size
"""AutoVLA: its codebook, and its vocabulary grown by that."""
PICTURE = (448, 252)
DEVICES = ("agx-orin-64", "h200")


def head_ms(width: int, vocabulary: int, rows: int) -> float:
    """A head by itself, INT8."""
    columns = -(-vocabulary // HEAD_MULTIPLE) * HEAD_MULTIPLE
    engine = OnnxEngine(product_graph(rows, width, columns, int8=True).SerializeToString())
    x = np.random.default_rng(0).standard_normal((1, rows, width), np.float32)
    y = np.empty((1, rows, columns), np.float32)
    return median_s(lambda: engine.run({"x": x}, {"y": y})) * 1e3


def measured(bundle: Bundle, vocabulary: int, passes: int, rows: int) -> dict[str, object]:
    """Of a bundle's body under a head of `vocabulary` rows."""
    text, actions = bundle.manifest.model.text, bundle.manifest.actions
    sizes, times = sizes_of(bundle, len(bundle.cameras), PICTURE), StageTimes(bundle)
    new, past = sizes.prefill(cold=False)
    own, whole = (head_ms(text.hidden_size, count, rows) for count in (text.vocabulary_size, vocabulary))
    prefill = times._pass(new, past, rows) * 1e3 - own + whole
    decode = times._pass(rows, sizes.prompt + sizes.forced, rows) * 1e3 - own + whole
    few = head_ms(text.hidden_size, actions.count, rows)
    rest = head_ms(text.hidden_size, vocabulary - actions.count, actions.per_answer + 1)
    return {
        "decode_pass_ms": round(decode, 3),
        "head_ms": round(whole, 3),
        "head_of_decode_pass": round(whole / decode, 3),
        **gains(whole, few, rest, passes, prefill + (passes - 1) * decode),
    }


def projected(precision: str, device: str, cameras: int, passes: int) -> dict[str, object]:
    """AutoVLA-3B: a head's time is its share of the weights, for it is bound by memory."""
    size = autovla.autovla(cameras, PICTURE)
    steady = floors(costs(size, *autovla.graphs(precision), cold=False), device_of(device), None)
    plan = PlanFloor(autovla.NAME, precision, device_of(device), size, passes, steady, steady)
    stages = {one.stage: one.floor_ms for one in steady}
    whole, share = stages[HEAD], ACTIONS / AUTOVLA_ROWS
    return {
        "decode_pass_ms": round(stages[DECODE], 3),
        "head_ms": round(whole, 3),
        "head_of_decode_pass": round(whole / stages[DECODE], 3),
        **gains(whole, whole * share, whole * (1 - share), passes, plan.floor_ms),
    }


def gains(whole: float, few: float, rest: float, passes: int, plan_ms: float) -> dict[str, object]:
    """Of both ways, in ms a plan and of `plan_ms`."""
    alone = passes * (whole - few)
    return {
        "plan_ms": round(plan_ms, 2),
        "actions_alone": f"{alone:.2f} ms, {alone / plan_ms:.1%}",
        "rest_once": f"{alone - rest:.2f} ms, {(alone - rest) / plan_ms:.1%}",
    }


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
        reference = Bundle.open(export_bundle(random_checkpoint.REFERENCE, found / "reference", precision="int8"))
        checkpoint = random_checkpoint.write(found / "random")
        random = Bundle.open(export_bundle(checkpoint, found / "random-int8", precision="int8", unjudged=True))
        for name, bundle in (("reference", reference), ("42 M random", random)):
            result[name] = measured(bundle, bundle.manifest.model.text.vocabulary_size, passes, rows)
        result["42 M random, AutoVLA's vocabulary"] = measured(random, AUTOVLA_ROWS, passes, rows)
    for device in DEVICES:
        for precision in MODEL_PRECISIONS:
            for cameras in autovla.CAMERAS:
                name = f"{autovla.NAME} {precision}, {cameras} cameras, {device}: PROJECTION"
                result[name] = projected(precision, device, cameras, passes)
    show(result, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
