"""Floors: no machine runs a stage faster than its bytes through the memory and its operations through the units.

The roofline model (Williams, Waterman, Patterson 2009, doi:10.1145/1498765.1498785): the longer of both, as if they
overlapped perfectly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onboard_vla.app.roofline.devices import Device
from onboard_vla.app.roofline.stages import DECODE, HEAD, STAGES, PlanSizes
from onboard_vla.export.graph_cost import Cost

TARGETS_MS = (95.0, 120.0)
"""What the project was asked for: 95 ms a plan, from 120 ms. Targets, of no machine and no number of cameras."""
USUAL_BANDWIDTH, USUAL_COMPUTE = 0.70, 0.47
"""Shares of the peaks that published runs reach on AGX Orin: 127 to 160 of 204.8 GB/s when decoding, and 19 to 21 of
42.5 TFLOPS in prefill (NVIDIA/TensorRT-Edge-LLM, performance-benchmarks page and issue 60). Nobody has published what
INT8 products of such a model reach there; the same share is taken."""
MEASURED, PROJECTION = "measured", "PROJECTION"
MILLI = 1e3


@dataclass(frozen=True)
class StageFloor:
    """One run of one stage on one machine, ms. `measured_ms`: on this machine, else None."""

    stage: str
    bytes: int
    int8_operations: int
    float_operations: int
    memory_ms: float
    compute_ms: float
    usual_ms: float
    measured_ms: float | None

    @property
    def floor_ms(self) -> float:
        """The longer of both."""
        return max(self.memory_ms, self.compute_ms)

    @property
    def bound(self) -> str:
        """What the floor is made of."""
        return "memory" if self.memory_ms >= self.compute_ms else "compute"

    @property
    def over_floor(self) -> float | None:
        """Measured over floor."""
        return None if self.measured_ms is None else self.measured_ms / self.floor_ms


@dataclass(frozen=True)
class PlanFloor:
    """A fast plan of one model on one machine: its stages in steady state, and with nothing known yet (`cold`)."""

    model: str
    precision: str
    device: Device
    sizes: PlanSizes
    passes: int
    steady: tuple[StageFloor, ...]
    cold: tuple[StageFloor, ...]

    @property
    def kind(self) -> str:
        """Whether the stages were run on this machine."""
        return PROJECTION if self.steady[0].measured_ms is None else MEASURED

    @property
    def floor_ms(self) -> float:
        """Steady state."""
        return self._sum({s.stage: s.floor_ms for s in self.steady})

    @property
    def cold_floor_ms(self) -> float:
        """Nothing known yet."""
        return self._sum({s.stage: s.floor_ms for s in self.cold})

    @property
    def expected_ms(self) -> float:
        """Measured stages, or what the usual shares of the peaks give; nothing outside the stages is in it."""
        return self._sum({s.stage: s.usual_ms if s.measured_ms is None else s.measured_ms for s in self.steady})

    def verdict(self, target_ms: float) -> str:
        """Whether a plan can be there in time; `kind` says what that rests on.

        "only above N%": a machine that runs every stage at that share of its roofline is in time, a usual one is not.
        """
        if self.floor_ms > target_ms:
            return "not reachable"
        if self.expected_ms <= target_ms:
            return "reachable"
        return "not reached" if self.kind == MEASURED else f"only above {self.floor_ms / target_ms:.0%}"

    def _sum(self, stages: Mapping[str, float]) -> float:
        """One prefill, the other passes are decode steps, of which the head is part."""
        runs = {DECODE: self.passes - 1, HEAD: 0}
        return sum(runs.get(stage, 1) * ms for stage, ms in stages.items())


def floors(costs: Mapping[str, Cost], device: Device, measured_s: Mapping[str, float] | None) -> tuple[StageFloor, ...]:
    """Every stage's floor on a machine."""
    return tuple(
        _floor(stage, costs[stage], device, None if measured_s is None else measured_s[stage] * MILLI)
        for stage in STAGES
    )


def _floor(stage: str, cost: Cost, device: Device, measured_ms: float | None) -> StageFloor:
    moved = cost.bytes(device.per_float)
    memory_ms = moved / device.bandwidth(moved) * MILLI
    compute_ms = (cost.int8_operations / device.int8_per_s + cost.float_operations / device.float_per_s) * MILLI
    bandwidth, compute = (1.0, 1.0) if device.measured else (USUAL_BANDWIDTH, USUAL_COMPUTE)
    return StageFloor(
        stage=stage,
        bytes=moved,
        int8_operations=cost.int8_operations,
        float_operations=cost.float_operations,
        memory_ms=memory_ms,
        compute_ms=compute_ms,
        usual_ms=max(memory_ms / bandwidth, compute_ms / compute),
        measured_ms=measured_ms,
    )
