"""Export at full size: time, peak memory and sizes for checkpoints of Qwen2.5-VL-3B's real dimensions.

    python benchmarks/export_3b.py --json                    # INT8 with given ranges, from safetensors and from a .ckpt
    python benchmarks/export_3b.py --calibrate 2 --json      # ranges observed on that many scenes, layer by layer
    python benchmarks/export_3b.py --golden 2 --json         # with golden scenes: float32 references, parity as a whole
    python benchmarks/export_3b.py --calibrate 64 --project 2 4 --json    # few layers, time projected to all of them

Protocol: a checkpoint with random weights is made (see `export_3b_checkpoint`; the vocabulary has 153,713 ids, three
cameras of 420x224, four frames each, as AutoVLA) and exported by a process of its own; time is from its start to its
end, processor time and peak resident memory are what the kernel accounted to it, mapped pages included, `stages` its
parts. Then the same for the next format. 13 GB of disk at most; all is removed in the end unless --keep. The time of
making checkpoints is in `total_seconds` alone.

With --project A B the same is done with A and with B layers of the language model and as many of the vision encoder, at
real widths, vocabulary and pictures. Memory holds one layer at a time and the head is whole in both, so their peaks are
measured; the time of all layers, processor's and the clock's, is a projection: what A took, and for each layer more
what B took more, for each part of the model by its number of weights. The clock's is what is held against the aim. With
--layers N nothing is held against the aims, which are the whole model's.

With --golden N the float32 model answers N scenes layer by layer and the INT8 graphs, run as a whole, are held to it.
Random weights answer at random: figures of parity mean nothing, the codebook's motions are too small to miss a limit.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from export_3b_checkpoint import CONFIG, TEXT, VISION, make_checkpoint, prepare_scenes

from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.export.checkpoint_config import read_dimensions
from onboard_vla.export.tensor_names import expected_shapes

SAFETENSORS, LIGHTNING = "safetensors", "lightning"
AIMS = {"seconds": 300.0, "peak_rss_gib": 4.0, "peak_rss_gib_calibrated": 8.0}
"""Time and memory of an export with given ranges, golden scenes or not; memory of one that observes them. No time is
aimed at for observing, which goes by the scenes."""
FLOAT_BYTES, STORED_BYTES = 4, 2


def main() -> int:
    """Make checkpoints, export each in a process of its own, print what it took; 1 if one of `AIMS` is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where everything goes; empty or new (default: in /tmp)")
    parser.add_argument("--formats", nargs="+", choices=(SAFETENSORS, LIGHTNING), default=(SAFETENSORS, LIGHTNING))
    parser.add_argument("--calibrate", type=int, default=0, help="observe ranges on this many scenes")
    parser.add_argument("--golden", type=int, default=0, help="hold the bundle against float32 on this many scenes")
    parser.add_argument("--layers", type=int, help="of both parts that many, for a quick look")
    parser.add_argument("--project", type=int, nargs=2, metavar=("A", "B"), help="measure few layers twice, project")
    parser.add_argument("--keep", action="store_true", help="leave the folder")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    options = parser.parse_args()
    options.folder = options.folder or Path(tempfile.mkdtemp(prefix="export3b-"))
    options.folder.mkdir(parents=True, exist_ok=True)
    if any(options.folder.iterdir()):
        parser.error(f"{options.folder} is not empty: remove it or name another folder")
    started = time.monotonic()
    try:
        if options.project:
            result = project(options.folder, options.calibrate, options.golden, options.project)
        else:
            depths = (options.layers or TEXT["num_hidden_layers"], options.layers or VISION["depth"])
            rows = [
                measure(options.folder, name, *depths, options.calibrate, options.golden) for name in options.formats
            ]
            result = {"rows": rows}
            if all("within_aims" in row for row in rows):
                result["within_aims"] = all(row["within_aims"] for row in rows)
    finally:
        if not options.keep:
            shutil.rmtree(options.folder, ignore_errors=True)
    result |= {"total_seconds": round(time.monotonic() - started, 1), **about_machine()}
    print(json.dumps(result, indent=2) if options.json else as_text(result))  # noqa: T201
    return 0 if result.get("within_aims", True) else 1


def measure(folder: Path, stored_as: str, layers: int, blocks: int, calibrate: int, golden: int) -> dict[str, Any]:
    """Make a checkpoint and export it in a child process; time, memory and sizes."""
    checkpoint, out = folder / f"checkpoint-{stored_as}", folder / "bundle"
    make_checkpoint(checkpoint, layers, blocks, lightning=stored_as == LIGHTNING)
    prepare_scenes(checkpoint, calibrate, golden)
    weights = sum(file.stat().st_size for kind in ("*.safetensors", "*.ckpt") for file in checkpoint.glob(kind))
    load, started = os.getloadavg(), time.monotonic()
    command = [sys.executable, "-m", "onboard_vla.app.cli", "export", str(checkpoint), "--out", str(out)]
    command += ["--json"] if golden else ["--unjudged", "--json"]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE)  # noqa: S603
    seconds, document = time.monotonic() - started, json.loads(ended.stdout)
    manifest = load_manifest(out)
    shutil.rmtree(checkpoint)
    shutil.rmtree(out)
    peak, graphs = document["peak_rss_mib"] / 1024, manifest.parity["graph_bytes"]
    whole = (layers, blocks) == (TEXT["num_hidden_layers"], VISION["depth"])
    missed = missed_aims(seconds, peak, calibrate)
    verdict: dict[str, Any] = {"missed_aims": missed, "within_aims": not missed} if whole else {}
    return {
        "format": stored_as,
        "seconds": round(seconds, 1),
        "processor_seconds": document["processor_seconds"],
        "peak_rss_gib": round(peak, 2),
        "calibration_scenes": calibrate,
        "golden_scenes": golden,
        "golden_bytes": sum(record.bytes for name, record in manifest.files.items() if name.startswith("golden/")),
        "checkpoint_bytes": weights,
        "bundle_bytes": sum(record.bytes for record in manifest.files.values()),
        "graph_bytes": graphs,
        "graph_share_of_float32": round(graphs / (weights * FLOAT_BYTES / STORED_BYTES), 3),
        "embeddings": manifest.precision["embeddings"],
        "files": {name: record.bytes for name, record in manifest.files.items()},
        "stages": document["stages"],
        "load_average": [round(value, 1) for value in (*load, *os.getloadavg())],
        **verdict,
    }


def missed_aims(seconds: float, peak_gib: float, calibrate: int) -> list[str]:
    """The aims that an export misses, each with what was measured."""
    found = {"peak_rss_gib_calibrated": peak_gib} if calibrate else {"seconds": seconds, "peak_rss_gib": peak_gib}
    return [f"{name}: {value:.2f}, at most {AIMS[name]:g}" for name, value in found.items() if not value <= AIMS[name]]


def project(folder: Path, calibrate: int, golden: int, depths: Sequence[int]) -> dict[str, Any]:
    """Measure with few layers twice; peaks as measured, processor time of all layers projected."""
    runs = [
        {
            "layers": depth,
            **measure(folder, SAFETENSORS, depth, depth, calibrate, golden),
            "weights": layer_weights(depth, depth),
        }
        for depth in depths
    ]
    first, second = runs
    missing = layer_weights(TEXT["num_hidden_layers"], VISION["depth"]) - first["weights"]

    def of_all(figure: str) -> float:
        a_weight = (second[figure] - first[figure]) / (second["weights"] - first["weights"])
        return float(first[figure] + a_weight * missing)

    projected = {"all": round(of_all("processor_seconds"))}
    parts = {"vision_16x30": VISION["depth"], "language": TEXT["num_hidden_layers"]}
    whole = {f"{stage}, {part}": n for stage in ("calibrate", "float32 references") for part, n in parts.items()}
    whole["verify"] = TEXT["num_hidden_layers"]
    for stage, depth in whole.items():
        if stage in first["stages"] and stage in second["stages"]:
            took = [run["stages"][stage]["processor_seconds"] for run in runs]
            a_layer = (took[1] - took[0]) / (depths[1] - depths[0])
            projected[stage] = round(took[0] + a_layer * (depth - depths[0]))
            scenes = calibrate if stage.startswith("calibrate") else golden
            projected[f"{stage}, of a layer and a scene"] = round(a_layer / scenes, 3)
    seconds, peak = of_all("seconds"), max(run["peak_rss_gib"] for run in runs)
    missed = missed_aims(seconds, peak, calibrate)
    return {
        "measured": runs,
        "peak_rss_gib": peak,
        "projected_processor_seconds_of_all_layers": projected,
        "projected_seconds_of_all_layers": round(seconds),
        "missed_aims": missed,
        "within_aims": not missed,
    }


def layer_weights(layers: int, blocks: int) -> int:
    """Weights of so many layers of both parts, by the configuration alone."""
    with tempfile.TemporaryDirectory() as folder:
        config = CONFIG | {"num_hidden_layers": layers, "vision_config": VISION | {"depth": blocks}}
        (Path(folder) / "config.json").write_text(json.dumps(config))
        model, tied = read_dimensions(Path(folder))
    shapes = expected_shapes(model.text, model.vision, tied)
    return sum(math.prod(shape) for name, shape in shapes.items() if "layers." in name or "blocks." in name)


def about_machine() -> dict[str, Any]:
    """Where it was measured, and with what."""
    return {
        "aims": AIMS,
        "cores": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "versions": {name: version(name) for name in ("numpy", "onnx", "onnxruntime", "safetensors")},
    }


def as_text(result: dict[str, Any]) -> str:
    """For people: a line a figure."""
    lines = []
    for row in result.get("rows", result.get("measured", ())):
        lines += [f"{name:24} {value}" for name, value in row.items() if name != "stages"]
        for stage, took in row["stages"].items():
            lines.append(
                f"  {stage:32} {took['seconds']:8.1f} s, {took['processor_seconds']:8.1f} s processor, "
                f"at most {took['peak_rss_mib'] / 1024:.2f} GiB so far"
            )
    lines += [f"{name:24} {value}" for name, value in result.items() if name not in ("rows", "measured")]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
