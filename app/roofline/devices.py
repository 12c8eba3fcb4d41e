"""What machines can do at best: memory bandwidth, and rates of matrix products without sparsity.

Data, with their public sources. Vendors print rates with 2:4 sparsity; no graph of ours has that, so half of them stand
here. An accelerator's float is fp16 in two bytes, a processor's fp32 in four.
"""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.errors import ArgumentError

THIS = "this"
"""Key of the machine that the program runs on."""
HALF, SINGLE = 2, 4
TERA, GIGA = 1e12, 1e9
ENDLESS = float("inf")


@dataclass(frozen=True)
class Device:
    """A machine.

    `bandwidths`: pairs (working set up to this many bytes, bytes a second), ascending; the last one holds for all
    beyond. `per_float`: bytes of a float value. `measured`: by the probe, else from `sources`.
    """

    key: str
    name: str
    bandwidths: tuple[tuple[float, float], ...]
    int8_per_s: float
    float_per_s: float
    per_float: int
    note: str
    sources: tuple[str, ...]
    measured: bool = False

    def bandwidth(self, working_set: int) -> float:
        """Bytes a second of a run that moves this many bytes."""
        return next((rate for most, rate in self.bandwidths if working_set <= most), self.bandwidths[-1][1])


def _jetson(key: str, name: str, gb_per_s: float, int8_tera: float, note: str, *sources: str) -> Device:
    """fp16 runs at half the rate of INT8 on all of them."""
    memory = ((ENDLESS, gb_per_s * GIGA),)
    return Device(key, name, memory, int8_tera * TERA, int8_tera / 2 * TERA, HALF, note, sources)


ORIN_BRIEF = "NVIDIA Jetson AGX Orin Series Technical Brief v1.2 (July 2022)"
ORIN_NX_SHEET = "NVIDIA Jetson Orin NX Series datasheet (DS-10712-001)"
THOR_SHEET = "NVIDIA Jetson Thor Series Modules datasheet (2025): 2,070 FP4 and 1,035 FP8 TFLOPS, sparse; 273 GB/s"
H200_SHEET = "NVIDIA H200 Tensor Core GPU datasheet: 4.8 TB/s, INT8 3,958 TOPS and FP16 1,979 TFLOPS, sparse"

DEVICES = (
    _jetson(
        "agx-orin-64",
        "Jetson AGX Orin 64GB",
        204.8,
        85.0,
        "GPU alone (170 sparse TOPS of the module's 275): no attention runs on the DLAs",
        ORIN_BRIEF,
    ),
    _jetson(
        "agx-orin-32",
        "Jetson AGX Orin 32GB",
        204.8,
        54.0,
        "GPU alone (108 sparse TOPS of the module's 200)",
        ORIN_BRIEF,
    ),
    _jetson(
        "orin-nx-16",
        "Jetson Orin NX 16GB",
        102.4,
        30.0,
        "GPU alone (60 sparse TOPS of the module's 100): 32 tensor cores at 918 MHz; without Super mode",
        ORIN_NX_SHEET,
    ),
    _jetson(
        "thor",
        "Jetson Thor T5000",
        273.0,
        517.0,
        "INT8 taken at the rate published for FP8; FP4, which no graph of ours uses, is twice that",
        THOR_SHEET,
    ),
    _jetson("h200", "H200 SXM", 4800.0, 1979.0, "a data centre's GPU, for comparison", H200_SHEET),
)


def device_of(key: str) -> Device:
    """A machine of the table.

    Raises:
        ArgumentError: there is none of that name.
    """
    for device in DEVICES:
        if device.key == key:
            return device
    known = ", ".join((THIS, *(device.key for device in DEVICES)))
    raise ArgumentError(f"--device {key!r}: expected one of {known}")
