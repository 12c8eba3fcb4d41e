"""Which engine runs a bundle's graphs, by name. What is asked for and not there is an error, never another engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from onboard_vla.core.errors import BundleError, ConfigurationError
from onboard_vla.kernels.launch_driver import DriverDevice
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.context_length import context_length
from onboard_vla.runtime.engine import CPU, CUDA, ENGINES, TENSORRT, Engine, OnnxEngine
from onboard_vla.runtime.engine_cache import EngineCache, Target
from onboard_vla.runtime.onnx_cuda_engine import OnnxCudaEngine
from onboard_vla.runtime.tensorrt_engine import GraphMemory, TensorRtEngine
from onboard_vla.runtime.tensorrt_module import import_tensorrt

SUFFIX = ".engines"
"""Of the engine cache's folder beside a bundle, if it is not named."""
LEVEL = 3
"""TensorRT's builder optimisation level, its default."""

Load = Callable[[Path], Engine]


def engines_folder(bundle: Path) -> Path:
    """Where a bundle's engines lie, if nobody says otherwise."""
    return bundle.with_name(bundle.name + SUFFIX)


def build_flags(bundle: Bundle) -> dict[str, Any]:
    """How engines of a bundle are built, and the lengths that they admit; part of their identity."""
    length = context_length(bundle)
    return {"strongly_typed": True, "level": LEVEL, "prompt": length.prompt, "capacity": length.capacity}


def engine_loader(
    kind: str,
    bundle: Bundle,
    *,
    threads: int = 1,
    folder: Path | None = None,
    unjudged: bool = False,
    open_device: Callable[[], GraphMemory] = DriverDevice,
) -> Load:
    """What makes an engine from a graph file of the bundle.

    Args:
        kind: one of `ENGINES`.
        bundle: whose graphs.
        threads: of ONNX Runtime on the processor.
        folder: of TensorRT's engines; `engines_folder` if not given.
        unjudged: take TensorRT's engines, too, whose gate judged nothing.
        open_device: opens the GPU.

    Raises:
        ConfigurationError: there is no such engine.
        EnvironmentLacksError: this machine has no GPU, no CUDA provider or no TensorRT.
        BundleError: there are no engines for this bundle and this machine, or they did not pass the parity gate; or see
            `require_one_head`.
    """
    if kind == CPU:
        return lambda path: OnnxEngine(path, threads)
    require_one_head(bundle)
    if kind == CUDA:
        device = open_device()
        return lambda path: OnnxCudaEngine(path, device)
    if kind != TENSORRT:
        raise ConfigurationError(f"engine {kind!r}: expected one of {', '.join(ENGINES)}")
    trt, device = import_tensorrt(), open_device()
    where = folder or engines_folder(bundle.path)
    cache = EngineCache.admitted(where, bundle, Target.of(trt, device), build_flags(bundle), unjudged=unjudged)
    return lambda path: TensorRtEngine(trt, path.name, cache.plan(path.name), device)


def require_one_head(bundle: Bundle) -> None:
    """Refuse a bundle that is for the processor alone.

    Raises:
        BundleError: it has a head of the actions, whose products of no rows no GPU's engine has been given.
    """
    if bundle.manifest.action_head:
        raise BundleError(
            f"{bundle.path}: has a head of the actions alone, for ONNX Runtime on the processor: set engine {CPU}, "
            "or export without --action-head"
        )


def unproven_loader(bundle: Bundle, folder: Path, trt: Any, device: GraphMemory) -> Load:  # noqa: ANN401
    """As `engine_loader`, for engines that the parity gate has yet to judge."""
    cache = EngineCache.built(folder, bundle, Target.of(trt, device), build_flags(bundle))
    return lambda path: TensorRtEngine(trt, path.name, cache.plan(path.name), device)
