"""Before anything is driven: does the vehicle have every camera that the bundle's model looks through?"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import ConfigurationError


def require_cameras(bundle: Path, supplied: Iterable[str]) -> None:
    """Hold the bundle's cameras against the vehicle's.

    Args:
        bundle: a bundle folder.
        supplied: roles of the cameras that will send pictures.

    Raises:
        ConfigurationError: one or more are not supplied; the message names each.
    """
    manifest, have = load_manifest(bundle), tuple(supplied)
    if missing := [camera.role for camera in manifest.cameras if camera.role not in have]:
        raise ConfigurationError(
            f"camera {', '.join(missing)} is missing: bundle {manifest.core_hash[:12]} needs it, the vehicle supplies "
            f"{', '.join(have)}; mount it (the world's cameras: world/rig.json) or use a checkpoint that does without"
        )
