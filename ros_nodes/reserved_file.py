"""A growing file with room kept free beside it, so that what belongs at its end can be written on a full disk."""

from __future__ import annotations

import errno
import os
import tempfile
from contextlib import suppress
from io import RawIOBase
from pathlib import Path
from typing import IO, Final

FULL: Final = (errno.ENOSPC, errno.EDQUOT)
"""No room on the disk, or in the user's share of it."""
RESERVE_BYTES: Final = 8 << 20
"""Kept at least."""
CHUNK_BYTES: Final = 1 << 20
"""The chunk under way holds less than this, and one message more."""
INDEX_SHARE: Final = 256
"""A recording's closing words take less than this part of it: 1 to 2 KiB for each chunk of 1 MiB."""
STEP_BYTES: Final = 1 << 20


def reserve_for(message_bytes: int) -> int:
    """Bytes that are kept free for the end of a recording whose largest message is so big."""
    return max(RESERVE_BYTES, 2 * (CHUNK_BYTES + message_bytes))


class ReservedFile:
    """Writes to `raw`; when the disk is full it gives its reserve up, goes on where it was, and says so in `full`.

    The reserve has no name: a process that is killed leaves none.

    Raises:
        OSError: there is no room for the reserve.
    """

    def __init__(self, raw: RawIOBase, folder: Path) -> None:
        self._raw = raw
        self._reserve: IO[bytes] | None = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - kept until it is given up
        self._reserved_bytes, self._least_bytes = 0, RESERVE_BYTES
        self._end = raw.tell()
        self.full: OSError | None = None
        """What the system said when there was no more room."""
        try:
            self._keep(RESERVE_BYTES)
        except OSError:
            self.give_up_reserve()
            raise

    def keep_for(self, message_bytes: int) -> None:
        """Before a message is written: keep room for the chunk that will end with it, twice over.

        Raises:
            OSError: there is no such room; what was kept still is.
        """
        wanted = reserve_for(message_bytes)
        if self._reserve is not None and wanted > self._least_bytes:
            self._keep(wanted + self._end // INDEX_SHARE)
            self._least_bytes = wanted

    def write(self, data: bytes | memoryview) -> int:
        """Append all of it.

        Raises:
            OSError: it cannot be written, even without the reserve.
        """
        left = memoryview(data)
        while left:
            try:
                count = self._raw.write(left) or 0
            except OSError as error:
                if error.errno not in FULL or self._reserve is None:
                    raise
                self.full = error
                self.give_up_reserve()
                continue
            left = left[count:]
            self._end += count
        wanted = self._least_bytes + self._end // INDEX_SHARE
        if self._reserve is not None and wanted >= self._reserved_bytes + STEP_BYTES:
            try:
                self._keep(wanted)
            except OSError as error:
                self.full = error
        return len(data)

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._end

    def give_up_reserve(self) -> None:
        """Free the room for what is still to be written, here or beside."""
        if self._reserve is not None:
            reserve, self._reserve = self._reserve, None
            with suppress(OSError):
                reserve.close()

    def close(self) -> None:
        """Close the file."""
        self.give_up_reserve()
        self._raw.close()

    def _keep(self, size: int) -> None:
        assert self._reserve is not None
        try:
            os.posix_fallocate(self._reserve.fileno(), 0, size)
        except OSError as error:
            if error.errno in FULL:
                raise
            # This file system cannot: the recording goes on without.
            self.give_up_reserve()
        self._reserved_bytes = size
