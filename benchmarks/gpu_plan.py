"""A plan on a GPU: AutoVLA-3B's real dimensions on ONNX Runtime CUDA, beside `transformers` and the memory's floor.

    python benchmarks/gpu_plan.py --json > docs/measurements/gpu_plan.json      # needs a GPU, onnxruntime-gpu and torch
    python benchmarks/gpu_plan.py --dry-run --json                              # the same on the processor, tiny

**No GPU has run this yet.** Protocol: weights are random, distinct in every layer; the checkpoint is made and exported
here, in half precision; pictures are noise of twice the model's size. A plan every 0.5 s of pictures (half of the frame
pairs were seen before). Everybody is made to say the same random answer, token by token: no guesses ahead. Slow answers
have `--reasoning` tokens of text. Medians over `--plans` after two that are not counted; ours from pictures to the
finished plan, the peer's from pictures at the model's size to the last token of the whole answer, and with the fast
prefix given. A decode pass's floor is the time that the bytes of its weights and cache take at the copying rate
measured on the device; other stages' floors come from graphs' counts, as in `onboard-vla roofline`.

Without a GPU, or without a CUDA provider, one line and status 3; aims missed are status 1 (not in a dry run).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import export_3b
import gpu_plan_parts as parts
import numpy as np

from onboard_vla.app.roofline.devices import ENDLESS, HALF, Device
from onboard_vla.app.roofline.floors import StageFloor, floors
from onboard_vla.app.roofline.of_bundle import graphs_of, sizes_of
from onboard_vla.app.roofline.probe import probe
from onboard_vla.app.roofline.stages import costs
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.plan import FAST, SLOW
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.kernels.launch_driver import DriverDevice
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import CPU, CUDA
from onboard_vla.runtime.engine_choice import engine_loader
from onboard_vla.runtime.planner import Planner

FORMAT = 1
MISSED, NO_GPU = 1, 3
"""Exit statuses."""
AIMS = {"times_faster_than_eager": 3.0, "share_of_decode_floor": 0.6}
WARM_UP = 2
ROLES = (*export_3b.ROLES, "back", "back_left", "back_right")
PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "torch", "transformers")


def main() -> int:
    """Make, export, plan, compare, print."""
    arguments = options()
    try:
        device = None if arguments.dry_run else DriverDevice()
        report = run(arguments, device)
    except EnvironmentLacksError as error:
        sys.stderr.write(f"gpu_plan: {error}\n")
        return NO_GPU
    if arguments.json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        parts.print_table(report)
    return MISSED if not arguments.dry_run and not all(row["within_aims"] for row in report["rows"]) else 0


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="on the processor, with a tiny checkpoint")
    parser.add_argument("--cameras", default="3,6", help="comma-separated counts")
    parser.add_argument("--plans", type=int, default=10)
    parser.add_argument("--reasoning", type=int, default=100, help="tokens of a slow answer's text")
    parser.add_argument("--peers", default="eager,compiled", help="of transformers, comma-separated; empty for none")
    parser.add_argument("--folder", type=Path, help="where checkpoints and bundles go; a temporary one if not given")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    return parser.parse_args()


def run(arguments: argparse.Namespace, device: DriverDevice | None) -> dict[str, Any]:
    """The report."""
    counts = [int(text) for text in arguments.cameras.split(",")]
    machine = probe() if device is None else measured_device(device)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="ovla-gpu-", dir=arguments.folder) as folder:
        for count in counts:
            checkpoint, bundle = prepare(Path(folder), count, arguments.dry_run)
            rows += measure(bundle, checkpoint, device, machine, arguments)
    return {
        "format": FORMAT,
        "dry_run": device is None,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "device": {
            "name": machine.name,
            "capability": None if device is None else list(device.capability),
            "driver_cuda": None if device is None else list(device.driver_cuda),
            "copy_bytes_per_s": machine.bandwidths[-1][1],
            "float_per_s": machine.float_per_s,
        },
        "protocol": {"plans": arguments.plans, "warm_up": WARM_UP, "reasoning": arguments.reasoning},
        "versions": {name: _version(name) for name in PACKAGES},
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine(), "load_average": os.getloadavg()},
        "aims": AIMS,
        "rows": rows,
    }


def prepare(folder: Path, cameras: int, tiny: bool) -> tuple[Path, Bundle]:
    """A checkpoint with that many cameras, and its bundle."""
    checkpoint = folder / f"checkpoint-{cameras}"
    config = parts.TINY if tiny else export_3b.CONFIG
    layers, blocks = config["num_hidden_layers"], config["vision_config"]["depth"]
    export_3b.make_checkpoint(checkpoint, layers, blocks, config, ROLES[:cameras])
    precision = "fp32" if tiny else "fp16"
    bundle = export_bundle(checkpoint, folder / f"bundle-{cameras}", precision=precision, unjudged=True)
    return checkpoint, Bundle.open(bundle)


def measure(
    bundle: Bundle, checkpoint: Path, device: DriverDevice | None, machine: Device, arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    """Fast and slow plans on one bundle, and the peers' answers."""
    load = engine_loader(CPU if device is None else CUDA, bundle, open_device=lambda: device)
    planner = Planner(bundle, load=load, look_ahead=False)
    teacher, drive = parts.Teacher(planner), parts.Drive(bundle)
    rows, said = [], {}
    for depth in (FAST, SLOW):
        plans, times = [], []
        rng = np.random.default_rng(0)
        for number in range(WARM_UP + arguments.plans):
            frames = drive.frames(number)
            said[depth] = teacher.choose(depth, arguments.reasoning, rng)
            plan, passes = teacher.plan(frames, number, depth)
            if number >= WARM_UP:
                plans.append(plan)
                times += passes
        rows.append(row_of(bundle, planner, plans, times, machine, depth))
    for name in [name for name in arguments.peers.split(",") if name]:
        compare(name, bundle, checkpoint, planner, drive, said, rows, arguments)
    for row in rows:
        eager = row["transformers_ms"].get("eager", {}).get("whole_answer")
        row["times_faster_than_eager"] = None if eager is None else eager / row["total_ms"]
        found = {name: row[name] for name in AIMS}
        row["within_aims"] = all(value is not None and value >= AIMS[name] for name, value in found.items())
    return rows


def row_of(
    bundle: Bundle, planner: Planner, plans: list[Any], passes: list[float], machine: Device, depth: str
) -> dict[str, Any]:
    """Medians of one depth, with floors."""
    cameras = len(bundle.cameras)
    sizes = sizes_of(bundle, cameras, parts.source_of(bundle))
    counted = costs(sizes, *graphs_of(bundle), cold=False)
    stages = {name: statistics.median(plan.stage_ms[name] for plan in plans) for name in plans[0].stage_ms}
    bounds: dict[str, StageFloor] = {stage.stage: stage for stage in floors(counted, machine, None)}
    decode_ms, floor_ms = statistics.median(passes) * 1e3, parts.decode_floor_ms(planner, machine)
    engine = planner.language._engine
    return {
        "cameras": cameras,
        "depth": depth,
        "prompt_tokens": sizes.prompt,
        "stage_ms": stages,
        "total_ms": stages["total"],
        "floors_ms": {name: bound.floor_ms for name, bound in bounds.items()},
        "passes": statistics.mean(plan.passes.prefill + plan.passes.decode for plan in plans),
        "decode_pass_ms": decode_ms,
        "decode_floor_ms": floor_ms,
        "share_of_decode_floor": floor_ms / decode_ms,
        "graphs_captured": getattr(engine, "graphs", False),
        "not_captured": getattr(engine, "not_captured", "an engine without graphs"),
        "kernels": planner.kernels.name,
        "transformers_ms": {},
    }


def compare(
    name: str,
    bundle: Bundle,
    checkpoint: Path,
    planner: Planner,
    drive: parts.Drive,
    said: dict[str, parts.Answer],
    rows: list[dict[str, Any]],
    arguments: argparse.Namespace,
) -> None:
    """One way of running `transformers`, noted in the rows; what fails is noted as the reason and not as a time."""
    from peers.transformers_peer import TransformersPeer

    try:
        where = "cpu" if arguments.dry_run else "cuda"
        peer = TransformersPeer(checkpoint, bundle, 1, where, compiled=name == "compiled")
        for row in rows:
            answer = said[row["depth"]]
            prompt = planner.prompt.write(parts.EGO, parts.COMMAND).ids.tolist()
            whole, given = [*answer.prefix, *answer.said, *answer.suffix], [*prompt, *answer.prefix]
            times: dict[str, list[float]] = {"whole_answer": [], "same_prefix": []}
            for number in range(WARM_UP + arguments.plans):
                pictures = drive.at_model_size(number)
                for kind, ids, forced in (("whole_answer", prompt, whole), ("same_prefix", given, answer.said)):
                    times[kind].append(peer.timed(pictures, ids, forced)[0])
            row["transformers_ms"][name] = {
                "description": peer.description,
                **{kind: statistics.median(found[WARM_UP:]) for kind, found in times.items()},
            }
    except Exception as error:  # a compiler or a kernel that another's library lacks is no reason to lose our figures
        for row in rows:
            row["transformers_ms"].setdefault(name, {"failed": f"{type(error).__name__}: {str(error)[:300]}"})


def measured_device(device: DriverDevice) -> Device:
    """The GPU with its measured rates: copying in its memory, and half-precision products by torch."""
    import torch

    rate = parts.copy_bytes_per_s(device)
    a, b = (torch.randn(8192, 8192, dtype=torch.float16, device="cuda") for _ in range(2))
    for _ in range(3):
        a @ b
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(10):
        a @ b
    torch.cuda.synchronize()
    floats = 10 * 2 * 8192**3 / (time.perf_counter() - start)
    return Device("gpu", device.name, ((ENDLESS, rate),), 2 * floats, floats, HALF, "measured here", (), measured=True)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
