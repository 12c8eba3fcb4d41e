"""The camera rig: six calibrated cameras, read from `rig.json`."""

from __future__ import annotations

from pathlib import Path

from onboard_vla.core.camera_rig import read_rig
from onboard_vla.core.cameras import CameraCalibration

RIG_FILE = Path(__file__).with_name("rig.json")


def default_rig(
    width: int | None = None, height: int | None = None, file: Path | None = None
) -> dict[str, CameraCalibration]:
    """The world's six cameras, in the order of `core.cameras.CAMERAS`.

    Args:
        width: picture width in pixels; the file's own where None. The field of view stays.
        height: picture height in pixels; the file's own where None.
        file: another rig in the form of rig.json.

    Raises:
        ConfigurationError: the file is no rig.
    """
    return read_rig(file or RIG_FILE, width, height)
