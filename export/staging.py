"""A folder that appears whole or not at all: written aside, synced to disk, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from onboard_vla.core.bundle_manifest import (
    MANIFEST_NAME,
    BundleManifest,
    FileRecord,
    load_manifest,
    sha256_of,
    to_json,
    with_core_hash,
)
from onboard_vla.core.errors import BundleError
from onboard_vla.export.aside import locked, sync
from onboard_vla.export.manifest_schema import validate
from onboard_vla.export.place import obstacle, put_back, put_folder

PARTS, REPLACED = "parts", "replaced"
PART_DIGITS = 16


class NoRoomError(BundleError):
    """The disk has too little room for what is still to be written; what lies there already is not lost."""


def require_free_place(out: Path) -> None:
    """Hold the place of a bundle against what lies there, before any work.

    Raises:
        BundleError: something that is no bundle is in the way, or nothing can be moved there.
    """
    if (words := obstacle(out)) is not None:
        raise BundleError(words)
    if out.exists() and not (out / MANIFEST_NAME).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out} exists and is no bundle: choose another folder or remove it")


class Staging:
    """Context of one bundle in the making.

    `folder` takes the bundle's files, `scratch` anything else. They lie in `.{name}.partial` beside the bundle's place;
    the manifest is written last, so what a crash leaves behind is never taken for a bundle. With a `recipe`, a later
    attempt by the same recipe finds what a killed one left (`resumed`); attempts by another recipe clear it, and so do
    errors, but for a lack of room for the rest. What hours were spent on and depends on less than the whole recipe is
    a `part`: another recipe finds it, too, and only a finished bundle clears it.
    """

    def __init__(self, out: Path, recipe: str | None = None) -> None:
        """Check that `out` is free or an older bundle.

        Args:
            out: where the bundle is to be.
            recipe: all that shapes the bundle; None if nothing is to be taken over from earlier attempts.

        Raises:
            BundleError: something that is no bundle is in the way, or nothing can be moved there.
        """
        self._out, self._recipe = out, recipe
        self.resumed = False
        require_free_place(out)

    def __enter__(self) -> Staging:
        parent = self._out.absolute().parent
        self._root = parent / f".{self._out.name}.partial"
        try:
            parent.mkdir(parents=True, exist_ok=True)
            self._lock = (parent / f".{self._out.name}.lock").open("w")
        except OSError as error:
            raise BundleError(f"{parent} cannot be written to ({error.strerror}): choose another place") from None
        if not locked(self._lock):
            self._lock.close()
            raise BundleError(f"{self._out} is being written by another export: wait for it or choose another")
        self.folder, self.scratch = self._root / "bundle", self._root / "scratch"
        note = self._root / "recipe"
        put_back(self._root / REPLACED, self._out)  # after a kill within `commit`
        asked = self._recipe is not None and note.is_file() and note.read_text() == self._recipe
        self.resumed = asked and self.folder.is_dir()
        if not self.resumed:
            self._clear(parts=False)
            self.folder.mkdir(parents=True)
            self.scratch.mkdir()
            note.write_text(self._recipe or "")
        (self.folder / MANIFEST_NAME).unlink(missing_ok=True)  # of an attempt that was stopped after its last word
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lacks_room = self.resumed and kind is not None and issubclass(kind, NoRoomError)
        if self._recipe is None or not (kind is KeyboardInterrupt or lacks_room):
            self._clear(parts=kind is None)
        Path(self._lock.name).unlink(missing_ok=True)
        self._lock.close()

    def left(self) -> tuple[int, int]:
        """Bytes on disk of what an attempt before this one has left of the bundle, and beside it."""
        bundle, scratch = (
            sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
            for folder in (self.folder, self.scratch)
        )
        return bundle, scratch

    def part(self, name: str, shaped_by: str) -> Path:
        """Where a file or folder goes that depends on `shaped_by` alone; it appears there whole, or not at all."""
        parts = self._root / PARTS
        parts.mkdir(exist_ok=True)
        return parts / f"{hashlib.sha256(shaped_by.encode()).hexdigest()[:PART_DIGITS]}-{name}"

    def parts(self) -> Path | None:
        """Where the parts lie that an error leaves; None if there are none."""
        parts = self._root / PARTS
        return parts if parts.is_dir() and any(parts.iterdir()) else None

    def describe(self, manifest: BundleManifest, progress: Callable[[float], None] = lambda _: None) -> None:
        """Write the manifest with the hashes of all files that are in `folder`."""
        files = sorted(file for file in self.folder.rglob("*") if file.is_file())
        total, done = sum(file.stat().st_size for file in files), 0

        def read(count: int) -> None:
            nonlocal done
            done += count
            progress(done / total)

        records = {
            file.relative_to(self.folder).as_posix(): FileRecord(sha256_of(file, read), file.stat().st_size)
            for file in files
        }
        complete = with_core_hash(replace(manifest, files=records))
        text = to_json(complete)
        validate(json.loads(text))
        (self.folder / MANIFEST_NAME).write_text(text, encoding="utf-8")

    def commit(self, progress: Callable[[float], None] = lambda _: None) -> None:
        """Sync everything and move the bundle to its place; an older bundle there is removed afterwards.

        Raises:
            BundleError: the manifest is not one that `load_manifest` takes; an older bundle stays.
        """
        paths = [*self.folder.rglob("*"), self.folder]
        total, done = sum(path.stat().st_size for path in paths), 0
        for path in paths:
            sync(path)
            done += path.stat().st_size
            progress(done / total)
        load_manifest(self.folder)
        put_folder(self.folder, self._out, self._root / REPLACED)

    def _clear(self, *, parts: bool) -> None:
        """Remove what there is of this attempt or an earlier one."""
        if parts or self.parts() is None:
            shutil.rmtree(self._root, ignore_errors=True)
            return
        for path in self._root.iterdir():
            if path.is_dir() and path.name != PARTS:
                shutil.rmtree(path, ignore_errors=True)
            elif path.is_file():
                path.unlink()
