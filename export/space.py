"""What a bundle takes of the disk, asked before hours of work."""

from __future__ import annotations

import shutil

from onboard_vla.export.quantisation import FP16, FP32, INT8, INT8_FP16, W4A16
from onboard_vla.export.source import Source
from onboard_vla.export.staging import NoRoomError, Staging

BYTES_PER_WEIGHT = {FP32: 4, FP16: 2, INT8: 1, W4A16: 1, INT8_FP16: 1}
GIB = 1 << 30


def require_space(source: Source, precision: str, staging: Staging, beside: int = 0) -> None:
    """Refuse before hours of work what the disk cannot hold.

    Args:
        source: the checkpoint.
        precision: of the bundle.
        staging: where it is made.
        beside: bytes that the work takes at most beside the bundle.

    Raises:
        NoRoomError: there is less room than graphs and tables of this size and the work take, beside what is there
            already.
    """
    there, used = staging.left()
    weights = sum(source.weight_counts().values()) * BYTES_PER_WEIGHT[precision]
    needed = weights + source.model.text.vocabulary_size * source.model.text.hidden_size * 4
    needed, beside = max(0, needed - there), max(0, beside - used)
    free = shutil.disk_usage(staging.folder).free
    if needed + beside > free:
        place, scenes = staging.folder.parent.parent, f" and scenes on their way {beside / GIB:.1f} GiB" * bool(beside)
        raise NoRoomError(
            f"{place} has {free / GIB:.1f} GiB free, the bundle takes about {needed / GIB:.1f} GiB more{scenes}"
        )
