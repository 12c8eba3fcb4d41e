"""The demo's bundle: exported live and kept while nothing that shapes it changes, or given; parity is measured now."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onboard_vla.core.errors import BundleError, CheckpointError
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.export.fingerprints import hash_of, tools_hash

if TYPE_CHECKING:
    from onboard_vla.runtime.bundle import Bundle

ROOMS = Path(__file__).resolve().parent.parent
REFERENCE_CHECKPOINT = ROOMS / "world" / "reference"
CHECKPOINT_CONFIG = "config.json"
PRECISION = "int8"
HASH_DIGITS = 12
"""Hex digits of a hash in a cache folder's name; the checkpoint's full hash is in the report."""

Progress = Callable[[str, float], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class PreparedBundle:
    """A bundle that is ready to run, and what is known about it."""

    path: Path
    thresholds: Path
    origin: str
    """Where it comes from, in words."""
    checkpoint_hash: str | None
    """None for a bundle that was given: it does not tell."""
    core_hash: str
    precision: str
    precision_by_part: dict[str, str]
    bytes_by_file: dict[str, int]
    parity: dict[str, Any]
    """What the exporter noted, each figure replaced by what was measured on this machine before this run."""
    unjudged: tuple[str, ...]
    """What nobody has judged of it; only simulation runs it then."""

    def summary(self) -> dict[str, Any]:
        """For report and JSON; no paths."""
        return {
            "core hash": self.core_hash,
            "checkpoint hash": self.checkpoint_hash or "not known: the bundle was given",
            "origin": self.origin,
            "precision": self.precision,
            "size": f"{sum(self.bytes_by_file.values()) / 1e6:.1f} MB",
            "parity, measured on this machine before the run": self.parity,
            "unjudged": "; ".join(self.unjudged) or "nothing",
            "thresholds": "provisional, accepted by the simulation profile alone",
            "thresholds' sha256": hashlib.sha256(self.thresholds.read_bytes()).hexdigest(),
        }


def checkpoint_hash(checkpoint: Path) -> str:
    """sha256 over names and contents of all files of a checkpoint folder.

    Raises:
        CheckpointError: there is no such folder, or it is no checkpoint's.
    """
    if not (checkpoint / CHECKPOINT_CONFIG).is_file():
        raise CheckpointError(
            f"no checkpoint in {checkpoint}: it has no {CHECKPOINT_CONFIG}; pass --checkpoint FOLDER as "
            "save_pretrained writes it, or make one: `onboard-vla train`"
        )
    return hash_of(sorted(path for path in checkpoint.rglob("*") if path.is_file()), checkpoint)


def prepare_bundle(
    checkpoint: Path, cache: Path, progress: Progress, say: Say, precision: str = PRECISION
) -> PreparedBundle:
    """Export the checkpoint, or take what an earlier run kept; a damaged one is named and exported again.

    Args:
        checkpoint: a checkpoint folder.
        cache: where bundles are kept, one folder per checkpoint and tools.
        progress: told what is going on and the share done, 0 to 1.
        say: takes a line for the user.
        precision: number format of the large matrices, int8 or fp32.

    Raises:
        CheckpointError: no usable checkpoint.
        BundleError: the export, or the kept bundle on this machine, is too far from the float32 model.
    """
    from onboard_vla.runtime.bundle import Bundle

    digest = checkpoint_hash(checkpoint)
    folder = cache / f"{digest[:HASH_DIGITS]}-{precision}-{tools_hash()[:HASH_DIGITS]}"
    path, origin = folder / "bundle", "kept from an earlier run"
    try:
        bundle = Bundle.open(path)
    except BundleError as error:
        if path.exists():
            say(f"the kept bundle is damaged and is exported again: {error}")
        origin = f"exported in {_export(checkpoint, path, precision, progress):.1f} s, without torch"
        bundle = Bundle.open(path)
    return _prepared(bundle, folder, origin, digest, progress)


def given_bundle(path: Path, cache: Path, progress: Progress) -> PreparedBundle:
    """Take a bundle as it is; nothing in it is changed or made again.

    Raises:
        BundleError: it is damaged, or on this machine too far from the float32 model.
    """
    from onboard_vla.runtime.bundle import Bundle

    bundle = Bundle.open(path)
    folder = cache / f"given-{bundle.core_hash[:HASH_DIGITS]}"
    return _prepared(bundle, folder, "given", None, progress)


def _prepared(bundle: Bundle, folder: Path, origin: str, digest: str | None, progress: Progress) -> PreparedBundle:
    """Measure parity on this machine, now, and make the provisional thresholds in `folder`."""
    from onboard_vla.calibration.provisional import thresholds_of
    from onboard_vla.export.parity_limits import Limits, require_parity
    from onboard_vla.export.verification import verify_bundle

    manifest = bundle.manifest
    figures = verify_bundle(bundle.path, progress=lambda share: progress("measure parity on this machine", share))
    if manifest.parity.get("limits"):  # without real golden scenes nothing can be judged
        limits = Limits.of_manifest(manifest.parity).golden
        require_parity(figures, f"bundle {bundle.core_hash[:HASH_DIGITS]}, run on this machine,", limits)
    folder.mkdir(parents=True, exist_ok=True)
    thresholds = folder / "thresholds.json"
    made = thresholds_of(bundle.path)
    if not _stand_in(thresholds, made):
        made.save(thresholds)
    return PreparedBundle(
        path=bundle.path,
        thresholds=thresholds,
        origin=origin,
        checkpoint_hash=digest,
        core_hash=bundle.core_hash,
        precision=bundle.precision,
        precision_by_part=dict(manifest.precision),
        bytes_by_file={name: record.bytes for name, record in manifest.files.items()},
        parity={**manifest.parity, **figures.as_table()},
        unjudged=manifest.unjudged,
    )


def _stand_in(path: Path, made: Thresholds) -> bool:
    """Whether a file has these thresholds: its date is part of the settings' hash, so it stays as long as they do."""
    try:
        return dataclasses.replace(Thresholds.load(path), created=made.created) == made
    except BundleError:
        return False


def _export(checkpoint: Path, path: Path, precision: str, progress: Progress) -> float:
    """Export in the place of whatever is there; returns the seconds that it took."""
    from onboard_vla.export.bundle_writer import export_bundle

    begin = time.monotonic()
    if path.exists():
        shutil.rmtree(path)
    export_bundle(checkpoint, path, precision=precision, progress=progress)
    return time.monotonic() - begin
