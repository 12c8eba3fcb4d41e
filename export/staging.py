"""A folder that appears whole or not at all: written aside, synced to disk, then renamed into place."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from onboard_vla.core.bundle_manifest import (
    MANIFEST_NAME,
    BundleManifest,
    FileRecord,
    sha256_of,
    to_json,
    with_core_hash,
)
from onboard_vla.core.errors import BundleError
from onboard_vla.export.manifest_schema import validate


class Staging:
    """Context of one bundle in the making.

    `folder` takes the bundle's files, `scratch` anything else; both vanish unless `commit` is reached. The manifest is
    written last, so a folder left behind by a crash is never taken for a bundle.
    """

    def __init__(self, out: Path) -> None:
        """Check that `out` is free or an older bundle.

        Raises:
            BundleError: something that is no bundle is in the way.
        """
        self._out = out
        if out.exists() and not (out / MANIFEST_NAME).is_file() and (not out.is_dir() or any(out.iterdir())):
            raise BundleError(f"{out} exists and is no bundle: choose another folder or remove it")

    def __enter__(self) -> Staging:
        parent = self._out.absolute().parent
        parent.mkdir(parents=True, exist_ok=True)
        self._root = Path(tempfile.mkdtemp(prefix=f".{self._out.name}.", suffix=".partial", dir=parent))
        self.folder, self.scratch = self._root / "bundle", self._root / "scratch"
        self.folder.mkdir()
        self.scratch.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._root, ignore_errors=True)

    def describe(self, manifest: BundleManifest) -> None:
        """Write the manifest with the hashes of all files that are in `folder`."""
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        records = {
            file.relative_to(self.folder).as_posix(): FileRecord(sha256_of(file), file.stat().st_size) for file in files
        }
        complete = with_core_hash(replace(manifest, files=records))
        text = to_json(complete)
        validate(json.loads(text))
        (self.folder / MANIFEST_NAME).write_text(text, encoding="utf-8")

    def commit(self) -> None:
        """Sync everything and move the bundle to its place; an older bundle there is removed afterwards."""
        for path in [*self.folder.rglob("*"), self.folder]:
            _sync(path)
        replaced = self._root / "replaced"
        if self._out.exists():
            os.rename(self._out, replaced)
        try:
            os.rename(self.folder, self._out)
        except OSError:
            if replaced.exists():
                os.rename(replaced, self._out)
            raise
        _sync(self._out.absolute().parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
