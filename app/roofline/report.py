"""What the command works out, and its JSON."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard_vla.app.roofline import autovla
from onboard_vla.app.roofline.devices import THIS, Device, device_of
from onboard_vla.app.roofline.floors import (
    TARGETS_MS,
    USUAL_BANDWIDTH,
    USUAL_COMPUTE,
    PlanFloor,
    StageFloor,
    floors,
)
from onboard_vla.app.roofline.measured import StageTimes
from onboard_vla.app.roofline.of_bundle import graphs_of, sizes_of
from onboard_vla.app.roofline.probe import probe
from onboard_vla.app.roofline.stages import PlanSizes, costs
from onboard_vla.export.quantisation import INT8, W4A16
from onboard_vla.runtime.bundle import Bundle

FORMAT = 1
"""Version of the JSON document."""
MODEL_PRECISIONS = (INT8, W4A16, "fp16")
"""Of the projections. w4a16: the language model's weights in four bits, computed in fp16, all else INT8. fp16: float
layers at two bytes; not projected for a processor, whose floats have four."""

ASSUMPTIONS = (
    "bytes: every constant and input of a graph read once, every output written once; nothing else, no launches",
    "operations: those of matrix products, without sparsity; attention runs in float, INT8 layers in INT8",
    f"rates that are usual: {USUAL_BANDWIDTH:.0%} of the bandwidth and {USUAL_COMPUTE:.0%} of the products' peak, as "
    "published runs reach on AGX Orin; INT8 products taken at the same share, which nobody has published there",
    "steady state: one new pair of pictures per camera, all else of vision known; the prompt's first text is known",
    "w4a16: prefill at the float rate; unpacking the weights costs nothing",
    "a decode step carries one token; guesses that ride along read the same weights",
    "the head is part of the decode step; every pass computes the logits of the whole vocabulary",
    "patches: their bytes alone, the integer work of the resize is held against no peak",
    "nothing outside the stages is counted: no transport, no decoding of compressed pictures, no host's work",
)


@dataclass(frozen=True)
class Request:
    """What to work out. `source`: width and height of cameras' pictures; `passes`: of the language model, in a plan."""

    bundle: Path
    devices: tuple[str, ...]
    cameras: tuple[int, ...]
    source: tuple[int, int]
    passes: int


@dataclass(frozen=True)
class Roofline:
    """The result. `assumptions`: all of them, AutoVLA's last."""

    request: Request
    core_hash: str
    devices: tuple[Device, ...]
    plans: tuple[PlanFloor, ...]
    assumptions: tuple[str, ...]
    load_average: tuple[float, float, float]


def work_out(request: Request) -> Roofline:
    """Count, probe, measure.

    Raises:
        BundleError: the bundle cannot be opened or its graphs not be counted.
        ConfigurationError: a machine that is not known, or more cameras than the bundle has.
    """
    named = [device_of(key) for key in request.devices if key != THIS]
    bundle = Bundle.open(request.bundle)
    counts = request.cameras or (len(bundle.cameras),)
    sizes = [sizes_of(bundle, count, request.source) for count in counts]
    devices = ([probe()] if THIS in request.devices else []) + named
    plans = _of_bundle(bundle, sizes, devices, request)
    plans += [plan for precision in MODEL_PRECISIONS for plan in _of_autovla(precision, devices, request)]
    passes = (
        f"{request.passes} passes of the language model in a fast plan; guesses make it 4.7 in the mean on the "
        "reference checkpoint in the rhythm of the planner's defaults, about 4 at ten plans a second "
        "(benchmarks/passes.py), 10 is one token a pass, how many AutoVLA's weights would need is not known"
    )
    width, height = request.source
    pictures = f"cameras' pictures have {width} x {height} pixels of three bytes"
    assumptions = (*ASSUMPTIONS, passes, pictures, *(f"{autovla.NAME}: {text}" for text in autovla.ASSUMPTIONS))
    return Roofline(request, bundle.core_hash, tuple(devices), tuple(plans), assumptions, os.getloadavg())


def _of_bundle(
    bundle: Bundle, sizes: Sequence[PlanSizes], devices: Sequence[Device], request: Request
) -> list[PlanFloor]:
    vision, language = graphs_of(bundle)
    times = StageTimes(bundle) if any(device.measured for device in devices) else None
    found = []
    for size in sizes:
        steady, cold = (costs(size, vision, language, cold=state) for state in (False, True))
        for device in devices:
            run = times.median_s if times is not None and device.measured else None
            found.append(
                PlanFloor(
                    model=f"bundle {bundle.core_hash[:12]}",
                    precision=bundle.precision,
                    device=device,
                    sizes=size,
                    passes=request.passes,
                    steady=floors(steady, device, None if run is None else run(size, cold=False)),
                    cold=floors(cold, device, None if run is None else run(size, cold=True)),
                )
            )
    return found


def _of_autovla(precision: str, devices: Sequence[Device], request: Request) -> list[PlanFloor]:
    vision, language = autovla.graphs(precision)
    found = []
    for count in autovla.CAMERAS:
        size = autovla.autovla(count, request.source)
        steady, cold = (costs(size, vision, language, cold=state) for state in (False, True))
        for device in devices:
            if precision != "fp16" or not device.measured:
                found.append(
                    PlanFloor(
                        model=autovla.NAME,
                        precision=precision,
                        device=device,
                        sizes=size,
                        passes=request.passes,
                        steady=floors(steady, device, None),
                        cold=floors(cold, device, None),
                    )
                )
    return found


def document(result: Roofline) -> dict[str, Any]:
    """The JSON document."""
    return {
        "format": FORMAT,
        "bundle": {"path": str(result.request.bundle), "core_hash": result.core_hash},
        "targets_ms": list(TARGETS_MS),
        "usual_shares": {"bandwidth": USUAL_BANDWIDTH, "compute": USUAL_COMPUTE},
        "assumptions": list(result.assumptions),
        "load_average": list(result.load_average),
        "devices": [_device(device) for device in result.devices],
        "plans": [_plan(plan) for plan in result.plans],
    }


def _device(device: Device) -> dict[str, Any]:
    fields = dataclasses.asdict(device)
    fields["bandwidths"] = [
        {"working_set_bytes": None if size == float("inf") else size, "bytes_per_s": rate}
        for size, rate in device.bandwidths
    ]
    return fields


def _plan(plan: PlanFloor) -> dict[str, Any]:
    return {
        "model": plan.model,
        "precision": plan.precision,
        "device": plan.device.key,
        "kind": plan.kind,
        "cameras": plan.sizes.cameras,
        "prompt_tokens": plan.sizes.prompt,
        "passes": plan.passes,
        "floor_ms": plan.floor_ms,
        "cold_floor_ms": plan.cold_floor_ms,
        "expected_ms": plan.expected_ms,
        "verdicts": {f"{target:g}": plan.verdict(target) for target in TARGETS_MS},
        "stages": [_stage(stage) for stage in plan.steady],
        "cold_stages": [_stage(stage) for stage in plan.cold],
    }


def _stage(stage: StageFloor) -> dict[str, Any]:
    return {
        **dataclasses.asdict(stage),
        "floor_ms": stage.floor_ms,
        "bound": stage.bound,
        "over_floor": stage.over_floor,
    }
