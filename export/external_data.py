"""Constants of a graph in a file beside it: written one after the other, so that memory holds one at a time.

ONNX keeps a graph in one protobuf message of at most 2 GiB; larger constants are *external data*: name of the file,
offset, length. A journal beside the file makes writing resumable: after a kill, what the journal names and the bytes
confirm is taken over, and its arrays are not computed again. The journal is no part of the bundle.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

Array = NDArray[np.generic]
Shapes = Mapping[str, tuple[tuple[int, ...], np.dtype[Any]]]

ALIGNMENT = 4096
"""Every constant starts on a page, so that readers can map it."""
CHUNK_BYTES = 1 << 24
SUFFIX = ".data"


@dataclass(frozen=True)
class _Entry:
    name: str
    shape: tuple[int, ...]
    kind: str
    offset: int
    length: int
    crc32: int


class Constants(Protocol):
    """Where a graph's large constants go."""

    def tensors(self, shapes: Shapes, make: Callable[[], Mapping[str, Array]]) -> dict[str, TensorProto]:
        """References to constants; `make` computes them, if that is still to be done."""


class ExternalData:
    """The file of one graph's constants; a context that closes it."""

    def __init__(self, file: Path, journal: Path | None = None) -> None:
        """Open `file` for writing, after what `journal` says about an earlier attempt."""
        self.file = file
        self._entries: dict[str, _Entry] = {}
        kept = _confirmed(file, journal)
        self._stream: IO[bytes] = file.open("r+b" if kept else "wb")
        for entry in kept:
            self._entries[entry.name] = entry
        self._end = max((entry.offset + entry.length for entry in kept), default=0)
        self._stream.truncate(self._end)
        self._journal = journal.open("w", encoding="utf-8") if journal is not None else None
        for entry in kept:
            self._note(entry)
        self.taken_over = len(kept)

    def __enter__(self) -> ExternalData:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()
        if self._journal is not None:
            self._journal.close()

    def tensors(self, shapes: Shapes, make: Callable[[], Mapping[str, Array]]) -> dict[str, TensorProto]:
        """References to constants; `make` computes them unless an earlier attempt wrote them all."""
        missing = [name for name, shape in shapes.items() if not self._holds(name, *shape)]
        if missing:
            arrays = make()
            for name in missing:
                self._append(name, np.ascontiguousarray(arrays[name]))
        return {name: self._reference(self._entries[name]) for name in shapes}

    def _holds(self, name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> bool:
        entry = self._entries.get(name)
        return entry is not None and (entry.shape, entry.kind) == (shape, kind.name)

    def _append(self, name: str, array: Array) -> None:
        offset = -(-self._end // ALIGNMENT) * ALIGNMENT
        self._stream.seek(offset)
        content = memoryview(array.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        self._stream.write(content)
        self._end = offset + len(content)
        entry = _Entry(name, array.shape, array.dtype.name, offset, len(content), zlib.crc32(content))
        self._entries[name] = entry
        if self._journal is not None:
            self._stream.flush()
            self._note(entry)

    def _note(self, entry: _Entry) -> None:
        if self._journal is not None:
            self._journal.write(json.dumps(asdict(entry)) + "\n")
            self._journal.flush()

    def _reference(self, entry: _Entry) -> TensorProto:
        tensor = TensorProto(name=entry.name, dims=entry.shape, data_location=TensorProto.EXTERNAL)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(np.dtype(entry.kind))
        place = {"location": self.file.name, "offset": entry.offset, "length": entry.length}
        for key, value in place.items():
            tensor.external_data.append(onnx.StringStringEntryProto(key=key, value=str(value)))
        return tensor


def _confirmed(file: Path, journal: Path | None) -> list[_Entry]:
    """The journal's entries up to the first that the file's bytes do not confirm."""
    if journal is None or not journal.is_file() or not file.is_file():
        return []
    kept: list[_Entry] = []
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        for line in journal.read_text(encoding="utf-8").splitlines():
            try:
                fields = json.loads(line)
                entry = _Entry(**{**fields, "shape": tuple(fields["shape"])})
            except (ValueError, TypeError, KeyError):
                break  # the kill hit this line
            if entry.offset + entry.length > size or _crc32(stream, entry) != entry.crc32:
                break
            kept.append(entry)
    return kept


def _crc32(stream: IO[bytes], entry: _Entry) -> int:
    stream.seek(entry.offset)
    found, left = 0, entry.length
    while left:
        block = stream.read(min(left, CHUNK_BYTES))
        if not block:
            break
        found, left = zlib.crc32(block, found), left - len(block)
    return found
