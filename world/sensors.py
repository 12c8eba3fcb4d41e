"""The supervisor's inputs as its vehicle would measure them: late, noisy, with misses and ghosts, or exact."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import NANOSECONDS, nanoseconds, seconds
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.road import SIGNAL_STATES, LaneObservation, Signal
from onboard_vla.world.object_sensor import ObjectSensor
from onboard_vla.world.sensor_table import MODELLED, SENSOR_KINDS, SENSOR_TABLE, SensorRow

if TYPE_CHECKING:
    from onboard_vla.world.world import World

Sensed = EgoState | WheelSpeed | ObjectList | LaneObservation | OperatingConditions

__all__ = ["SENSOR_KINDS", "SENSOR_TABLE", "Sensed", "SensorModel", "SensorRow"]

EGO_DRIFT_S, LANE_DRIFT_S = 10.0, 2.0
"""Correlation times of the slow errors, as declared in the table."""


class SensorModel:
    """Measures a world and hands each message out when its delivery time has come. Deterministic per seed and kind."""

    def __init__(self, seed: int, kind: str = MODELLED) -> None:
        if kind not in SENSOR_KINDS:
            raise ConfigurationError(f"sensor: expected one of {', '.join(SENSOR_KINDS)}, found {kind!r}")
        self.kind = kind
        streams = np.random.SeedSequence([seed, zlib.crc32(b"sensors")]).spawn(4)
        ego_rng, object_rng, lane_rng, wheel_rng = (np.random.default_rng(s) for s in streams)
        self._ego, self._objects, self._lanes = _EgoSensor(ego_rng), ObjectSensor(object_rng), _LaneSensor(lane_rng)
        self._wheels = _WheelSensor(wheel_rng)
        self._next_ns = {"ego": 0, "wheel_speed": 0, "objects": 0, "lanes": 0, "conditions": 0}
        self._waiting: list[tuple[int, Sensed]] = []

    def due(self, world: World) -> list[Sensed]:
        """Take the measurements that are due now and return what is delivered now, oldest first. Call every 20 ms."""
        now = world.time_ns
        exact = self.kind != MODELLED
        for sensor in self._next_ns:
            if now < self._next_ns[sensor]:
                continue
            row = SENSOR_TABLE[sensor]
            period = round(NANOSECONDS / row.rate_hz)
            on_schedule = self._next_ns[sensor] + period
            self._next_ns[sensor] = on_schedule if on_schedule > now else now + period
            message = self._measure(sensor, world, exact)
            self._waiting.append((now + (0 if exact else nanoseconds(row.latency_s)), message))
        delivered = [message for at, message in self._waiting if at <= now]
        self._waiting = [(at, message) for at, message in self._waiting if at > now]
        return delivered

    def _measure(self, sensor: str, world: World, exact: bool) -> Sensed:
        if sensor == "ego":
            return world.ego if exact else self._ego.measure(world.ego)
        if sensor == "wheel_speed":
            truth = world.ego
            return WheelSpeed(truth.stamp_ns, truth.speed_mps) if exact else self._wheels.measure(truth)
        if sensor == "objects":
            return world.objects() if exact else self._objects.measure(world.objects(), world.ego)
        if sensor == "conditions":
            return world.conditions
        return world.lanes() if exact else self._lanes.measure(world.lanes(), world.ego)


class _Drift:
    """An Ornstein-Uhlenbeck error of `size` components with unit standard deviation."""

    def __init__(self, rng: np.random.Generator, size: int, correlation_s: float) -> None:
        self._rng, self._correlation_s = rng, correlation_s
        self._value = rng.standard_normal(size)
        self._stamp_ns = 0

    def at(self, stamp_ns: int) -> NDArray[np.float64]:
        """The error at a stamp not before the last one."""
        keep = math.exp(-seconds(stamp_ns - self._stamp_ns) / self._correlation_s)
        fresh = self._rng.standard_normal(len(self._value))
        self._value = keep * self._value + math.sqrt(1.0 - keep * keep) * fresh
        self._stamp_ns = stamp_ns
        return self._value


class _EgoSensor:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._drift = rng, _Drift(rng, 2, EGO_DRIFT_S)

    def measure(self, truth: EgoState) -> EgoState:
        row = SENSOR_TABLE["ego"]
        drift = self._drift.at(truth.stamp_ns) * row.value("position drift sigma")
        x, y, heading, speed, acceleration, yaw_rate = self._rng.standard_normal(6).tolist()
        jitter = row.value("position jitter sigma")
        return EgoState(
            truth.stamp_ns,
            truth.x_m + float(drift[0]) + x * jitter,
            truth.y_m + float(drift[1]) + y * jitter,
            truth.heading_rad + heading * row.value("heading sigma"),
            max(0.0, truth.speed_mps + speed * row.value("speed sigma")) if truth.speed_mps > 0.05 else 0.0,
            truth.acceleration_mps2 + acceleration * row.value("acceleration sigma"),
            truth.yaw_rate_rps + yaw_rate * row.value("yaw rate sigma"),
        )


class _WheelSensor:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._scale = 1.0 + SENSOR_TABLE["wheel_speed"].value("scale sigma") * float(rng.standard_normal())

    def measure(self, truth: EgoState) -> WheelSpeed:
        noise = float(self._rng.standard_normal()) * SENSOR_TABLE["wheel_speed"].value("speed sigma")
        turning = truth.speed_mps > 0.05
        return WheelSpeed(truth.stamp_ns, max(0.0, truth.speed_mps * self._scale + noise) if turning else 0.0)


class _LaneSensor:
    def __init__(self, rng: np.random.Generator) -> None:
        self._rng, self._drift = rng, _Drift(rng, 3, LANE_DRIFT_S)

    def measure(self, truth: LaneObservation, ego: EgoState) -> LaneObservation:
        row = SENSOR_TABLE["lanes"]
        lateral, heading, curvature = self._drift.at(truth.stamp_ns).tolist()
        line = truth.centreline
        steps = np.gradient(line, axis=0)
        steps /= np.hypot(steps[:, 0], steps[:, 1])[:, None]
        along = np.cumsum(np.concatenate([[0.0], np.hypot(*np.diff(line, axis=0).T)]))
        here = along[int(np.argmin(np.hypot(line[:, 0] - ego.x_m, line[:, 1] - ego.y_m)))]
        ahead = along - here
        shift = (
            lateral * row.value("lateral sigma")
            + heading * row.value("heading sigma") * ahead
            + 0.5 * curvature * row.value("curvature sigma") * ahead**2
        )
        normals = np.stack([-steps[:, 1], steps[:, 0]], axis=1)
        edges = self._rng.standard_normal(2) * row.value("edge sigma")
        return replace(
            truth,
            centreline=line + shift[:, None] * normals,
            left_m=np.maximum(truth.left_m + edges[0], 0.5),
            right_m=np.maximum(truth.right_m + edges[1], 0.5),
            signals=self._signals(truth.signals, steps[-1]),
        )

    def _signals(self, signals: tuple[Signal, ...], direction: NDArray[np.float64]) -> tuple[Signal, ...]:
        row, seen = SENSOR_TABLE["signals"], []
        for signal in signals:
            miss, misread = self._rng.uniform(size=2)
            off = float(self._rng.standard_normal()) * row.value("position sigma")
            other = [state for state in SIGNAL_STATES if state != signal.state]
            state = other[int(self._rng.integers(0, 2))] if misread < row.value("misread share") else signal.state
            if miss >= row.value("miss share"):
                x, y = signal.x_m + off * float(direction[0]), signal.y_m + off * float(direction[1])
                seen.append(Signal(signal.signal_id, x, y, state))
        return tuple(seen)
