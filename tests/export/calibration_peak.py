"""`python calibration_peak.py CHECKPOINT SCENES FOLDER COUNT...`: largest memory of a calibration on so many scenes.

A process of its own: Python's trace of memory counts what every thread takes, of other tests, too.
"""

from __future__ import annotations

import sys
import tracemalloc
from pathlib import Path

import numpy as np

from onboard_vla.export import source
from onboard_vla.export.bundle_writer import export_bundle


class ObservedError(Exception):
    """Ranges have been observed; what follows is not measured."""


def peak(checkpoint: Path, scenes: Path, folder: Path, count: int) -> int:
    """Largest number of bytes allocated while ranges are observed on `count` scenes, those of `scenes` repeated."""
    with np.load(scenes) as archive:
        arrays = {name: np.resize(archive[name], (count, *archive[name].shape[1:])) for name in archive.files}
    file = folder / f"{count}.npz"
    np.savez(file, **arrays)
    del arrays
    peaks = []

    def watch(stage: str, share: float) -> None:
        if stage == "smooth":
            raise ObservedError
        if stage.startswith("calibrate"):
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.reset_peak()

    tracemalloc.start()
    try:
        export_bundle(checkpoint, folder / f"out{count}", progress=watch, calibration_scenes=file, unjudged=True)
    except ObservedError:
        return max(peaks[1:])  # the first holds what was before
    finally:
        tracemalloc.stop()
    raise AssertionError("nothing was smoothed")


if __name__ == "__main__":
    source.LARGE_WEIGHTS = 0  # taken for one that is larger than memory
    checkpoint, scenes, folder = map(Path, sys.argv[1:4])
    for count in map(int, sys.argv[4:]):
        sys.stdout.write(f"{peak(checkpoint, scenes, folder, count)}\n")
