"""Runs every kernel on fixed inputs through one library and prints a digest of all outputs; a program, for builds that
must be loaded into a process of their own (sanitizers).

    python exercise.py LIBRARY [--reverse] [--distances]
    python exercise.py FATBIN --pycuda
"""

from __future__ import annotations

import atexit
import hashlib
import sys
from pathlib import Path

import numpy as np

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
from onboard_vla.kernels.distances import DistanceCall
from onboard_vla.kernels.host_library import HostLibrary
from onboard_vla.kernels.images import ROW, PatchKernel, PictureLayout
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.kernels.numpy_distances import KnownEmbeddings
from onboard_vla.kernels.reference_images import normalisation_table


def outputs(library: KernelForm, reverse: bool) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    found: list[np.ndarray] = []
    table = normalisation_table((0.48, 0.46, 0.41), (0.27, 0.26, 0.28))
    for width, height, pixel_format in ((120, 90, "rgb8"), (84, 56, "nv12"), (60, 130, "uyvy")):
        layout = PictureLayout(width, height, (0, 0, width, height), 56, 28, pixel_format)
        pair = tuple(rng.integers(0, 256, layout.shape, np.uint8) for _ in range(2))
        kernel = PatchKernel(library, [layout, layout], table)
        for dtype in (np.float32, np.float16):
            out = np.empty((kernel.rows, ROW), dtype)
            kernel.point_at([pair, (pair[0], pair[0])], out)
            library.run("patches", kernel.arguments, kernel.rows, reverse=reverse)
            found.append(out.copy())
            kernel.run([pair, (pair[0], pair[0])], out)
            found.append(out)
    ends = rng.uniform([-5, -4], [15, 4], (2048, 2)).astype(np.float32)
    for vocabulary, dtype, scale in ((2101, np.float16, 1.0), (2048, np.float32, 12.0)):
        flat = (scale * rng.standard_normal(5 * vocabulary + 1)).astype(dtype)
        logits = flat[1:].reshape(5, vocabulary)
        allowed, seen = rng.random(2048) < 0.8, rng.random((5, 2048)) < 0.1
        first = vocabulary - 2048
        for sampling in (Sampling(), Sampling(1.2, 1.5, 1.3, seed=3, step=9)):
            found.append(action_statistics(library, logits, first, ends, sampling, allowed, seen, reverse=reverse))
        chosen = np.flatnonzero(allowed)[rng.integers(0, allowed.sum(), 5)]
        wide = Sampling(link_m=3.0, grouped_mass=0.999)
        found.append(action_statistics(library, logits, first, ends, wide, allowed, None, chosen, reverse=reverse))
    steps = np.cumsum(rng.uniform([0, -0.1, -0.05], [2, 0.1, 0.05], (2048, 5, 3)), axis=1)
    made = compose(library, rng.integers(0, 2048, (40, 10)).astype(np.int32), codebook_table(steps), reverse=reverse)
    spread = dispersion(library, made.poses, MotionLimits(0.5, 5, 30, 3, 6, 8.4, 0.95, 4, 0.3), reverse=reverse)
    boxes = rng.uniform([0, -5, 1, 0, 0.5, 0.5, -3, -3], [40, 5, 1, 0, 3, 1, 3, 3], (20, 8)).astype(np.float32)
    contact = first_contacts(library, made.fine, boxes, Rectangle(2.4, 1, 1.4, 0.3), 0.1, reverse=reverse)
    found += [made.poses, made.fine, *contact, np.array(spread.medoid)]
    found += [spread.mean, spread.covariance, spread.pairwise, spread.mean_distance, spread.flags]
    return found


def camera_distances(library: HostLibrary) -> list[np.ndarray]:
    """What the host alone computes; of a width that fills registers, and of one that does not."""
    rng = np.random.default_rng(1)
    found = []
    for width, directions in ((192, 32), (37, 5)):
        tables = [(3, width), (3, directions, width), (3, directions), (3,), (3,)]
        known = KnownEmbeddings(*(rng.uniform(0.1, 1.0, shape).astype(np.float32) for shape in tables))
        pairs = [rng.standard_normal((tokens, width)).astype(np.float32) for tokens in (28, 1, 40, 7)]
        call = DistanceCall(library, known, (2, None, 0, 1), [len(pair) for pair in pairs])
        found += [np.array(call(pairs)), call.pooled]
    return found


def through_pycuda(fat_binary: Path) -> KernelForm:
    from onboard_vla.kernels.device_form import DeviceForm
    from onboard_vla.kernels.launch import FatBinary, GpuKernels
    from onboard_vla.kernels.launch_pycuda import PycudaDevice

    device = PycudaDevice()
    atexit.register(device.close)  # pycuda ends the process with an error where a context is left on its stack
    return DeviceForm(GpuKernels(device, FatBinary.read(fat_binary)))


def main() -> None:
    digest = hashlib.sha256()
    form = through_pycuda(Path(sys.argv[1])) if "--pycuda" in sys.argv else HostLibrary(Path(sys.argv[1]))
    found = outputs(form, "--reverse" in sys.argv)
    if "--distances" in sys.argv and isinstance(form, HostLibrary):
        found += camera_distances(form)
    for array in found:
        digest.update(np.ascontiguousarray(array).tobytes())
    sys.stdout.write(digest.hexdigest() + "\n")


if __name__ == "__main__":
    main()
