"""What one grey picture shows, as numbers: brightness, sharpness, structure, noise (safety basis 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.safety.camera_guard_config import CameraGuardConfig

Grey = NDArray[np.int16]

NOISE_QUANTILE = 0.25
"""Noise is everywhere, structure is not: the quietest quarter of the blocks tells them apart."""
NOISE_GAIN = math.sqrt(math.pi / 2) / 6
"""Mean absolute mixed second difference of white Gaussian noise to its sigma (Immerkaer 1996, equation 5)."""


@dataclass(frozen=True)
class PictureMeasures:
    """What one grey picture shows. Fractions of pixels or blocks, grey levels, grey levels squared, bits."""

    mean: float
    dark_fraction: float
    bright_fraction: float
    flat_fraction: float
    laplacian_variance: float
    entropy_bits: float
    noise_sigma: float


def grey_picture(image: NDArray[np.uint8], width_px: int) -> Grey:
    """Every n-th pixel of (H, W, 3) RGB as grey (h, w) int16, n such that w is closest above `width_px`."""
    step = max(1, image.shape[1] // width_px)
    small = image[::step, ::step]
    grey = small[..., 1].astype(np.int16)
    grey *= 2
    grey += small[..., 0]
    grey += small[..., 2]
    grey >>= 2
    return grey


def measure(grey: Grey, limits: CameraGuardConfig) -> PictureMeasures:
    """All measures of one grey picture (h, w), at least 3x3."""
    histogram = np.bincount(grey.ravel(), minlength=256)
    count = grey.size
    mean = float(np.arange(len(histogram)) @ histogram) / count
    dark = float(histogram[: limits.dark_level + 1].sum()) / count
    bright = float(histogram[limits.bright_level :].sum()) / count
    share = histogram[histogram > 0] / count
    entropy = -float(share @ np.log2(share))
    flat = flat_fraction(grey, limits.block_px, limits.flat_std)
    noise = noise_sigma(grey, limits.block_px)
    return PictureMeasures(mean, dark, bright, flat, laplacian_variance(grey), max(entropy, 0.0), noise)


def laplacian_variance(grey: Grey) -> float:
    """Variance of the 4-neighbour Laplacian: high for sharp pictures (and for noisy ones)."""
    laplacian = grey[1:-1, :-2] + grey[1:-1, 2:]
    laplacian += grey[:-2, 1:-1]
    laplacian += grey[2:, 1:-1]
    laplacian -= 4 * grey[1:-1, 1:-1]
    values = laplacian.astype(np.float32).ravel()
    return float(values @ values) / values.size - float(values.mean()) ** 2


def flat_fraction(grey: Grey, block_px: int, flat_std: float) -> float:
    """Fraction of whole blocks whose standard deviation is below `flat_std`."""
    blocks = _blocks(grey, block_px)
    if blocks is None:
        return 0.0
    area = block_px * block_px
    total = np.einsum("abcd->ac", blocks)
    squares = np.einsum("abcd,abcd->ac", blocks, blocks)
    variance = squares / area - (total / area) ** 2
    return float(np.mean(variance < flat_std**2))


def noise_sigma(grey: Grey, block_px: int) -> float:
    """Sigma of the noise in grey levels, from the mixed second differences in the quietest quarter of the blocks."""
    across = grey[:, :-2] + grey[:, 2:]
    across -= 2 * grey[:, 1:-1]
    mixed = across[:-2] + across[2:]
    mixed -= 2 * across[1:-1]
    blocks = _blocks(np.abs(mixed), block_px)
    if blocks is None:
        return 0.0
    quiet = np.einsum("abcd->ac", blocks).ravel() / (block_px * block_px)
    rank = int(NOISE_QUANTILE * (quiet.size - 1))
    return float(np.partition(quiet, rank)[rank]) * NOISE_GAIN


def _blocks(grey: Grey, block_px: int) -> NDArray[np.float32] | None:
    """Whole blocks (rows, block_px, columns, block_px) float32; None where not one fits."""
    rows, columns = grey.shape[0] // block_px, grey.shape[1] // block_px
    if rows == 0 or columns == 0:
        return None
    whole = grey[: rows * block_px, : columns * block_px].astype(np.float32)
    return whole.reshape(rows, block_px, columns, block_px)
