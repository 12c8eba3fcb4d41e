"""Frame pairs to patches with the kernels: tables made once per camera and picture size, nothing kept per call."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import CameraInput
from onboard_vla.kernels.forms import kernel_form
from onboard_vla.kernels.images import PatchKernel, PictureLayout
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.kernels.reference_images import crop_box
from onboard_vla.runtime.vision_cache import FramePair


class PatchMaker:
    """Makes patches of frame pairs.

    Args:
        cameras: by role.
        table: (3, 256) float32 normalised value of each pixel value.
        threads: pairs that are worked on at once.
        form: what runs the kernel; the fastest that this installation has, if not given.
    """

    def __init__(
        self,
        cameras: dict[str, CameraInput],
        table: NDArray[np.float32],
        threads: int = 1,
        form: KernelForm | None = None,
    ) -> None:
        self._cameras, self._table = cameras, table
        self.form = form or kernel_form()
        self._kernels: dict[tuple[str, int], PatchKernel] = {}
        self._pool = ThreadPoolExecutor(threads, "patches") if threads > 1 else None

    def write(self, pairs: Sequence[FramePair], out: NDArray[np.float32]) -> None:
        """Patches of each pair into `out` (pairs, patches, 1176); a camera's slot may occur once.

        Raises:
            FrameError: a picture has pixels of another type than uint8 RGB, or cannot be cropped and resized so.
        """
        kernels = [self._kernel(pair) for pair in pairs]

        def one(index: int) -> None:
            kernels[index].run([pairs[index].images], out[index])

        # The list takes the results: a picture that is refused is refused here.
        list(self._pool.map(one, range(len(pairs))) if self._pool else map(one, range(len(pairs))))

    def _kernel(self, pair: FramePair) -> PatchKernel:
        """One per camera and slot, so that two threads never share one; another picture size replaces it."""
        key, (height, width) = (pair.camera, pair.slot), pair.images[0].shape[:2]
        known = self._kernels.get(key)
        if known is None or (known.layouts[0].height, known.layouts[0].width) != (height, width):
            camera = self._cameras[pair.camera]
            box = crop_box(width, height, camera.crop)
            layout = PictureLayout(width, height, box, camera.width, camera.height)
            known = self._kernels[key] = PatchKernel(self.form, [layout], self._table)
        return known
