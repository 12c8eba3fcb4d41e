"""Before anything is driven: does the vehicle have every camera that the bundle's model looks through?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.cameras import CameraCalibration
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.runtime.camera_shapes import same_shape, stated_sizes


def require_cameras(bundle: Path, supplied: Mapping[str, CameraCalibration]) -> None:
    """Hold the bundle's cameras against the vehicle's.

    Args:
        bundle: a bundle folder.
        supplied: the cameras that will send pictures, by role.

    Raises:
        ConfigurationError: one or more are not supplied, or their pictures have another shape than the bundle states;
            the message names each.
    """
    manifest = load_manifest(bundle)
    if missing := [camera.role for camera in manifest.cameras if camera.role not in supplied]:
        raise ConfigurationError(
            f"camera {', '.join(missing)} is missing: bundle {manifest.core_hash[:12]} needs it, the vehicle supplies "
            f"{', '.join(supplied)}; mount it (the world's cameras: world/rig.json) or use a checkpoint that does "
            "without"
        )
    for role, wanted in stated_sizes(manifest.cameras).items():
        found = supplied[role].width, supplied[role].height
        if not same_shape(found, wanted):
            raise ConfigurationError(
                f"camera {role} sends {found[0]}x{found[1]}: bundle {manifest.core_hash[:12]} takes pictures of the "
                f"shape of {wanted[0]}x{wanted[1]}; use one for this camera (the world's cameras: world/rig.json)"
            )
