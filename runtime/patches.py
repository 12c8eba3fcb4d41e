"""Frame pairs to patches with the kernels: tables made once per camera and picture size, nothing kept per call.

Compressed pictures are decoded here: who has the pair's embeddings never comes here. The newer picture of a pair is
kept decoded until no later pair can have it as its older one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import CameraInput
from onboard_vla.core.cameras import EncodedPicture
from onboard_vla.core.concurrent_work import results_of
from onboard_vla.core.errors import FrameError
from onboard_vla.kernels.forms import kernel_form
from onboard_vla.kernels.images import PatchKernel, PictureLayout
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.kernels.reference_images import crop_box
from onboard_vla.runtime.jpeg import FACTORS
from onboard_vla.runtime.vision_cache import FramePair

LEAST_SHRINK = 2.0
"""What the exact resize must still shrink by after a reduced decode: then the model's pixels differ by 0.2 of a grey
level in the mean, as much as compression itself makes them differ (`benchmarks/jpeg.py`)."""


@dataclass(frozen=True, eq=False)
class _Decoded:
    picture: EncodedPicture
    factor: int
    pixels: NDArray[np.uint8]


class PatchMaker:
    """Makes patches of frame pairs.

    Args:
        cameras: by role.
        table: (3, 256) float32 normalised value of each pixel value.
        threads: pairs that are worked on at once.
        form: what runs the kernel; the fastest that this installation has, if not given.
        reduced: whether compressed pictures may be decoded smaller, see `decode_factor`.

    `decode_s`: processor time spent on decoding so far; `decoded`: how many pictures.
    """

    def __init__(
        self,
        cameras: dict[str, CameraInput],
        table: NDArray[np.float32],
        threads: int = 1,
        form: KernelForm | None = None,
        *,
        reduced: bool = True,
    ) -> None:
        self._cameras, self._table, self._reduced = cameras, table, reduced
        self.form = form or kernel_form()
        self._kernels: dict[tuple[str, int], PatchKernel] = {}
        self._kept: dict[tuple[str, int], dict[int, _Decoded]] = {}
        self.decode_s, self.decoded = 0.0, 0
        self._pool = ThreadPoolExecutor(threads, "patches") if threads > 1 else None

    def write(self, pairs: Sequence[FramePair], out: NDArray[np.float32]) -> None:
        """Patches of each pair into `out` (pairs, patches, 1176); a camera's slot may occur once.

        Raises:
            FrameError: a picture has pixels of another type than uint8 RGB, or cannot be cropped and resized so.
        """
        kernels = [self._kernel(pair) for pair in pairs]

        def one(index: int) -> tuple[float, int]:
            begin = time.thread_time()
            pixels, decoded = self._pixels(pairs[index])
            decode_s = time.thread_time() - begin
            kernels[index].run([pixels], out[index])
            return decode_s, decoded

        places, pool = range(len(pairs)), self._pool
        spent = [one(k) for k in places] if pool is None else results_of(pool.submit(one, k) for k in places)
        self.decode_s += sum(decode_s for decode_s, _ in spent)
        self.decoded += sum(decoded for _, decoded in spent)

    def _pixels(self, pair: FramePair) -> tuple[tuple[NDArray[np.uint8], NDArray[np.uint8]], int]:
        """Older and newer picture, and how many had to be decoded."""
        factor, decoded, found = self._factor(pair), 0, []
        # By camera and slot, so that two threads never share one.
        kept = self._kept.setdefault((pair.camera, pair.slot), {})
        for stamp_ns, picture in zip(pair.stamps_ns, pair.images, strict=True):
            if not isinstance(picture, EncodedPicture):
                found.append(picture)
                continue
            known = kept.get(stamp_ns)
            if known is None or known.picture is not picture or known.factor != factor:
                try:
                    known = _Decoded(picture, factor, picture.pixels(factor))
                except FrameError as error:
                    raise FrameError(f"{pair.camera}: {error}") from None
                kept[stamp_ns] = known
                decoded += 1
            found.append(known.pixels)
        older_ns, newer_ns = pair.stamps_ns
        for stamp_ns in [known_ns for known_ns in kept if not older_ns < known_ns <= newer_ns]:
            del kept[stamp_ns]
        return (found[0], found[1]), decoded

    def _factor(self, pair: FramePair) -> int:
        """By how much both pictures are decoded smaller."""
        if not self._reduced or not all(isinstance(picture, EncodedPicture) for picture in pair.images):
            return 1
        camera = self._cameras[pair.camera]
        height, width = pair.images[0].shape[:2]
        return decode_factor(width, height, camera)

    def _kernel(self, pair: FramePair) -> PatchKernel:
        """One per camera and slot, so that two threads never share one; another picture size replaces it."""
        factor = self._factor(pair)
        key, (height, width) = (pair.camera, pair.slot), pair.images[0].shape[:2]
        height, width = height // factor, width // factor
        known = self._kernels.get(key)
        if known is None or (known.layouts[0].height, known.layouts[0].width) != (height, width):
            camera = self._cameras[pair.camera]
            box = crop_box(width, height, camera.crop)
            layout = PictureLayout(width, height, box, camera.width, camera.height)
            known = self._kernels[key] = PatchKernel(self.form, [layout], self._table)
        return known


def decode_factor(width: int, height: int, camera: CameraInput) -> int:
    """The largest factor by which a picture of this size may be decoded smaller for this camera's input.

    Size and crop must fall on whole pixels of the smaller picture, and the resize must still shrink by `LEAST_SHRINK`.
    """
    box = crop_box(width, height, camera.crop)
    for factor in reversed(FACTORS):
        whole = not any(edge % factor for edge in (width, height, *box))
        across, down = (box[2] - box[0]) / factor / camera.width, (box[3] - box[1]) / factor / camera.height
        if whole and min(across, down) >= LEAST_SHRINK:
            return factor
    return 1
