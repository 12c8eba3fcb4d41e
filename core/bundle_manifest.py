"""What a bundle says about itself: dimensions, cameras, tokens, precision, provenance, and a hash of every file.

The JSON form (`manifest.json`) mirrors the dataclasses of `bundle_manifest_fields` name by name;
`bundle_manifest.schema.json` describes the same for tools. Nothing is repaired or defaulted on reading.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest_checks import MANIFEST_NAME, check_values
from onboard_vla.core.bundle_manifest_fields import (
    FORMAT_VERSION,
    PRECISIONS,
    ActionTokens,
    BundleManifest,
    CameraInput,
    FileRecord,
    FrameSelection,
    Generation,
    ModelDimensions,
    SpecialTokens,
    TextDimensions,
    VisionDimensions,
)
from onboard_vla.core.errors import BundleError
from onboard_vla.core.strict_json import load_fields

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_NAME",
    "MASKED_BIAS",
    "PRECISIONS",
    "ActionTokens",
    "BundleManifest",
    "CameraInput",
    "FileRecord",
    "FrameSelection",
    "Generation",
    "ModelDimensions",
    "SpecialTokens",
    "TextDimensions",
    "VisionDimensions",
    "codebook_hash",
    "compute_core_hash",
    "computed_numbers",
    "computed_precision",
    "load_manifest",
    "sha256_of",
    "to_json",
    "verify_files",
    "with_core_hash",
]

MASKED_BIAS = -30000.0
"""Attention bias of a forbidden position: exp underflows to exactly 0 after softmax's shift, and fp16 can hold it."""

COMPUTED_PARTS = ("vision", "language", "head")
"""Parts of the model whose arithmetic has a precision; embeddings are only looked up."""

SCHEMA_FILE = Path(__file__).with_name("bundle_manifest.schema.json")
_READ_BYTES = 1 << 20


def codebook_hash(contours: NDArray[np.floating[Any]]) -> str:
    """sha256 over the shape (little-endian int64) and the float32 bytes of a codebook's contours (K, S, 4, 2)."""
    array = np.ascontiguousarray(contours, "<f4")
    return hashlib.sha256(np.array(array.shape, "<i8").tobytes() + array.tobytes()).hexdigest()


def to_json(manifest: BundleManifest) -> str:
    """The text of manifest.json: sorted keys, two-space indent, final newline."""
    return json.dumps(dataclasses.asdict(manifest), indent=2, sort_keys=True, allow_nan=False) + "\n"


def compute_core_hash(manifest: BundleManifest) -> str:
    """sha256 over the canonical JSON of every field but `core_hash` itself."""
    fields = dataclasses.asdict(manifest)
    del fields["core_hash"]
    canonical = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def with_core_hash(manifest: BundleManifest) -> BundleManifest:
    """The same manifest with its `core_hash` filled in."""
    return dataclasses.replace(manifest, core_hash=compute_core_hash(manifest))


def computed_precision(manifest: BundleManifest) -> str:
    """One word where all computed parts agree ("fp32", "int8"), else each part's, joined by commas."""
    parts = {part: manifest.precision[part] for part in COMPUTED_PARTS if part in manifest.precision}
    if len(set(parts.values())) == 1:
        return next(iter(parts.values()))
    return ",".join(f"{part}:{precision}" for part, precision in parts.items())


def computed_numbers(manifest: BundleManifest) -> str:
    """`computed_precision`, and what `calibration.chosen` says of scales and ranges that are not the checkpoint's own.

    Statistics of activations are about bundles of one such line.
    """
    chosen = sorted(manifest.calibration.get("chosen", {}).items())
    return " ".join([computed_precision(manifest), *(f"{name}={value}" for name, value in chosen)])


def load_manifest(path: Path) -> BundleManifest:
    """Read and validate `manifest.json` of the bundle folder `path`; files are not opened (see `verify_files`).

    Raises:
        BundleError: no manifest, not JSON, another format version, a wrong field, or a core hash that does not match.
    """
    file = path / MANIFEST_NAME
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(
            f"{path} is no bundle: it has no {MANIFEST_NAME}; make one with `onboard-vla export`"
        ) from None
    except NotADirectoryError:
        found = "is a file: expected the bundle's folder" if path.exists() else "is no folder: expected the bundle's"
        raise BundleError(f"{path} {found}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{file} cannot be read as JSON: {error}") from None
    if not isinstance(content, dict):
        raise BundleError(f"{file}: expected a JSON object, found {type(content).__name__}")
    version = content.get("format_version")
    if version != FORMAT_VERSION or isinstance(version, bool):
        newer = type(version) is int and version > FORMAT_VERSION
        advice = "update Onboard VLA, or export it again with this one" if newer else "export it again"
        raise BundleError(f"{file}: format_version is {version!r}, this build reads {FORMAT_VERSION}; {advice}")
    manifest = load_fields(BundleManifest, content, "manifest", BundleError)
    check_values(manifest)
    actual = compute_core_hash(manifest)
    if actual != manifest.core_hash:
        raise BundleError(f"{file}: core_hash says {manifest.core_hash}, its content gives {actual}; export it again")
    return manifest


def verify_files(path: Path, manifest: BundleManifest) -> None:
    """Hash every file of the bundle folder `path` and hold it against the manifest.

    Raises:
        BundleError: a file is missing, has another size or hash (both are named), or is not listed in the manifest.
    """
    for name, record in manifest.files.items():
        file = path / name
        if not file.is_file():
            raise BundleError(f"{path}: {name} is missing; copy the bundle again or export it again")
        actual = sha256_of(file)
        if actual != record.sha256:
            raise BundleError(
                f"{path}: {name} has sha256 {actual}, the manifest says {record.sha256}; "
                "copy the bundle again or export it again"
            )
    listed = {*manifest.files, MANIFEST_NAME}
    found = {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}
    if unlisted := sorted(found - listed):
        raise BundleError(f"{path}: {', '.join(unlisted)} not listed in the manifest; a bundle holds nothing else")


def sha256_of(file: Path, read: Callable[[int], None] = lambda _bytes: None) -> str:
    """Hex sha256 of a file, read in pieces; `read` is told how many bytes each has."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
            read(len(block))
    return digest.hexdigest()
