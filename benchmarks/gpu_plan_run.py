"""The parts of `gpu_plan.py` one after the other, each noted in the report as soon as it is done."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import statistics
import tempfile
import time
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import export_3b_checkpoint as export_3b
import gpu_plan_parts as parts
import numpy as np

from onboard_vla.app.roofline.devices import ENDLESS, HALF, Device
from onboard_vla.app.roofline.floors import floors
from onboard_vla.app.roofline.of_bundle import graphs_of, sizes_of
from onboard_vla.app.roofline.probe import probe
from onboard_vla.app.roofline.stages import costs
from onboard_vla.core.plan import FAST, SLOW, Plan
from onboard_vla.core.whole_file import write_whole
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.kernels.launch_driver import DriverDevice
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import CPU, CUDA
from onboard_vla.runtime.engine_choice import engine_loader
from onboard_vla.runtime.planner import Planner

FORMAT = 2
AIMS = {"times_faster_than_eager": 3.0, "share_of_decode_floor": 0.6}
WARM_UP = 2
PACKAGES = ("numpy", "onnxruntime", "onnxruntime-gpu", "torch", "transformers")
DRIVER = Path("/proc/driver/nvidia/version")

Row = dict[str, Any]


class Report:
    """What was measured so far, in memory and in a file.

    `left_out`: parts that failed or were not begun, and why.
    """

    def __init__(self, header: dict[str, Any], out: Path | None, seconds: float) -> None:
        self._out, self._end_s = out, time.monotonic() + seconds
        self.content = {**header, "rows": [], "left_out": {}}
        if out is not None and out.is_file():
            before = json.loads(out.read_text(encoding="utf-8"))
            if all(before.get(name) == header[name] for name in ("format", "device", "versions", "protocol")):
                self.content["rows"] = before["rows"]

    def row(self, cameras: int, depth: str) -> Row | None:
        """What was measured of these plans."""
        found = [row for row in self.content["rows"] if (row["cameras"], row["depth"]) == (cameras, depth)]
        return found[0] if found else None

    def note(self, row: Row) -> None:
        """Have a row, in place of an older one of the same plans; judged by what is known."""
        eager = row["transformers_ms"].get("eager", {}).get("whole_answer")
        row["times_faster_than_eager"] = None if eager is None else eager / row["total_ms"]
        found = {name: row[name] for name in AIMS}
        row["within_aims"] = all(value is not None and value >= AIMS[name] for name, value in found.items())
        others = [
            one for one in self.content["rows"] if (one["cameras"], one["depth"]) != (row["cameras"], row["depth"])
        ]
        self.content["rows"] = sorted([*others, row], key=lambda one: (one["cameras"], one["depth"]))
        self.write()

    def part(self, name: str, work: Any) -> None:  # noqa: ANN401  (a function without arguments)
        """Do a part if there is time; what fails is no reason to lose the others."""
        if time.monotonic() > self._end_s:
            self.content["left_out"][name] = "not begun: out of time"
        else:
            try:
                work()
            except Exception as error:  # a compiler or a kernel that another's library lacks, memory, anything
                self.content["left_out"][name] = f"{type(error).__name__}: {str(error)[:500]}"
        self.write()

    def write(self) -> None:
        """To the file, whole or not at all."""
        if self._out is not None:
            write_whole(self._out, json.dumps(self.content, indent=2) + "\n")


def run(arguments: argparse.Namespace, device: DriverDevice | None) -> dict[str, Any]:
    """The report."""
    counts = [int(text) for text in arguments.cameras.split(",")]
    machine = probe() if device is None else measured_device(device)
    report = Report(header_of(arguments, device, machine), arguments.out, arguments.seconds)
    if arguments.folder is not None:
        arguments.folder.mkdir(parents=True, exist_ok=True)
    temporary = tempfile.TemporaryDirectory(prefix="ovla-gpu-") if arguments.folder is None else None
    with temporary or nullcontext(arguments.folder) as folder:
        checkpoint, bundle = prepare(Path(folder), tiny=device is None)
        load = engine_loader(CPU if device is None else CUDA, bundle, open_device=lambda: device)
        planner = Planner(bundle, load=load, look_ahead=False)
        bench = parts.Bench(planner, parts.Teacher(planner), parts.Drive(bundle))
        for count in counts:
            for depth in (FAST, SLOW):
                report.part(
                    f"{count} cameras, {depth}",
                    lambda c=count, d=depth: report.note(measured(bench, machine, c, d, arguments)),
                )
        for name in [name for name in arguments.peers.split(",") if name]:
            report.part(name, lambda n=name: compare(n, checkpoint, bench, counts, report, arguments))
    return report.content


def header_of(arguments: argparse.Namespace, device: DriverDevice | None, machine: Device) -> dict[str, Any]:
    """What a report is about."""
    return {
        "format": FORMAT,
        "dry_run": device is None,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "device": {
            "name": machine.name,
            "capability": None if device is None else list(device.capability),
            "driver_cuda": None if device is None else list(device.driver_cuda),
            "driver": DRIVER.read_text(encoding="utf-8").splitlines()[0] if DRIVER.is_file() else None,
        },
        "copy_bytes_per_s": machine.bandwidths[-1][1],
        "float_per_s": machine.float_per_s,
        "protocol": {"plans": arguments.plans, "warm_up": WARM_UP, "reasoning": arguments.reasoning},
        "versions": {name: _version(name) for name in PACKAGES},
        "machine": {"cpus": os.cpu_count(), "processor": platform.machine(), "load_average": os.getloadavg()},
        "aims": AIMS,
    }


def prepare(folder: Path, *, tiny: bool) -> tuple[Path, Bundle]:
    """A checkpoint with six cameras, three of which may be left out, and its bundle; made once in a folder."""
    checkpoint, out = folder / "checkpoint", folder / "bundle"
    if not (checkpoint / "done").is_file():
        config = parts.TINY if tiny else export_3b.CONFIG
        layers, blocks = config["num_hidden_layers"], config["vision_config"]["depth"]
        export_3b.make_checkpoint(checkpoint, layers, blocks, config, parts.ROLES)
        parts.let_cameras_go(checkpoint)
    if not (out / "manifest.json").is_file():
        export_bundle(checkpoint, out, precision="fp32" if tiny else "fp16", unjudged=True)
    return checkpoint, Bundle.open(out)


def measured(bench: parts.Bench, machine: Device, cameras: int, depth: str, arguments: argparse.Namespace) -> Row:
    """Medians of one depth with the first cameras, with floors."""
    plans: list[Plan] = []
    passes: list[float] = []
    rng = np.random.default_rng(0)
    for number in range(WARM_UP + arguments.plans):
        bench.said[cameras, depth] = bench.teacher.choose(depth, arguments.reasoning, rng)
        plan, took = bench.teacher.plan(bench.drive.frames(number, cameras), number, depth)
        if number >= WARM_UP:
            plans.append(plan)
            passes += took
    planner, bundle = bench.planner, bench.planner.bundle
    sizes = sizes_of(bundle, cameras, parts.source_of(bundle))
    bounds = {stage.stage: stage for stage in floors(costs(sizes, *graphs_of(bundle), cold=False), machine, None)}
    stages = {name: statistics.median(plan.stage_ms[name] for plan in plans) for name in plans[0].stage_ms}
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
    checkpoint: Path,
    bench: parts.Bench,
    counts: list[int],
    report: Report,
    arguments: argparse.Namespace,
) -> None:
    """One way of running `transformers`, noted in the rows that there are."""
    from peers.transformers_peer import TransformersPeer

    where = "cpu" if arguments.dry_run else "cuda"
    peer = TransformersPeer(checkpoint, bench.planner.bundle, 1, where, compiled=name == "compiled")
    for cameras in counts:
        for depth in (FAST, SLOW):
            row, answer = report.row(cameras, depth), bench.said.get((cameras, depth))
            if row is None or answer is None:
                continue
            shown = parts.ROLES[:cameras]
            prompt = bench.planner.prompt.write(parts.EGO, parts.COMMAND, shown).ids.tolist()
            whole, given = [*answer.prefix, *answer.said, *answer.suffix], [*prompt, *answer.prefix]
            times: dict[str, list[float]] = {"whole_answer": [], "same_prefix": []}
            for number in range(WARM_UP + arguments.plans):
                pictures = bench.drive.at_model_size(number, cameras)
                for kind, ids, forced in (("whole_answer", prompt, whole), ("same_prefix", given, answer.said)):
                    times[kind].append(peer.timed(pictures, ids, forced)[0])
            row["transformers_ms"][name] = {
                "description": peer.description,
                **{kind: statistics.median(found[WARM_UP:]) for kind, found in times.items()},
            }
            report.note(row)


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
