"""Observe a checkpoint's activations on real scenes and keep their ranges beside it, for INT8 exports.

python -m onboard_vla.calibration.observe world/reference --scenes work/calibration_scenes.npz
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.export.activation_ranges import ActivationRanges, save_ranges
from onboard_vla.export.kept_arrays import OnDisk
from onboard_vla.export.large_calibration import observe_in_pieces
from onboard_vla.export.scenes import load_scenes
from onboard_vla.export.source import Source


def observe_checkpoint(checkpoint: Path, scenes: Path) -> Path:
    """Write `calibration_ranges.npz` into the checkpoint folder from a file of scenes; returns its path.

    Raises:
        CheckpointError: the checkpoint or the file of scenes is not valid.
    """
    source = Source.open(checkpoint)
    if not source.large:
        loaded = load_scenes(scenes, source.assets)
        largest = source.observe(loaded, lambda _: None)
        return save_ranges(checkpoint, ActivationRanges(largest, len(loaded), scenes.name))
    # Beside the checkpoint: /tmp may lie in memory, of which this is to take little.
    with tempfile.TemporaryDirectory(prefix=".observe-", dir=checkpoint) as folder:
        scratch, table = Path(folder), Path(folder) / "embeddings.npy"
        loaded = load_scenes(scenes, source.assets, OnDisk(scratch / "scenes"))
        source.checkpoint.save_embedding(table)
        embedding = np.load(table, mmap_mode="r", allow_pickle=False)
        largest, errors = observe_in_pieces(source, loaded, scratch, embedding, lambda _: lambda _: None)
    return save_ranges(checkpoint, ActivationRanges(largest, len(loaded), scenes.name, errors))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0 when the ranges are written."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.calibration.observe", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder")
    parser.add_argument("--scenes", type=Path, required=True, help="file of scenes, such as world.train leaves")
    options = parser.parse_args(arguments)
    try:
        path = observe_checkpoint(options.checkpoint, options.scenes)
    except OnboardVlaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    print(path)  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
