"""Builds a bundle's TensorRT engines on the machine that is to run them, and judges them there before they may be used.

A folder of engines appears whole: built aside, judged, renamed. Engines that miss a bound stay nowhere.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from onboard_vla.core.bundle_manifest import sha256_of
from onboard_vla.core.errors import BundleError
from onboard_vla.export.aside import alone
from onboard_vla.export.doubled_rows import DoubledRows
from onboard_vla.export.engine_profiles import bundle_profiles
from onboard_vla.export.engine_session import LanguageSession, VisionSession
from onboard_vla.export.golden import GoldenScene
from onboard_vla.export.place import obstacle, put_back, put_folder
from onboard_vla.export.scene_runner import SceneRunner
from onboard_vla.export.tensorrt_build import build_plan
from onboard_vla.export.verification import golden_scenes, sizes_of
from onboard_vla.export.verify import Figures, compare
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.context_length import context_length
from onboard_vla.runtime.engine_cache import (
    FORMAT,
    RECORD,
    TIMING,
    CacheRecord,
    EngineRecord,
    Target,
    write_gate,
)
from onboard_vla.runtime.engine_choice import LEVEL, Load, build_flags, require_one_head, unproven_loader
from onboard_vla.runtime.engine_gate import gate_bounds, gate_misses, gate_unjudged
from onboard_vla.runtime.tensorrt_engine import GraphMemory

Progress = Callable[[str, float], None]
ENGINES, REPLACED = "engines", "replaced"
ADVICE = "the engines were removed; the bundle's other engines are not affected"


def build_engines(
    trt: Any,  # noqa: ANN401  (a module without stubs)
    path: Path,
    out: Path,
    device: GraphMemory,
    progress: Progress = lambda _stage, _share: None,
) -> Figures:
    """Build, judge and keep the engines of a bundle; an older folder of engines at `out` is replaced.

    Args:
        trt: the module `tensorrt`.
        path: the bundle.
        out: folder for the engines.
        device: the GPU that they are for, which must be this one.
        progress: called with a stage's name and its finished share, 0 to 1.

    Returns:
        What the parity run on this machine gave.

    Raises:
        BundleError: the bundle is damaged, has no golden scenes, or has a head of the actions; something else lies at
            `out`, or nothing can be moved there; or the engines miss a bound of the gate.
        EngineError: a graph does not compile or does not run.
        EnvironmentLacksError: `out` cannot be written to, or another process builds engines there.
    """
    if (words := obstacle(out)) is not None:
        raise BundleError(words)
    bundle = Bundle.open(path)
    require_one_head(bundle)
    gate_bounds(bundle.manifest.parity)
    golden = golden_scenes(bundle)
    if out.exists() and not (out / RECORD).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out} exists and holds no engines: choose another folder or remove it")
    with alone(out) as partial:
        put_back(partial / REPLACED, out)
        shutil.rmtree(partial, ignore_errors=True)
        folder = partial / ENGINES
        folder.mkdir(parents=True)
        try:
            earlier = out / TIMING
            _build(trt, bundle, folder, device, earlier.read_bytes() if earlier.is_file() else b"", progress)
            figures = judge(bundle, unproven_loader(bundle, folder, trt, device), golden, progress)
            missed = gate_misses(figures.as_table(), bundle.manifest.parity)
            if missed:
                raise BundleError(f"engines of {path} did not pass the parity gate: {'; '.join(missed)}; {ADVICE}")
            write_gate(folder, figures.as_table(), missed, gate_unjudged(bundle.manifest))
            put_folder(folder, out, partial / REPLACED)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return figures


def judge(bundle: Bundle, load: Load, golden: Sequence[GoldenScene], progress: Progress) -> Figures:
    """Run a bundle's golden scenes on engines as the planner runs them: resident cache, profiles, captured graphs.

    Plans are decoded a token a pass, as without guesses; passes over several guessed tokens are compared, too.
    """
    manifest, path = bundle.manifest, bundle.path
    vision = {camera.vision_graph: load(path / camera.vision_graph) for camera in manifest.cameras}
    model, length = manifest.model, context_length(bundle)
    tokens = {c.vision_graph: c.grid_h * c.grid_w // model.vision.merge_size**2 for c in manifest.cameras}
    runner = SceneRunner(
        sizes_of(bundle),
        {name: VisionSession(engine, tokens[name], model.text.hidden_size) for name, engine in vision.items()},
        DoubledRows(LanguageSession(load(path / manifest.language_graph), model.text, length.capacity)),
        bundle.embeddings,
    )
    return compare(runner, golden, bundle.codebook, lambda share: progress("parity on this machine", share))


def _build(
    trt: Any,  # noqa: ANN401
    bundle: Bundle,
    folder: Path,
    device: GraphMemory,
    timing: bytes,
    progress: Progress,
) -> None:
    """Plans, timing cache and record."""
    manifest = bundle.manifest

    def configure(config: Any) -> None:  # noqa: ANN401
        config.builder_optimization_level = LEVEL

    engines: dict[str, EngineRecord] = {}
    graphs = bundle_profiles(manifest, context_length(bundle))
    for done, (name, profiles) in enumerate(graphs.items()):
        progress("build engines", done / len(graphs))
        built = build_plan(trt, bundle.path / name, profiles, configure, timing)
        timing = built.timing
        file = folder / f"{Path(name).stem}.plan"
        file.write_bytes(built.plan)
        engines[name] = EngineRecord(file.name, manifest.files[name].sha256, sha256_of(file), len(built.plan))
    (folder / TIMING).write_bytes(timing)
    CacheRecord(FORMAT, bundle.core_hash, Target.of(trt, device), build_flags(bundle), engines).write(folder)
    progress("build engines", 1.0)
