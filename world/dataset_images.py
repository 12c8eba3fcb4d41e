"""Pictures as the model gets them: crop box first, then PIL's bicubic resize, exactly as the runtime does it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]


class ModelPictures:
    """Cuts and resizes pictures as cameras.json says. A crop edge is round(fraction * source size) in source pixels."""

    def __init__(self, cameras: dict[str, Any]) -> None:
        self.cameras = tuple(entry["camera"] for entry in cameras["cameras"])
        self._entries = {entry["camera"]: entry for entry in cameras["cameras"]}

    def size(self, camera: str) -> tuple[int, int]:
        """Height and width of this camera's picture for the model."""
        entry = self._entries[camera]
        return int(entry["height"]), int(entry["width"])

    def __call__(self, camera: str, source: Picture) -> Picture:
        """(H, W, 3) uint8 for the model from a source picture (h, w, 3) uint8."""
        from PIL import Image

        entry = self._entries[camera]
        height, width = source.shape[:2]
        crop = entry["crop"]
        rows = slice(round(crop["top"] * height), round(crop["bottom"] * height))
        columns = slice(round(crop["left"] * width), round(crop["right"] * width))
        cut = Image.fromarray(np.ascontiguousarray(source[rows, columns]))
        return np.asarray(cut.resize((entry["width"], entry["height"]), Image.Resampling.BICUBIC))
