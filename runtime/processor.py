"""What the processor can do to 8-bit products, and what ONNX Runtime is told about it.

ONNX Runtime's CPU provider turns int8 activations into uint8 ones on x86-64. Processors with VNNI or AMX add up
products of uint8 and int8 in 32 bits. Kernels for the others add pairs of them in 16 bits, which saturate: "overflow
problem" of "x64 SSE4.1/AVX2/AVX512(with no VNNI)" (onnxruntime_session_options_config_keys.h,
`session.x64quantprecision`). With that option both factors are uint8, whose products are added up without loss, and
more slowly.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

X86 = ("x86_64", "AMD64")
CPUINFO = Path("/proc/cpuinfo")
WITHOUT_LOSS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8"})
"""Flags of /proc/cpuinfo that say that products of 8 bits are added up in 32."""
PRECISE = ("session.x64quantprecision", "1")
"""Entry of a session's configuration that asks ONNX Runtime (1.13 or newer) for products without loss."""


def products_saturate(architecture: str, cpuinfo: str | None) -> bool:
    """Whether ONNX Runtime's usual 8-bit products may lose something here.

    Args:
        architecture: of the processor, as `platform.machine` says it.
        cpuinfo: content of /proc/cpuinfo; None where there is none, and then nothing is known to be without loss.
    """
    if architecture not in X86:
        return False
    flags = {word for line in (cpuinfo or "").splitlines() if line.startswith("flags") for word in line.split()}
    return not flags & WITHOUT_LOSS


def ask_for_exact_products(options: Any) -> None:  # noqa: ANN401
    """Have a session of ONNX Runtime compute INT8 without loss on a processor that would not by itself."""
    try:
        cpuinfo = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        cpuinfo = None
    if products_saturate(platform.machine(), cpuinfo):
        options.add_session_config_entry(*PRECISE)
