"""Open-loop errors of a planned trajectory against what was driven."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import GeometryError

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Displacement:
    """Metres. `l2_1s_m` to `l2_3s_m`: error at that time (UniAD's convention); `l2_mean_*`: mean up to it (ST-P3's).

    `ade_m`, `fde_m`: mean and last error over the whole horizon.
    """

    l2_1s_m: float
    l2_2s_m: float
    l2_3s_m: float
    l2_mean_1s_m: float
    l2_mean_2s_m: float
    l2_mean_3s_m: float
    ade_m: float
    fde_m: float


def displacement(planned: Array, driven: Array, step_s: float) -> Displacement:
    """Errors of `planned` against `driven`, both (T, 2 or more) x, y at step_s, 2 step_s, ... in one frame.

    UniAD: Hu et al., CVPR 2023; ST-P3: Hu et al., ECCV 2022; both report L2 at 1, 2 and 3 s.

    Raises:
        GeometryError: shapes differ, or the horizon is shorter than 3 s.
    """
    planned, driven = np.asarray(planned, np.float64), np.asarray(driven, np.float64)
    seconds = [round(k / step_s) for k in (1, 2, 3)]
    if len(planned) != len(driven) or len(planned) < seconds[-1]:
        raise GeometryError(f"displacement: expected equal lengths of 3 s or more, found {len(planned)}, {len(driven)}")
    error = np.hypot(planned[:, 0] - driven[:, 0], planned[:, 1] - driven[:, 1])
    return Displacement(
        l2_1s_m=float(error[seconds[0] - 1]),
        l2_2s_m=float(error[seconds[1] - 1]),
        l2_3s_m=float(error[seconds[2] - 1]),
        l2_mean_1s_m=float(error[: seconds[0]].mean()),
        l2_mean_2s_m=float(error[: seconds[1]].mean()),
        l2_mean_3s_m=float(error[: seconds[2]].mean()),
        ade_m=float(error.mean()),
        fde_m=float(error[-1]),
    )
