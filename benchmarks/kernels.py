"""Kernels on the processor against NumPy, torch and transformers' Pillow processor, with equal threads.

Compared: the host library with the NumPy form of the same kernel, with plain torch, and for patches with
`Qwen2VLImageProcessorPil`, whose pictures are spread over as many threads (Pillow frees the interpreter lock while it
resizes). Protocol: in each repetition every variant runs once, in turn, so that all see the same load; wall time and
CPU time of the whole process by median; calls include argument checks and ctypes. Ratios are of wall time, those of CPU
time stand beside them: on a busy machine they are the ones to compare. Patches are compared to the bit first, the other
results within 1e-4. Variants whose package is not installed are left out and named.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.kernels.actions import (
    MotionLimits,
    Rectangle,
    Sampling,
    action_statistics,
    codebook_table,
    compose,
    dispersion,
    first_contacts,
)
from onboard_vla.kernels.forms import kernel_form
from onboard_vla.kernels.host_library import HostLibrary
from onboard_vla.kernels.images import ROW, PatchKernel, PictureLayout
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.kernels.reference_images import normalisation_table

CAMERAS, WIDTH, HEIGHT, OUT_WIDTH, OUT_HEIGHT = 6, 1600, 900, 420, 224
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
ACTIONS, TOKENS, STEPS, BOXES = 2048, 10, 50, 64
PIXELS = 109_760
"""Pixels that transformers is asked for, as AutoVLA's configuration does; makes 420x224 of a 1600x900 picture."""
CLOSE = 1e-4
ALIKE = Sampling(grouped_mass=0.0)
"""What torch computes, too."""
Call = Callable[[], Any]


def patches(forms: dict[str, KernelForm], threads: int) -> dict[str, Call]:
    """Six frames, each a pair with itself, as the processor makes of single pictures."""
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(CAMERAS)]
    layout = PictureLayout(WIDTH, HEIGHT, (0, 0, WIDTH, HEIGHT), OUT_WIDTH, OUT_HEIGHT)
    calls: dict[str, Call] = {}
    for name, form in forms.items():
        kernel = PatchKernel(form, [layout] * CAMERAS, normalisation_table(MEAN, STD))
        out = np.empty((kernel.rows, ROW), np.float32)

        calls[name] = partial(_patches_of, kernel, pictures, out, threads)
    try:
        from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
    except ImportError:
        return calls
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": PIXELS, "longest_edge": PIXELS})
    pool = ThreadPoolExecutor(threads)
    share = -(-CAMERAS // threads)
    parts = [pictures[i : i + share] for i in range(0, CAMERAS, share)]

    def processed() -> NDArray[np.float32]:
        made = pool.map(lambda part: processor(part, return_tensors="np")["pixel_values"], parts)
        return np.concatenate(list(made))

    calls["PIL processor"] = processed
    return calls


def statistics_of(
    rows: int, sampling: Sampling, *, by_torch_too: bool = True
) -> Callable[[dict[str, KernelForm], int], dict[str, Call]]:
    """Kernel 1 on the action rows of K samples; torch knows no groups of motions."""

    def case(forms: dict[str, KernelForm], _: int) -> dict[str, Call]:
        rng = np.random.default_rng(1)
        logits = (4 * rng.standard_normal((rows, ACTIONS))).astype(np.float32)
        ends = np.asfortranarray(rng.uniform([-5, -4], [15, 4], (ACTIONS, 2)), np.float32)
        calls: dict[str, Call] = {
            name: lambda form=form: action_statistics(form, logits, 0, ends, sampling)["spread_m"]
            for name, form in forms.items()
        }
        torch = _torch() if by_torch_too else None
        if torch is not None:
            heat = sampling.temperature
            given, points = torch.from_numpy(logits), torch.from_numpy(ends)

            def by_torch() -> tuple[object, ...]:
                logs = torch.log_softmax(given, -1)
                p = logs.exp()
                top = given.topk(8)
                offsets = points[None] - points[top.indices[:, 0]][:, None]
                mean = torch.einsum("ra,rac->rc", p, offsets)
                spread = (torch.einsum("ra,rac->r", p, offsets**2) - (mean**2).sum(-1)).sqrt()
                near = (p * ((offsets**2).sum(-1) <= 0.09)).sum(-1)
                if heat > 0.0:
                    torch.multinomial(torch.softmax(given / heat, -1), 1)
                return spread.numpy(), -(p * logs).sum(-1), top.values[:, 0] - top.values[:, 1], near

            calls["torch"] = lambda: by_torch()[0]
        return calls

    return case


def composed(samples: int) -> Callable[[dict[str, KernelForm], int], dict[str, Call]]:
    """Kernel 2, ten tokens of five steps each."""

    def case(forms: dict[str, KernelForm], _: int) -> dict[str, Call]:
        rng = np.random.default_rng(2)
        table = codebook_table(np.cumsum(rng.uniform([0, -0.1, -0.02], [2, 0.1, 0.02], (ACTIONS, 5, 3)), axis=1))
        tokens = rng.integers(0, ACTIONS, (samples, TOKENS)).astype(np.int32)
        calls: dict[str, Call] = {
            name: lambda form=form: compose(form, tokens, table).fine[..., :2] for name, form in forms.items()
        }
        torch = _torch()
        if torch is not None:
            book, given = torch.from_numpy(table), torch.from_numpy(tokens).long()

            def by_torch() -> NDArray[np.float32]:
                steps = book[given]
                heading = torch.cumsum(steps[:, :, -1, 2], 1) - steps[:, :, -1, 2]
                c, s = heading.cos()[..., None], heading.sin()[..., None]
                x, y = c * steps[..., 0] - s * steps[..., 1], s * steps[..., 0] + c * steps[..., 1]
                start_x = torch.cumsum(x[..., -1], 1) - x[..., -1]
                start_y = torch.cumsum(y[..., -1], 1) - y[..., -1]
                fine = torch.stack([x + start_x[..., None], y + start_y[..., None]], -1)
                return fine.reshape(samples, -1, 2).numpy()

            calls["torch"] = by_torch
        return calls

    return case


def spread(forms: dict[str, KernelForm], _: int) -> dict[str, Call]:
    """Kernel 3 on 64 samples."""
    poses = np.cumsum(np.random.default_rng(3).uniform(0, 2, (64, TOKENS, 3)), axis=1).astype(np.float32)
    limits = MotionLimits(0.5, 5, 30, 3, 6, 8.4, 0.95, 4, 0.3)
    return {name: lambda form=form: dispersion(form, poses, limits).pairwise for name, form in forms.items()}


def contacts(forms: dict[str, KernelForm], _: int) -> dict[str, Call]:
    """Kernel 4 on 64 candidates, 50 poses and 64 boxes that none of them meets."""
    rng = np.random.default_rng(4)
    fine = np.zeros((64, STEPS, 5), np.float32)
    fine[..., 0], fine[..., 3] = np.arange(STEPS), 1
    boxes = rng.uniform([0, 20, 1, 0, 0.5, 0.5, -3, 0], [40, 50, 1, 0, 3, 1, 3, 3], (BOXES, 8)).astype(np.float32)
    vehicle = Rectangle(2.4, 1, 1.4, 0.3)
    return {name: lambda form=form: first_contacts(form, fine, boxes, vehicle, 0.1)[0] for name, form in forms.items()}


def _patches_of(
    kernel: PatchKernel, pictures: list[NDArray[np.uint8]], out: NDArray[np.float32], threads: int
) -> NDArray[np.float32]:
    kernel.run([(picture, picture) for picture in pictures], out, threads)
    return out


def _torch() -> ModuleType | None:
    try:
        import torch
    except ImportError:
        return None
    return torch


CASES: dict[str, tuple[Callable[[dict[str, KernelForm], int], dict[str, Call]], int]] = {
    f"patches, {CAMERAS} x {WIDTH}x{HEIGHT} to {OUT_WIDTH}x{OUT_HEIGHT}": (patches, 1),
    "statistics, K=1": (statistics_of(1, ALIKE), 50),
    "statistics, K=16": (statistics_of(16, ALIKE), 10),
    "statistics and a draw each, K=16": (statistics_of(16, replace(ALIKE, temperature=1.0)), 10),
    "statistics and groups of motions, K=10": (statistics_of(10, Sampling(), by_torch_too=False), 10),
    "trajectories, K=1": (composed(1), 50),
    "trajectories, K=64": (composed(64), 10),
    "dispersion, K=64": (spread, 5),
    "footprints, K=64, 64 boxes": (contacts, 5),
}
"""Cases and how many calls one timing takes together."""


def agree(name: str, calls: dict[str, Call]) -> None:
    """Every variant gives what the host library gives; patches to the bit."""
    wanted = np.asarray(calls["host"]()).copy()
    for variant, call in calls.items():
        found = np.asarray(call())
        close = np.array_equal(found, wanted) if "patches" in name else np.allclose(found, wanted, atol=CLOSE)
        if not close:
            sys.exit(f"benchmark: {name}: {variant} differs from the host library; nothing was timed")


def measure(calls: dict[str, Call], repetitions: int, together: int) -> dict[str, dict[str, float]]:
    """Medians in microseconds."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for repetition in range(repetitions + 2):
        for name, call in calls.items():
            cpu, wall = time.process_time(), time.perf_counter()
            for _ in range(together):
                call()
            taken = time.perf_counter() - wall, time.process_time() - cpu
            if repetition >= 2:
                times[name].append((taken[0] * 1e6 / together, taken[1] * 1e6 / together))
    return {
        name: {"wall_us": statistics.median(w for w, _ in taken), "cpu_us": statistics.median(c for _, c in taken)}
        for name, taken in times.items()
    }


def report(name: str, found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Print one case and give its figures with ratios to the host library."""
    host = found["host"]
    ratios = {n: {k: f[k] / host[k] for k in ("wall_us", "cpu_us")} for n, f in found.items() if n != "host"}
    sys.stdout.write(f"{name}\n")
    for variant, figures in found.items():
        ratio = ratios.get(variant)
        beside = f"{ratio['wall_us']:8.2f}x wall {ratio['cpu_us']:8.2f}x CPU of the host library" if ratio else ""
        sys.stdout.write(f"  {variant:16}{figures['wall_us']:12.1f} us wall{figures['cpu_us']:12.1f} us CPU {beside}\n")
    return {"medians": found, "ratios_to_host": ratios}


def main() -> int:
    """Compare, time, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2, help="for patches; everything else takes one")
    parser.add_argument("--repetitions", type=int, default=15)
    parser.add_argument("--library", type=Path, help="a host library; the installed one if not given")
    parser.add_argument("--json", type=Path, nargs="?", default=None, const=Path("out/benchmark_kernels.json"))
    arguments = parser.parse_args()
    host = HostLibrary(arguments.library) if arguments.library else kernel_form("host")
    torch = _torch()
    if torch is not None:
        torch.set_num_threads(1)
    protocol = {
        "threads_for_patches": arguments.threads,
        "repetitions": arguments.repetitions,
        "warm_up_repetitions": 2,
        "versions": {name: _version(name) for name in ("numpy", "pillow", "torch", "transformers")},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average_before": os.getloadavg(),
    }
    results = {}
    for name, (make, together) in CASES.items():
        calls = make({"host": host, "NumPy": kernel_form("numpy")}, arguments.threads)
        agree(name, calls)
        results[name] = report(name, measure(calls, arguments.repetitions, together))
    protocol["load_average_after"] = os.getloadavg()
    sys.stdout.write(json.dumps(protocol) + "\n")
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"protocol": protocol, "results": results}, indent=2) + "\n")
        sys.stdout.write(f"written: {arguments.json}\n")
    return 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed: left out"


if __name__ == "__main__":
    sys.exit(main())
