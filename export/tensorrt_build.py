"""Compiles one ONNX graph with TensorRT or TensorRT-RTX: strongly typed, with optimisation profiles.

Precision is the graph's; there is no calibrator, no precision flag, no plugin, so versions 10.3 to 11 and RTX are
called alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.tensorrt_module import new_logger

Shape = tuple[int, ...]
Shapes = Callable[[str, Shape], list[Shape]]
"""Name and shape of an input (-1: any extent) to its least, usual and largest shape."""


@dataclass(frozen=True, eq=False)
class Built:
    """A serialised engine, the compiler's warnings, and what it measured, for the next build."""

    plan: bytes
    warnings: tuple[str, ...]
    timing: bytes


def build_plan(
    trt: Any,  # noqa: ANN401  (no stubs)
    graph: Path,
    profiles: Sequence[Shapes],
    configure: Callable[[Any], None] = lambda _: None,
    timing: bytes | None = None,
) -> Built:
    """Compile a graph.

    Args:
        trt: the module `tensorrt` or `tensorrt_rtx`.
        graph: an ONNX file; weights may lie beside it.
        profiles: one optimisation profile each.
        configure: given the builder's configuration before the build.
        timing: an earlier build's timing cache, empty for the first; None to do without.

    Raises:
        EngineError: the graph is refused; the compiler's own words are in the message.
    """
    logger, said = new_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise EngineError(f"{graph.name}: the compiler does not read it: {errors}")
    config = builder.create_builder_config()
    configure(config)
    cache = None if timing is None else _timing_cache(config, timing)
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for i in range(network.num_inputs):
            tensor = network.get_input(i)
            profile.set_shape(tensor.name, *shapes(tensor.name, tuple(tensor.shape)))
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"{graph.name}: the compiler gives up: {'; '.join(said['error']) or 'it says nothing'}")
    return Built(bytes(plan), tuple(said["warning"]), b"" if cache is None else bytes(cache.serialize()))


def _timing_cache(config: Any, timing: bytes) -> Any:  # noqa: ANN401  (no stubs)
    """The cache of an earlier build, or an empty one where that was another device's or version's."""
    for content in (timing, b""):
        cache = config.create_timing_cache(content)
        if cache is not None and config.set_timing_cache(cache, False):
            return cache
    raise EngineError("TensorRT takes no timing cache, not even an empty one")
