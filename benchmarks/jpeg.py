"""Decoding camera JPEGs: time per picture of the libraries, and what a reduced decode costs in accuracy.

    python benchmarks/jpeg.py [--json out/benchmark_jpeg.json]

Pictures are 1600 x 900, drawn by the world's renderer, once as they are and once with sensor noise (sigma 6). Times are
processor time of one thread, median and largest of n. Accuracy is the mean absolute difference in grey levels at the
model's input size (56 x 56) of (decoded smaller, then resized) against (decoded whole, then resized), beside what the
compression itself costs there. OpenCV is compared where it is installed; the project does not use it.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onboard_vla.kernels.reference_images import crop_and_resize
from onboard_vla.runtime.jpeg import FACTORS, QUALITY, decode_jpeg, encode_jpeg
from onboard_vla.world.profiles import PROFILES
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.world import World

SIZE = (1600, 900)
NOISE_SIGMA = 6.0
MODEL_SIZE = (56, 56)
REPETITIONS = 50


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    pictures = pictures_of_the_world()
    report = {name: measured(image) for name, image in pictures.items()}
    load = os.getloadavg()[0]
    out(f"{SIZE[0]}x{SIZE[1]}, quality {QUALITY}, 4:2:0, n = {REPETITIONS}, load average {load:.1f}")
    for name, rows in report.items():
        out(f"{name}: {rows.pop('kilobytes')} kB")
        for what, row in rows.items():
            out(f"  {what:24} " + ", ".join(f"{key} {value}" for key, value in row.items()))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"load_average": load, "pictures": report}, indent=2) + "\n")
    return 0


def out(line: str) -> None:
    """One line on standard output."""
    sys.stdout.write(line + "\n")


def pictures_of_the_world() -> dict[str, NDArray[np.uint8]]:
    """One clean and one noisy front picture."""
    clean = Renderer(default_rig(*SIZE)).render(World(7, next(iter(PROFILES))))["front"].copy()
    noise = np.random.default_rng(0).normal(0, NOISE_SIGMA, clean.shape)
    return {"clean": clean, "noisy": np.clip(clean + noise, 0, 255).astype(np.uint8)}


def measured(image: NDArray[np.uint8]) -> dict[str, Any]:
    """Times and differences for one picture."""
    data = encode_jpeg(image).tobytes()
    rows: dict[str, Any] = {"kilobytes": len(data) // 1000}
    whole = model_sees(decode_jpeg(data))
    rows["compression itself"] = {"mean difference": difference(whole, model_sees(image))}
    for factor in FACTORS:
        row = timed(lambda factor=factor: decode_jpeg(data, factor))  # type: ignore[misc]
        row["mean difference"] = difference(model_sees(decode_jpeg(data, factor)), whole)
        rows[f"simplejpeg 1/{factor}"] = row
    rows["Pillow"] = timed(lambda: np.asarray(Image.open(io.BytesIO(data))))
    if importlib.util.find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
        file = np.frombuffer(data, np.uint8)
        rows["OpenCV"] = timed(lambda: cv2.imdecode(file, cv2.IMREAD_COLOR_RGB))
        rows["OpenCV 1/2"] = timed(lambda: cv2.imdecode(file, cv2.IMREAD_REDUCED_COLOR_2))
    return rows


def timed(work: Callable[[], object]) -> dict[str, float]:
    """Processor time in ms."""
    work()
    times = []
    for _ in range(REPETITIONS):
        begin = time.thread_time()
        work()
        times.append((time.thread_time() - begin) * 1e3)
    return {"median ms": round(statistics.median(times), 2), "max ms": round(max(times), 2)}


def model_sees(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The whole picture at a side camera's input size."""
    return crop_and_resize(image, (0.0, 0.0, 1.0, 1.0), *MODEL_SIZE)


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Mean absolute difference in grey levels."""
    return round(float(np.abs(one.astype(int) - other).mean()), 3)


if __name__ == "__main__":
    sys.exit(main())
