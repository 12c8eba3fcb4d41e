"""Compile a bundle's graphs with TensorRT-RTX, without a GPU: does the compiler take them, and in which types.

A check, no engine for a vehicle: TensorRT-RTX compiles for desktop GPUs; SM86, Ampere like Orin's SM87, is the nearest.
Networks are strongly typed, so all precision is the graph's; there is no calibrator, no precision flag, no plugin.
Nothing is executed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard_vla.core.bundle_manifest import BundleManifest
from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.export.tensorrt_census import census
from onboard_vla.export.weights import language_linears, vision_linears
from onboard_vla.runtime.bundle import Bundle

TARGET = "SM86"
ITEMS = (1, 2, 12)
"""Camera pairs that the vision encoder sees at once: least, usual, most."""
PROMPT, CAPACITY = 1024, 2048
"""Longest prefill and key-value cache that the profiles admit."""

Shape = tuple[int, ...]
Shapes = Callable[[str, Shape], list[Shape]]


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
    manifest = Bundle.open(path).manifest
    graphs: dict[str, list[Shapes]] = {camera.vision_graph: [vision_profile] for camera in manifest.cameras}
    graphs[manifest.language_graph] = [prefill_profile, decode_profile]
    return [_check(path, name, profiles, manifest) for name, profiles in graphs.items()]


def vision_profile(_: str, shape: Shape) -> list[Shape]:
    """Least, usual and largest shape of the vision graph's input."""
    return [(items, *shape[1:]) for items in ITEMS]


def prefill_profile(name: str, shape: Shape) -> list[Shape]:
    """Shapes of the language graph's inputs when the prompt goes in: nothing in the cache."""
    return _language(name, shape, ((1, 0), (PROMPT // 2, 0), (PROMPT, 0)), (1, 2, 12))


def decode_profile(name: str, shape: Shape) -> list[Shape]:
    """Shapes when one token follows a filled cache."""
    return _language(name, shape, ((1, 1), (1, PROMPT // 2), (1, CAPACITY - 1)), (1, 1, 1))


def _language(name: str, shape: Shape, lengths: tuple[tuple[int, int], ...], rows: Shape) -> list[Shape]:
    if name in ("embeds", "cos", "sin"):
        return [(new, *shape[1:]) for new, _ in lengths]
    if name == "bias":
        return [(new, past + new) for new, past in lengths]
    if name == "rows":
        return [(count,) for count in rows]
    return [(past, *shape[1:]) for _, past in lengths]


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
    logger, said = _logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(path)):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise EngineError(f"{path.name}: the compiler does not read it: {errors}")
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, TARGET), 0)
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for i in range(network.num_inputs):
            tensor = network.get_input(i)
            profile.set_shape(tensor.name, *shapes(tensor.name, tuple(tensor.shape)))
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"{path.name}: the compiler gives up: {'; '.join(said['error']) or 'it says nothing'}")
    return bytes(plan), tuple(said["warning"])


def _logger(trt: Any) -> tuple[Any, Mapping[str, list[str]]]:  # noqa: ANN401  (no stubs)
    said: dict[str, list[str]] = {"error": [], "warning": []}

    class Logger(trt.ILogger):
        """Keeps what the compiler says."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:  # noqa: ANN401
            """One line of the compiler."""
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                said["error"].append(message)
            elif severity == trt.ILogger.WARNING:
                said["warning"].append(message)

    return Logger(), said
