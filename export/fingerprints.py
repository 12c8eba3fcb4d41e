"""What shapes an export, as hashes: a checkpoint's files, its weights, the sources and packages that read them."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from onboard_vla.core.bundle_manifest import FORMAT_VERSION, sha256_of
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.installation import installation

_KNOWN: dict[tuple[Path, int, int, int], str] = {}
"""Hashes by path, size, time of change and place on the disk."""
ROOMS = Path(__file__).resolve().parent.parent
SHAPING_ROOMS = ("core", "export", "kernels", "runtime")
SHAPING_FILES = (".py", ".json", ".cpp", ".cu", ".cuh", ".h", ".hpp")
SHAPING_PACKAGES = ("numpy", "onnx", "onnxruntime", "tokenizers")
"""Sources and packages that an export's content depends on, beside the checkpoint."""
WEIGHTS = ("*.safetensors", "*.ckpt")
"""Files of a checkpoint folder that hold weights."""
READ = (*WEIGHTS, "*.json", "*.npz")
"""All that an export may read of a checkpoint folder: what else lies there (optimiser states, notes) shapes nothing."""


def recipe(folder: Path, given: Mapping[str, Path | None], options: Mapping[str, object]) -> str:
    """All that shapes a bundle, so that an attempt is gone on with only by the same.

    Args:
        folder: the checkpoint folder, with ranges, scenes and references of its own.
        given: files from elsewhere by what they are for; None for what was not given.
        options: everything else that was asked for, as JSON has it.
    """
    parts = {
        "format": FORMAT_VERSION,
        "tools": tools_hash(),
        "checkpoint": {path.name: file_hash(path) for path in _found(folder, READ)},
        "given": {name: None if path is None else [path.name, file_hash(path)] for name, path in given.items()},
        "options": options,
    }
    return json.dumps(parts, sort_keys=True)


def weights_fingerprint(folder: Path, alpha: float | None) -> str:
    """sha256 over the hashes of the files that hold a checkpoint's weights, whatever they are called, and LoRA's alpha.

    `alpha`: with which adapters are folded in, whoever said it; None where there are none to fold in.
    """
    parts = sorted(file_hash(path) for path in _found(folder, WEIGHTS))
    if alpha is not None:
        parts.append(f"{alpha:g}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def tools_hash(rooms: Path = ROOMS) -> str:
    """sha256 over all sources and package versions that shape a bundle: one made by others is not used again.

    Raises:
        EnvironmentLacksError: one of the packages is not installed.
    """
    files = [
        path for room in SHAPING_ROOMS for path in sorted((rooms / room).rglob("*")) if path.suffix in SHAPING_FILES
    ]
    versions = [f"{package} {_version(package)}" for package in SHAPING_PACKAGES]
    return hashlib.sha256("\n".join([hash_of(files, rooms), *versions]).encode()).hexdigest()


def hash_of(files: Iterable[Path], root: Path) -> str:
    """sha256 over names (below `root`) and contents of files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(sha256_of(path).encode())
    return digest.hexdigest()


def file_hash(path: Path, read: Callable[[int], None] = lambda _bytes: None) -> str:
    """sha256 of a file; one that has not changed since is not read again, for weights are asked for several times."""
    state = path.stat()
    key = (path.resolve(), state.st_size, state.st_mtime_ns, state.st_ino)
    if key not in _KNOWN:
        _KNOWN[key] = sha256_of(path, read)
    return _KNOWN[key]


def hash_checkpoint(folder: Path, progress: Callable[[float], None]) -> None:
    """Hash all that an export may read of a checkpoint folder, so that `file_hash` knows it; minutes for large ones."""
    files = _found(folder, READ)
    total, done = sum(file.stat().st_size for file in files), 0

    def read(count: int) -> None:
        nonlocal done
        done += count
        progress(done / total)

    for file in files:
        file_hash(file, read)


def _found(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        raise EnvironmentLacksError(
            f"a bundle needs {package}, which is not installed: {installation('export')}"
        ) from None
