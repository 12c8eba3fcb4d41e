"""What the camera guard says about one picture, and reasons in general."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """Why something was decided: a code, the measured value and the limit it was held against, in the code's unit."""

    code: str
    measured: float
    limit: float
    detail: str


@dataclass(frozen=True)
class Verdict:
    """The camera guard's word on one picture. `reasons`: why it is not `usable`; those of a usable one are warnings.

    `config_hash`: SHA-256 (hex) over the settings that the camera guard judged with.
    """

    camera: str
    stamp_ns: int
    sequence: int
    usable: bool
    reasons: tuple[Reason, ...]
    config_hash: str
