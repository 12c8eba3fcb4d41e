"""Compile a bundle's graphs with TensorRT-RTX, without a GPU: does the compiler take them, and in which types.

A check, no engine for a vehicle: TensorRT-RTX compiles for desktop GPUs; SM86, Ampere like Orin's SM87, is the nearest.
Networks are strongly typed, so all precision is the graph's; there is no calibrator, no precision flag, no plugin.
Nothing is executed.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard_vla.core.bundle_manifest import BundleManifest
from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.export.engine_profiles import bundle_profiles
from onboard_vla.export.tensorrt_build import Shapes, build_plan
from onboard_vla.export.tensorrt_census import census
from onboard_vla.export.weights import language_linears, vision_linears
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.context_length import context_length

TARGET = "SM86"


@dataclass(frozen=True)
class Compiled:
    """One graph: size of its plan, seconds, linear layers that the plan computes in integers, how many it must."""

    graph: str
    plan_bytes: int
    seconds: float
    integer: int
    expected: int
    warnings: tuple[str, ...]


def check_bundle(path: Path) -> list[Compiled]:
    """Compile every graph of a bundle and read from each plan which layers are integer.

    Raises:
        EnvironmentLacksError: tensorrt-rtx is not installed.
        EngineError: a graph does not compile, a layer that is INT8 in the bundle is not in the plan, or the plan does
            not tell.
    """
    bundle = Bundle.open(path)
    manifest, graphs = bundle.manifest, bundle_profiles(bundle.manifest, context_length(bundle))
    return [_check(path, name, profiles, manifest) for name, profiles in graphs.items()]


def _check(path: Path, name: str, profiles: Sequence[Shapes], manifest: BundleManifest) -> Compiled:
    started = time.monotonic()
    plan, warnings = compile_graph(path / name, profiles)
    language = name == manifest.language_graph
    linears = language_linears(manifest.model.text.layers) if language else vision_linears(manifest.model.vision.depth)
    integer = manifest.precision["language" if language else "vision"] == "int8"
    expected = frozenset(linears) - frozenset(manifest.calibration.get("fallbacks", ())) if integer else frozenset()
    found = census(plan, expected).integer() if expected else frozenset[str]()
    if missing := sorted(expected - found):
        raise EngineError(
            f"{name}: the plan computes {len(missing)} of {len(expected)} INT8 layers in another type: {missing[:8]}"
        )
    return Compiled(name, len(plan), time.monotonic() - started, len(found), len(expected), warnings)


def compile_graph(path: Path, profiles: Sequence[Shapes]) -> tuple[bytes, tuple[str, ...]]:
    """A plan for TARGET, and the compiler's warnings.

    Raises:
        EnvironmentLacksError: tensorrt-rtx is not installed.
        EngineError: the graph is refused; the compiler's own words are in the message.
    """
    try:
        import tensorrt_rtx as trt
    except ImportError:
        raise EnvironmentLacksError("tensorrt-rtx is missing: pip install 'onboard-vla[rtx]'") from None

    def configure(config: Any) -> None:  # noqa: ANN401  (no stubs)
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, TARGET), 0)

    built = build_plan(trt, path, profiles, configure)
    return built.plan, built.warnings
