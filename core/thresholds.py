"""The thresholds file: limits on uncertainty signals, bound to one bundle core and one precision.

JSON with a fixed set of fields. A file that does not say where its numbers come from, or that belongs to another core,
is refused: thresholds are void when the core changes.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard_vla.core.errors import BundleError

THRESHOLDS_SCHEMA = 4
ABOVE, BELOW = "above", "below"

SPREAD_REDUCE, SPREAD_FALLBACK = "spread_reduce", "spread_fallback"
OUTSIDE_MASS, CHOSEN_MASS, SECOND_MASS = "outside_mass", "chosen_mass", "second_mass"
CHANGE_LATERAL, CHANGE_LONGITUDINAL = "change_lateral", "change_longitudinal"
STANDBY_LATERAL, STANDBY_SPEED = "standby_lateral", "standby_speed"
SLOW_LATERAL, SLOW_SPEED = "slow_lateral", "slow_speed"
VISION_OOD = "vision_ood"
SIGNALS = {
    SPREAD_REDUCE: ("m", ABOVE),
    SPREAD_FALLBACK: ("m", ABOVE),
    OUTSIDE_MASS: ("1", ABOVE),
    CHOSEN_MASS: ("1", BELOW),
    SECOND_MASS: ("1", ABOVE),
    CHANGE_LATERAL: ("m", ABOVE),
    CHANGE_LONGITUDINAL: ("m", ABOVE),
    STANDBY_LATERAL: ("m", ABOVE),
    STANDBY_SPEED: ("m/s", ABOVE),
    SLOW_LATERAL: ("m", ABOVE),
    SLOW_SPEED: ("m/s", ABOVE),
}
"""Unit and alarm direction of every signal that each file has a limit on.

Of a plan's decoding: spread, largest over the steps, to L1 and to rejection; outside mass, largest over the steps, to
rejection; chosen mass, smallest over the steps, to L1; second mass, largest over the steps whose two groups of motions
lie apart, to L1. Of plans against others, to L1: change against the plan before, up to 2 s ahead; against the fallback
in standby at 2 s; the slow plan against the fast one at 2 s.
"""
DELIVERED = {VISION_OOD: ("nominal q99", ABOVE)}
"""Signals that some bundles deliver: a file has a limit on them exactly if its bundle does. To L1.

Vision's distance counts in units of the one that 1 % of nominal pictures of the same camera exceed.
"""
DRIFTING = (SPREAD_REDUCE, CHOSEN_MASS, VISION_OOD)
"""Signals that drift may be watched on."""


DRIFT_BLOCKS_MIN = 300
"""Block medians, 50 minutes of nominal driving: own. Correlated nominal scores (AR(1), 0.98 at 10 Hz) raised no alarm
in 60 simulated hours with references of 200, 300 and 400."""


@dataclass(frozen=True)
class Threshold:
    """One limit. An alarm is a measured value `direction` ("above" or "below") `value`."""

    signal: str
    value: float
    unit: str
    direction: str
    provenance: str


@dataclass(frozen=True)
class Thresholds:
    """All limits for one bundle core.

    `provisional`: not derived from a guarantee; only the simulation profile accepts such a file. `n_scenes`: scenes
    that the numbers were chosen on; 0 where they come from a table. `alpha`, `delta`: the risk and the error
    probability that `method` guarantees; both 1.0 (no claim) in a provisional file. `drift_reference`: by signal, its
    medians over blocks of 10 s of nominal drives, in its unit; empty where nobody measured them (then drift is not
    watched). `drift_tolerance`: by signal, how far all its values may lie from these without that being a drift.
    """

    core_hash: str
    precision: str
    provisional: bool
    method: str
    provenance: str
    n_scenes: int
    alpha: float
    delta: float
    created: str
    limits: tuple[Threshold, ...]
    drift_reference: dict[str, tuple[float, ...]]
    drift_tolerance: dict[str, float]

    def __post_init__(self) -> None:
        _check(bool(self.core_hash), "core_hash", "a non-empty hash", self.core_hash)
        _check(bool(self.precision), "precision", "a precision name", self.precision)
        _check(type(self.provisional) is bool, "provisional", "true or false", self.provisional)
        _check(
            bool(self.method) and bool(self.provenance), "provenance", "a method and where the numbers come from", ""
        )
        _check(type(self.n_scenes) is int and self.n_scenes >= 0, "n_scenes", "a whole number >= 0", self.n_scenes)
        for name in ("alpha", "delta"):
            value = getattr(self, name)
            _check(_is_number(value) and 0 < value <= 1, name, "a number in (0, 1]", value)
        if self.provisional:
            _check(self.alpha == self.delta == 1.0, "alpha", "1.0 in a provisional file (no guarantee)", self.alpha)
        else:
            _check(self.n_scenes > 0, "n_scenes", "the number of scenes behind a file that is not provisional", 0)
        names = [limit.signal for limit in self.limits]
        always = sorted(name for name in names if name not in DELIVERED)
        _check(always == sorted(SIGNALS) and len(set(names)) == len(names), "limits", f"{sorted(SIGNALS)} once", names)
        for limit in self.limits:
            unit, direction = (SIGNALS | DELIVERED)[limit.signal]
            where = f"limits.{limit.signal}"
            _check(_is_number(limit.value) and limit.value >= 0, f"{where}.value", "a finite number >= 0", limit.value)
            _check(unit != "1" or limit.value <= 1, f"{where}.value", "a probability", limit.value)
            _check(limit.unit == unit, f"{where}.unit", unit, limit.unit)
            _check(limit.direction == direction, f"{where}.direction", direction, limit.direction)
            _check(bool(limit.provenance), f"{where}.provenance", "where the number comes from", limit.provenance)
        check_drift_reference(self.drift_reference, self.drift_tolerance)
        if VISION_OOD in self.drift_reference:
            _check(self.has(VISION_OOD), "drift_reference", "no signal without a limit", VISION_OOD)
        low, high = self.value(SPREAD_REDUCE), self.value(SPREAD_FALLBACK)
        _check(low <= high, f"limits.{SPREAD_REDUCE}.value", f"no more than {SPREAD_FALLBACK} ({high:g})", low)

    def has(self, signal: str) -> bool:
        """Whether there is a limit on `signal`; for those of `DELIVERED`."""
        return any(limit.signal == signal for limit in self.limits)

    def value(self, signal: str) -> float:
        """The limit on `signal`, in its unit."""
        return next(limit.value for limit in self.limits if limit.signal == signal)

    def save(self, path: Path) -> None:
        """Write the file."""
        document = {"schema": THRESHOLDS_SCHEMA, **dataclasses.asdict(self)}
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Thresholds:
        """Read and validate a file.

        Raises:
            BundleError: the file is missing, no JSON, or a field is missing, unknown or wrong.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise BundleError(f"thresholds file {path} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise BundleError(f"thresholds file {path} is no JSON: {error}") from None
        fields = [field.name for field in dataclasses.fields(cls)]
        _check(isinstance(document, dict), "file", "an object", type(document).__name__)
        _check(document.get("schema") == THRESHOLDS_SCHEMA, "schema", THRESHOLDS_SCHEMA, document.get("schema"))
        _check(set(document) == {"schema", *fields}, "fields", sorted(fields), sorted(set(document) - {"schema"}))
        rows = document["limits"]
        names = {field.name for field in dataclasses.fields(Threshold)}
        _check(isinstance(rows, list), "limits", "a list", rows)
        _check(
            all(isinstance(row, dict) and set(row) == names for row in rows), "limits", f"rows of {sorted(names)}", rows
        )
        for name in ("core_hash", "precision", "method", "provenance", "created"):
            _check(isinstance(document[name], str), name, "a text", document[name])
        limits = tuple(Threshold(**row) for row in rows)
        values = {name: document[name] for name in fields}
        return cls(**{**values, "limits": limits, "drift_reference": as_drift_reference(document["drift_reference"])})

    def require_core(self, core_hash: str, precision: str) -> None:
        """Refuse another core or precision.

        Raises:
            BundleError: names the field and both values.
        """
        for name, own, other in (("core_hash", self.core_hash, core_hash), ("precision", self.precision, precision)):
            if own != other:
                raise BundleError(
                    f"thresholds {name} is {own!r}, the bundle's is {other!r}: make thresholds for this bundle"
                )


def as_drift_reference(blocks: Any) -> dict[str, tuple[float, ...]]:  # noqa: ANN401 - judges values read from a file
    """A drift reference from what JSON holds.

    Raises:
        BundleError: no table of lists by signal; the values themselves are judged by `check_drift_reference`.
    """
    sound = isinstance(blocks, dict) and all(isinstance(values, list) for values in blocks.values())
    _check(sound, "drift_reference", "a table of lists", type(blocks).__name__)
    return {name: tuple(values) for name, values in blocks.items()}


def check_drift_reference(reference: dict[str, tuple[float, ...]], tolerance: dict[str, float]) -> None:
    """Refuse an unknown signal, too few blocks, a tolerance of none of them, and what is no number.

    Raises:
        BundleError: names signal, expected and found.
    """
    for name, values in reference.items():
        _check(name in DRIFTING, "drift_reference", f"signals among {DRIFTING}", name)
        where = f"drift_reference.{name}"
        _check(len(values) >= DRIFT_BLOCKS_MIN, where, f">= {DRIFT_BLOCKS_MIN} blocks", len(values))
        bad = next((value for value in values if not (_is_number(value) and value >= 0)), None)
        _check(bad is None, where, "finite numbers >= 0", bad)

    _check(isinstance(tolerance, dict), "drift_tolerance", "a table", type(tolerance).__name__)
    for name, value in tolerance.items():
        _check(name in reference, "drift_tolerance", f"signals among {sorted(reference)}", name)
        _check(_is_number(value) and value >= 0, f"drift_tolerance.{name}", "a finite number >= 0", value)


def _is_number(value: Any) -> bool:  # noqa: ANN401 - judges values read from a file
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check(holds: bool, where: str, expected: object, found: object) -> None:
    if not holds:
        raise BundleError(f"thresholds {where}: expected {expected}, found {found!r}")
