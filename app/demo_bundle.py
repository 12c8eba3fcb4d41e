"""The demo's bundle: exported live from the checkpoint, kept while neither checkpoint nor exporter change."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard_vla.core.bundle_manifest import sha256_of
from onboard_vla.core.errors import BundleError, CheckpointError

REFERENCE_CHECKPOINT = Path(__file__).resolve().parent.parent / "world" / "reference_checkpoint"
EXPORTER = Path(__file__).resolve().parent.parent / "export"
PRECISION = "int8"
HASH_DIGITS = 12
"""Hex digits of either hash in a cache folder's name; the checkpoint's full hash is in the report."""

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class PreparedBundle:
    """A bundle that is ready to run, and what is known about it. `bytes_by_part`: file sizes by the part they hold."""

    path: Path
    thresholds: Path
    checkpoint_hash: str
    core_hash: str
    precision: str
    precision_by_part: dict[str, str]
    bytes_by_file: dict[str, int]
    parity: dict[str, Any]
    export_s: float | None
    """Seconds that the export took; None when an earlier one was used."""

    def summary(self) -> dict[str, Any]:
        """For report and JSON; no paths."""
        return {
            "core hash": self.core_hash,
            "checkpoint hash": self.checkpoint_hash,
            "precision": self.precision,
            "size": f"{sum(self.bytes_by_file.values()) / 1e6:.1f} MB",
            "parity": self.parity,
            "thresholds": "provisional, accepted by the simulation profile alone",
        }


def checkpoint_hash(checkpoint: Path) -> str:
    """sha256 over names and contents of all files of a checkpoint folder.

    Raises:
        CheckpointError: there is no such folder, or it is empty.
    """
    files = sorted(path for path in checkpoint.rglob("*") if path.is_file()) if checkpoint.is_dir() else []
    if not files:
        raise CheckpointError(
            f"no checkpoint in {checkpoint}: pass --checkpoint FOLDER, or make one: `python -m onboard_vla.world.train`"
        )
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(checkpoint).as_posix().encode())
        digest.update(sha256_of(path).encode())
    return digest.hexdigest()


def exporter_hash() -> str:
    """sha256 over the exporter's own sources: a bundle of an older exporter is not used again."""
    digest = hashlib.sha256()
    for path in sorted(EXPORTER.glob("*.py")):
        digest.update(sha256_of(path).encode())
    return digest.hexdigest()


def prepare_bundle(checkpoint: Path, cache: Path, progress: Progress) -> PreparedBundle:
    """Export the checkpoint to INT8, or find that it has been done, and make the provisional thresholds.

    Args:
        checkpoint: a checkpoint folder.
        cache: where bundles are kept, one folder per checkpoint and exporter.
        progress: told what is going on and the share done, 0 to 1.

    Raises:
        CheckpointError: no usable checkpoint.
        BundleError: the kept bundle is damaged and cannot be replaced.
    """
    from onboard_vla.calibration.provisional import provisional_thresholds
    from onboard_vla.runtime.bundle import Bundle

    digest = checkpoint_hash(checkpoint)
    folder = cache / f"{digest[:HASH_DIGITS]}-{PRECISION}-{exporter_hash()[:HASH_DIGITS]}"
    path, export_s = folder / "bundle", None
    try:
        bundle = Bundle.open(path)
    except BundleError:
        export_s = _export(checkpoint, path, progress)
        bundle = Bundle.open(path)
    thresholds = folder / "thresholds.json"
    provisional_thresholds(bundle.core_hash, bundle.precision).save(thresholds)
    manifest = bundle.manifest
    return PreparedBundle(
        path=path,
        thresholds=thresholds,
        checkpoint_hash=digest,
        core_hash=bundle.core_hash,
        precision=bundle.precision,
        precision_by_part=dict(manifest.precision),
        bytes_by_file={name: record.bytes for name, record in manifest.files.items()},
        parity=dict(manifest.parity),
        export_s=export_s,
    )


def _export(checkpoint: Path, path: Path, progress: Progress) -> float:
    from onboard_vla.export.bundle_writer import export_bundle

    begin = time.monotonic()
    fresh = path.with_name(path.name + ".new")
    for stale in (fresh, path):
        if stale.exists():
            shutil.rmtree(stale)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    export_bundle(checkpoint, fresh, precision=PRECISION, progress=progress)
    fresh.rename(path)
    return time.monotonic() - begin
