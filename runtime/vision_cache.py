"""Exact cache of visual embeddings per camera and frame pair.

Qwen2.5-VL's vision encoder attends inside one frame pair only, so the newer pair of a plan is the older pair of the
plan one second later. A hit needs the same camera, the same two stamps and the same pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import EncodedPicture, Picture


class FramePair(NamedTuple):
    """Two pictures of one camera; `slot` counts pairs from the oldest."""

    camera: str
    slot: int
    stamps_ns: tuple[int, int]
    images: tuple[Picture, Picture]


class VisionCache:
    """Remembers embeddings of pairs whose newer picture is at most `horizon_ns` older than the newest plan's anchor.

    `ahead_ns`: how much newer than the anchor a picture can be.
    """

    def __init__(self, horizon_ns: int, ahead_ns: int = 0) -> None:
        self._horizon_ns, self._ahead_ns = horizon_ns, ahead_ns
        self._entries: dict[tuple[str, tuple[int, int]], tuple[FramePair, NDArray[np.float32]]] = {}
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, pair: FramePair) -> NDArray[np.float32] | None:
        """The embeddings (tokens, D) of exactly this pair, or none."""
        found = self._entries.get((pair.camera, pair.stamps_ns))
        if found is not None:
            older, newer = found[0].images
            if _same(older, pair.images[0]) and _same(newer, pair.images[1]):
                self.hits += 1
                return found[1]
        self.misses += 1
        return None

    def put(self, pair: FramePair, embeddings: NDArray[np.float32]) -> None:
        """Remember the embeddings of a pair; the array must not be written to afterwards."""
        self._entries[pair.camera, pair.stamps_ns] = pair, embeddings

    def expire(self, anchor_ns: int) -> None:
        """Forget pairs that no plan at or after `anchor_ns` can ask for, and pairs from a clock that was set back."""
        oldest_ns, newest_ns = anchor_ns - self._horizon_ns, anchor_ns + self._ahead_ns
        for key in [k for k in self._entries if not oldest_ns <= k[1][1] <= newest_ns]:
            del self._entries[key]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


def _same(first: Picture, second: Picture) -> bool:
    """The same picture, or equal pixels, or equal files of compressed ones.

    A writeable array may have changed, so its pixels are not trusted.
    """
    if first is second:
        return isinstance(first, EncodedPicture) or not first.flags.writeable
    if isinstance(first, EncodedPicture) or isinstance(second, EncodedPicture):
        return isinstance(first, EncodedPicture) and isinstance(second, EncodedPicture) and first.same_file(second)
    if first.flags.writeable or second.flags.writeable:
        return False
    return np.array_equal(first, second)
