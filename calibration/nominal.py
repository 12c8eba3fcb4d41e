"""Make a checkpoint's references from nominal drives: vision's statistics, and the signals that drift is judged by.

python -m onboard_vla.calibration.nominal world/reference --drives work/drives.npz

Both files go into the checkpoint's folder; exports in the precision that was driven take them into the bundle's core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from onboard_vla.calibration.drift_reference import drift_document, drift_reference
from onboard_vla.calibration.nominal_drives import load_drives
from onboard_vla.calibration.vision_reference import fit_references
from onboard_vla.core.errors import ConfigurationError, OnboardVlaError
from onboard_vla.core.thresholds import check_drift_reference
from onboard_vla.export.activation_ranges import fingerprint
from onboard_vla.export.references import DRIFT_FILE, VISION_FILE
from onboard_vla.runtime.vision_reference import save_reference


def write_references(checkpoint: Path, drives_file: Path) -> tuple[Path, Path]:
    """Write both files into the checkpoint's folder; returns their paths.

    Raises:
        ConfigurationError: the drives are of another checkpoint, or too few.
        BundleError: too few blocks for a drift reference.
    """
    drives, made_for, precision = load_drives(drives_file)
    if made_for != (found := fingerprint(checkpoint)):
        raise ConfigurationError(
            f"{drives_file} was driven with a checkpoint of sha256 {made_for}, {checkpoint} has {found}: drive again "
            "(python -m onboard_vla.app.nominal_drives)"
        )
    references, distances = fit_references(drives)
    reference = drift_reference(drives, distances)
    check_drift_reference(reference.blocks, reference.tolerance)
    scenes = f"{len(drives)} nominal drives, {drives[0].scene_id} to {drives[-1].scene_id}"
    note = {"fingerprint": made_for, "precision": precision, "scenes_from": scenes}
    vision, drift = checkpoint / VISION_FILE, checkpoint / DRIFT_FILE
    save_reference(vision, references, note)
    drift.write_text(drift_document(reference, note), encoding="utf-8")
    return vision, drift


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; exit status 0 when both files are written."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.calibration.nominal", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder")
    parser.add_argument("--drives", type=Path, required=True, help="file that onboard_vla.app.nominal_drives wrote")
    options = parser.parse_args(arguments)
    try:
        for path in write_references(options.checkpoint, options.drives):
            print(path)  # noqa: T201
    except OnboardVlaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
