"""The declared sensor model, as data: what the supervisor's independent inputs look like, and how wrong they are."""

from __future__ import annotations

from dataclasses import dataclass

PERFECT, MODELLED = "perfect", "modelled"
SENSOR_KINDS = (PERFECT, MODELLED)


@dataclass(frozen=True)
class SensorRow:
    """One sensor. `latency_s`: from the measurement's stamp to delivery; noise as (name, value, unit)."""

    sensor: str
    rate_hz: float
    latency_s: float
    noise: tuple[tuple[str, float, str], ...]

    def value(self, name: str) -> float:
        """The value of a named noise parameter."""
        for key, value, _ in self.noise:
            if key == name:
                return value
        raise KeyError(name)


SENSOR_TABLE: dict[str, SensorRow] = {
    "ego": SensorRow(
        "ego",
        50.0,
        0.010,
        (
            ("position drift sigma", 0.05, "m, each axis, correlated over 10 s"),
            ("position jitter sigma", 0.01, "m, each axis"),
            ("heading sigma", 0.003, "rad"),
            ("speed sigma", 0.05, "m/s"),
            ("acceleration sigma", 0.15, "m/s2"),
            ("yaw rate sigma", 0.003, "rad/s"),
        ),
    ),
    "wheel_speed": SensorRow(
        "wheel_speed",
        50.0,
        0.010,
        (
            ("scale sigma", 0.01, "of the speed, drawn once: the tyres' radius"),
            ("speed sigma", 0.03, "m/s"),
        ),
    ),
    "objects": SensorRow(
        "objects",
        10.0,
        0.120,
        (
            ("position sigma", 0.3, "m, each axis, correlation 0.7 between frames"),
            ("heading sigma", 0.05, "rad, vehicles"),
            ("velocity sigma", 0.4, "m/s, each axis"),
            ("size sigma", 0.1, "m"),
            ("miss share", 0.035, "of object frames"),
            ("id switch share", 0.003, "of object frames"),
            ("occlusion share", 0.85, "of an object's angle hidden by nearer ones: not reported"),
            ("ghost rate", 0.05, "1/s, births"),
            ("ghost frames most", 3.0, "frames, lifetime at most 0.3 s"),
        ),
    ),
    "lanes": SensorRow(
        "lanes",
        10.0,
        0.060,
        (
            ("lateral sigma", 0.08, "m, whole line, correlated over 2 s"),
            ("heading sigma", 0.004, "rad, whole line, correlated over 2 s"),
            ("curvature sigma", 0.00005, "1/m, whole line, correlated over 2 s"),
            ("edge sigma", 0.10, "m, each edge"),
        ),
    ),
    "signals": SensorRow(
        "signals",
        10.0,
        0.060,
        (
            ("position sigma", 0.5, "m, along the lane"),
            ("miss share", 0.02, "of signal frames"),
            ("misread share", 0.002, "of signal frames: another state is reported"),
        ),
    ),
    "conditions": SensorRow("conditions", 1.0, 0.1, ()),
    "route": SensorRow("route", 0.0, 0.0, ()),
}
"""`modelled` rows; under `perfect` the rates hold, noise is zero and nothing is late. The route is given once, exactly.

Signals travel in the lane message. The ego and wheel latency of 10 ms becomes 20 ms where the caller polls every 20 ms.
"""
