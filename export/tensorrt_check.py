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
from onboard_vla.core.installation import installation
from onboard_vla.export.engine_profiles import bundle_profiles
from onboard_vla.export.tensorrt_build import Shapes, build_plan
from onboard_vla.export.tensorrt_census import census
from onboard_vla.export.weights import language_linears, vision_linears
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.context_length import context_length
from onboard_vla.runtime.engine_choice import require_one_head

TARGET = "SM86"
KINDS = {"fp32": "", "fp16": "half", "int8": "int8", "int8-fp16": "int8"}
"""In which type a plan must multiply the linear layers of a bundle's precision."""


@dataclass(frozen=True)
class Compiled:
    """One graph: size of its plan, seconds, linear layers that the plan multiplies in type `kind`, how many it must.

    `kind`: "int8" or "half" as the bundle has it, empty for float32, where nothing is asked.
    """

    graph: str
    plan_bytes: int
    seconds: float
    kind: str
    found: int
    expected: int
    warnings: tuple[str, ...]


def check_bundle(path: Path) -> list[Compiled]:
    """Compile every graph of a bundle and read from each plan in which types its layers are multiplied.

    Raises:
        BundleError: the bundle has a head of the actions, which no engine takes.
        EnvironmentLacksError: tensorrt-rtx is not installed.
        EngineError: a graph does not compile, a layer is in another type than in the bundle, or the plan does
            not tell.
    """
    bundle = Bundle.open(path)
    require_one_head(bundle)
    manifest, graphs = bundle.manifest, bundle_profiles(bundle.manifest, context_length(bundle))
    return [_check(path, name, profiles, manifest) for name, profiles in graphs.items()]


def _check(path: Path, name: str, profiles: Sequence[Shapes], manifest: BundleManifest) -> Compiled:
    precision = manifest.precision["language" if name == manifest.language_graph else "vision"]
    if precision not in KINDS:
        raise EngineError(
            f"{name} is of precision {precision}, expected one of {', '.join(KINDS)}: TensorRT reads no other"
        )
    started = time.monotonic()
    plan, warnings = compile_graph(path / name, profiles)
    language = name == manifest.language_graph
    linears = language_linears(manifest.model.text.layers) if language else vision_linears(manifest.model.vision.depth)
    kind = KINDS[precision]
    expected = frozenset(linears) - frozenset(manifest.calibration.get("fallbacks", ())) if kind else frozenset()
    found = census(plan, expected).layers(kind) if expected else frozenset[str]()
    if missing := sorted(expected - found):
        raise EngineError(
            f"{name}: the plan multiplies {len(missing)} of {len(expected)} layers in another type than {kind}: "
            f"{missing[:8]}"
        )
    return Compiled(name, len(plan), time.monotonic() - started, kind, len(found), len(expected), warnings)


def compile_graph(path: Path, profiles: Sequence[Shapes]) -> tuple[bytes, tuple[str, ...]]:
    """A plan for TARGET, and the compiler's warnings.

    Raises:
        EnvironmentLacksError: tensorrt-rtx is not installed.
        EngineError: the graph is refused; the compiler's own words are in the message.
    """
    try:
        import tensorrt_rtx as trt
    except ImportError:
        raise EnvironmentLacksError(f"tensorrt-rtx is missing: {installation('rtx')}") from None

    def configure(config: Any) -> None:  # noqa: ANN401  (no stubs)
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, TARGET), 0)

    built = build_plan(trt, path, profiles, configure)
    return built.plan, built.warnings
