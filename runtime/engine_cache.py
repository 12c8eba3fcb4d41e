"""Engines built on a target, in a folder of their own: what they were built from, where, and whether they may be used.

    engines.json    core hash; target (TensorRT, device, driver, power mode); flags; hashes of each graph and plan
    *.plan          serialised engines
    gate.json       figures of the parity run on this target, bound to engines.json by its hash
    timing.cache    what TensorRT measured; speeds up the next build, no part of the engines

Nothing here is repaired or built by the way: what disagrees is refused with the field and both values.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from onboard_vla.core.bundle_manifest import sha256_of
from onboard_vla.core.errors import BundleError, EnvironmentLacksError
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine_gate import gate_misses, gate_unjudged

FORMAT = 1
RECORD, GATE, TIMING = "engines.json", "gate.json", "timing.cache"
AGAIN = "build again on this machine: onboard-vla build-engine"
POWER_TOOL = "nvpmodel"
POWER_TOOL_LIMIT_S = 5.0


class DeviceFacts(Protocol):
    """What a target needs of a GPU."""

    name: str
    capability: tuple[int, int]
    driver_cuda: tuple[int, int]


@dataclass(frozen=True)
class Target:
    """What an engine is bound to beside its graph."""

    tensorrt: str
    device: str
    capability: str
    driver_cuda: str
    power_mode: str

    @classmethod
    def of(cls, trt: Any, device: DeviceFacts) -> Target:  # noqa: ANN401  (a module without stubs)
        """This machine."""
        capability, driver = (".".join(map(str, version)) for version in (device.capability, device.driver_cuda))
        return cls(str(trt.__version__), device.name, capability, driver, power_mode())


def power_mode() -> str:
    """Jetson's power mode, as `nvpmodel -q` prints it; "none" elsewhere. Unverified on a Jetson.

    Raises:
        EnvironmentLacksError: the tool is there and does not tell: engines of an unknown mode would fit any.
    """
    tool = shutil.which(POWER_TOOL)
    if tool is None:
        return "none"
    try:
        done = subprocess.run([tool, "-q"], capture_output=True, text=True, timeout=POWER_TOOL_LIMIT_S, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentLacksError(f"{tool} -q does not tell the power mode: {error}") from None
    lines = [line.split(":", 1)[1].strip() for line in done.stdout.splitlines() if line.startswith("NV Power Mode")]
    if not lines:
        raise EnvironmentLacksError(f"{tool} -q tells no power mode, it says {done.stdout[:200]!r}")
    return lines[0]


@dataclass(frozen=True)
class EngineRecord:
    """One graph's engine."""

    file: str
    graph_sha256: str
    plan_sha256: str
    bytes: int


@dataclass(frozen=True)
class CacheRecord:
    """`engines.json`. `flags`: how the engines were built and for which lengths."""

    format: int
    core_hash: str
    target: Target
    flags: Mapping[str, Any]
    engines: Mapping[str, EngineRecord]

    def write(self, folder: Path) -> None:
        """Into the folder."""
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> CacheRecord:
        """From the folder.

        Raises:
            BundleError: there is none, or it is not one.
        """
        document = _read_json(folder / RECORD)
        if document.get("format") != FORMAT:
            raise BundleError(f"{folder / RECORD}: expected format {FORMAT}, found {document.get('format')!r}: {AGAIN}")
        try:
            engines = {name: EngineRecord(**engine) for name, engine in document.pop("engines").items()}
            return cls(target=Target(**document.pop("target")), engines=engines, **document)
        except (KeyError, TypeError, AttributeError) as error:
            raise BundleError(f"{folder / RECORD} is no record of engines ({error}): {AGAIN}") from None


class EngineCache:
    """Engines that fit a bundle and this machine; `plan` reads one. Made by `admitted`, or `built` before the gate."""

    def __init__(self, folder: Path, record: CacheRecord) -> None:
        self._folder, self._record = folder, record

    @classmethod
    def built(cls, folder: Path, bundle: Bundle, target: Target, flags: Mapping[str, Any]) -> EngineCache:
        """The engines in a folder, if they were built from this bundle, for this target, with these flags.

        Raises:
            BundleError: something is missing, damaged, stale or foreign; field, both values and what to do.
        """
        record = CacheRecord.read(folder)
        found = {"core_hash": record.core_hash, **asdict(record.target), **_named(record.flags)}
        expected = {"core_hash": bundle.core_hash, **asdict(target), **_named(flags)}
        for field in sorted(found.keys() | expected.keys()):
            if found.get(field) != expected.get(field):
                raise BundleError(
                    f"{folder}: {field} of these engines is {found.get(field)!r}, "
                    f"here it is {expected.get(field)!r}: {AGAIN}"
                )
        manifest = bundle.manifest
        graphs = {manifest.language_graph, *(camera.vision_graph for camera in manifest.cameras)}
        if record.engines.keys() != graphs:
            raise BundleError(
                f"{folder}: engines of {sorted(record.engines)}, the bundle has {sorted(graphs)}: {AGAIN}"
            )
        for name, engine in record.engines.items():
            wanted = manifest.files[name].sha256
            if engine.graph_sha256 != wanted:
                raise BundleError(f"{folder}: {name} had sha256 {engine.graph_sha256}, it has {wanted}: {AGAIN}")
            file = folder / engine.file
            if not file.is_file() or sha256_of(file) != engine.plan_sha256:
                raise BundleError(f"{file} is missing or damaged: expected sha256 {engine.plan_sha256}: {AGAIN}")
        return cls(folder, record)

    @classmethod
    def admitted(
        cls, folder: Path, bundle: Bundle, target: Target, flags: Mapping[str, Any], *, unjudged: bool = False
    ) -> EngineCache:
        """As `built`, and the parity gate was passed by these very engines.

        `unjudged`: take them, too, where the gate or the export judged nothing, for there were no scenes; not for
        vehicles.

        Raises:
            BundleError: as `built`; or the gate was not run, was run on others, was not passed, or judged nothing.
        """
        cache = cls.built(folder, bundle, target, flags)
        gate = _read_json(folder / GATE)
        found, wanted = gate.get("engines_sha256"), sha256_of(folder / RECORD)
        if gate.get("format") != FORMAT or found != wanted:
            raise BundleError(f"{folder / GATE} judged engines of record {found!r}, these have {wanted!r}: {AGAIN}")
        figures = gate.get("figures")
        if missed := gate_misses(figures if isinstance(figures, dict) else {}, bundle.manifest.parity):
            raise BundleError(f"{folder}: these engines did not pass the parity gate: {'; '.join(missed)}")
        if not unjudged and (points := gate_unjudged(bundle.manifest)):
            raise BundleError(
                f"{folder}: these engines are unjudged ({'; '.join(points)}): export the bundle with scenes of the "
                "deployment (docs/export.md) and build again; not on a vehicle, unjudged_engines takes them"
            )
        return cache

    def plan(self, graph: str) -> bytes:
        """The serialised engine of a graph of the bundle."""
        return (self._folder / self._record.engines[graph].file).read_bytes()


def write_gate(folder: Path, figures: Mapping[str, float], missed: list[str], unjudged: Sequence[str]) -> None:
    """Note what the parity run on this target gave, passed or not, and what it leaves unjudged."""
    document = {
        "format": FORMAT,
        "engines_sha256": sha256_of(folder / RECORD),
        "figures": dict(figures),
        "missed": missed,
        "unjudged": list(unjudged),
    }
    (folder / GATE).write_text(json.dumps(document, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _named(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {f"flags.{name}": value for name, value in flags.items()}


def _read_json(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{file} is missing: {AGAIN}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise BundleError(f"{file} cannot be read as JSON ({error}): {AGAIN}") from None
    if not isinstance(document, dict):
        raise BundleError(f"{file}: expected a JSON object: {AGAIN}")
    return document
