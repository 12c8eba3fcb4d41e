"""The operational design domain as data, and whether the vehicle is in it. Leaving it asks the ladder for a mode.

Only what was declared is asked for: where a list is empty, nothing has to be known of that aspect. On a vehicle every
list has to be declared before anybody may engage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.conditions import LIGHTS, ROAD_CLASSES, UNKNOWN, WEATHERS, OperatingConditions
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.validated import Validated, limit, names
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.guards.clock_step import Restate
from onboard_vla.safety.ladder_state import Request
from onboard_vla.safety.message_types import fits


@dataclass(frozen=True)
class OperationalDesignDomain(Validated):
    """Where and when the system may drive, and the least mode (1 to 3) that leaving each aspect asks for."""

    speed_min_mps: float = limit(0.0, "m/s", "own", 0.0, 40.0)
    speed_max_mps: float = limit(130 / 3.6, "m/s", "own: UN R157's upper bound; the model drives no faster", 1.0, 40.0)
    speed_margin_mps: float = limit(1.0, "m/s", "own: noise and overshoot, to either side", 0.0, 5.0)
    road_classes: tuple[str, ...] = names((), "own: to be declared", ROAD_CLASSES)
    lights: tuple[str, ...] = names((), "own: to be declared", LIGHTS)
    weathers: tuple[str, ...] = names((), "own: to be declared", WEATHERS)
    areas: tuple[str, ...] = names((), "own: to be declared; names of mapped areas")
    conditions_age_s: float = limit(3.0, "s", "own: three periods at 1 Hz", 0.2, 60.0)
    speed_level: int = limit(1, "(least mode)", "own: slower is the answer", 1, 3)
    road_class_level: int = limit(2, "(least mode)", "own: lane keeping until somebody takes over, 30 s", 1, 3)
    light_level: int = limit(2, "(least mode)", "own: the fallback needs no camera of the model", 1, 3)
    weather_level: int = limit(2, "(least mode)", "own: as light", 1, 3)
    area_level: int = limit(3, "(least mode)", "own: no map, no lanes to keep to", 1, 3)
    unknown_level: int = limit(2, "(least mode)", "own: conditions missing, silent, stale or unknown", 1, 3)

    @property
    def declared(self) -> dict[str, tuple[str, ...]]:
        """What has to be known, by the field of the conditions that says it."""
        aspects = {"road_class": self.road_classes, "light": self.lights, "weather": self.weathers, "area": self.areas}
        return {name: words for name, words in aspects.items() if words}

    @property
    def undeclared(self) -> tuple[str, ...]:
        """The aspects that nothing was declared of."""
        return tuple(name for name in ("road_class", "light", "weather", "area") if name not in self.declared)


class DomainWatch:
    """Keeps the newest conditions. What is malformed, from the future or no newer than the last does not count."""

    def __init__(self, domain: OperationalDesignDomain, future_s: float) -> None:
        self._domain, self._future_s = domain, future_s
        self._newest: OperatingConditions | None = None
        self._received_ns = 0
        self._refused: Reason | None = None

    def receive(self, message: OperatingConditions, now: Now) -> None:
        """Keep it, or remember what is wrong with it until a good one comes."""
        words = (message.road_class, message.light, message.weather, message.area)
        stamped = type(message.stamp_ns) is int and fits(message.stamp_ns)
        if not stamped or not all(isinstance(word, str) for word in words):
            self._refused = Reason("ODD_CONDITIONS_MALFORMED", 1.0, 0.0, "fields of another type")
            return
        ahead_s = seconds(message.stamp_ns - now.stamp_ns)
        if ahead_s > self._future_s:
            self._refused = Reason("ODD_CONDITIONS_FROM_FUTURE", ahead_s, self._future_s, "stamp, s ahead")
            return
        if self._newest is None or message.stamp_ns > self._newest.stamp_ns:
            self._newest, self._received_ns, self._refused = message, now.monotonic_ns, None

    def restate(self, clock: Restate) -> None:
        """The data clock has stepped: restate the newest conditions' stamp on it."""
        if self._newest is not None:
            self._newest = replace(self._newest, stamp_ns=clock(self._newest.stamp_ns))

    def requests(self, speed_mps: float | None, now: Now) -> list[Request]:
        """What the present speed and conditions ask for; empty inside the domain."""
        return self._speed_requests(speed_mps) + self._condition_requests(now)

    def _speed_requests(self, speed_mps: float | None) -> list[Request]:
        domain = self._domain
        if speed_mps is None:
            return []  # an unknown speed is the ego guard's business, and worse
        low, high = domain.speed_min_mps, domain.speed_max_mps
        level = Mode(domain.speed_level)
        if speed_mps > high + domain.speed_margin_mps:
            return [_left(level, Reason("ODD_SPEED", speed_mps, high, "speed above the domain's, m/s"))]
        if speed_mps < low - domain.speed_margin_mps:
            return [_left(level, Reason("ODD_SPEED", speed_mps, low, "speed below the domain's, m/s"))]
        return []

    def _condition_requests(self, now: Now) -> list[Request]:
        domain = self._domain
        if not domain.declared:
            return []
        unknown = Mode(domain.unknown_level)
        if self._refused is not None:
            return [_left(unknown, self._refused)]
        if self._newest is None:
            wanted = ", ".join(domain.declared)
            return [_left(unknown, Reason("ODD_CONDITIONS_MISSING", 0.0, 1.0, f"none received; declared: {wanted}"))]
        highest = domain.conditions_age_s
        silent = seconds(now.monotonic_ns - self._received_ns)
        if silent > highest:
            return [_left(unknown, Reason("ODD_CONDITIONS_SILENT", silent, highest, "since they were received, s"))]
        age = seconds(now.stamp_ns - self._newest.stamp_ns)
        if age > highest:
            return [_left(unknown, Reason("ODD_CONDITIONS_STALE", age, highest, "age of the conditions, s"))]
        levels = {
            "road_class": domain.road_class_level,
            "light": domain.light_level,
            "weather": domain.weather_level,
            "area": domain.area_level,
        }
        found = []
        for aspect, words in domain.declared.items():
            present = getattr(self._newest, aspect)
            if present == UNKNOWN:
                found.append(_left(unknown, Reason("ODD_UNKNOWN", 0.0, 1.0, f"{aspect} is not known")))
            elif present not in words:
                detail = f"{aspect} {present[:50]!r}; declared: {', '.join(words)}"
                found.append(_left(Mode(levels[aspect]), Reason(f"ODD_{aspect.upper()}", 1.0, 0.0, detail[:300])))
        return found


def undeclared(domain: OperationalDesignDomain) -> Reason | None:
    """Why a vehicle may not engage with this declaration; None when every aspect was declared."""
    missing = domain.undeclared
    if not missing:
        return None
    return Reason("ODD_UNDECLARED", float(len(missing)), 0.0, f"not declared: {', '.join(missing)}")


def _left(level: Mode, reason: Reason) -> Request:
    return Request(level, reason, outside=True)
