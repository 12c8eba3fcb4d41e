"""`onboard-vla export`: arguments in, a bundle out."""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onboard_vla.app.checkpoint_options import Cameras, Checkpoint, Codebook, LoraAlpha, Model, Prompt, assembled

if TYPE_CHECKING:
    from rich.table import Table

BYTES_PER_MIB = 1024 * 1024
JSON_FORMAT = 2
"""Version of the document that `--json` prints."""


class Precision(str, Enum):
    """Number format of the exported graphs' large matrices."""

    INT8 = "int8"
    W4A16 = "w4a16"
    FP32 = "fp32"
    FP16 = "fp16"
    INT8_FP16 = "int8-fp16"


def register(app: typer.Typer) -> None:
    """Add the command to the program's command line."""
    app.command("export", epilog="Example: `onboard-vla export world/reference --out out/bundle --precision int8`")(
        export
    )


def export(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option(help="Folder of the bundle; a bundle that stands there is replaced.")],
    precision: Annotated[
        Precision,
        typer.Option(
            help="int8 for speed, w4a16 for small weights (language model), fp32 as the reference, fp16 and int8-fp16 "
            "for TensorRT."
        ),
    ] = Precision.INT8,
    model: Model = None,
    prompt: Prompt = None,
    cameras: Cameras = None,
    codebook: Codebook = None,
    prompt_variant: Annotated[
        str | None, typer.Option(help="Refuse another prompt: autovla-rft, autovla-sft or autovla-direct.")
    ] = None,
    lora_alpha: LoraAlpha = None,
    golden_scenes: Annotated[Path | None, typer.Option(help="Scenes to keep and to be judged on.")] = None,
    calibration_scenes: Annotated[Path | None, typer.Option(help="Scenes that INT8 is calibrated on.")] = None,
    keep_float: Annotated[
        list[str] | None,
        typer.Option(help="LAYER to keep in float32, or the beginning of several names: text.layers.3; repeatable."),
    ] = None,
    limit: Annotated[
        list[str] | None, typer.Option(help="FIGURE=BOUND: tighter than the project's, for this bundle; repeatable.")
    ] = None,
    ranges: Annotated[
        Path | None, typer.Option(help="Activation ranges that `observe --out` wrote, instead of the checkpoint's own.")
    ] = None,
    smooth_strength: Annotated[
        float | None, typer.Option(help="SmoothQuant's exponent on the activations, 0 to 1 (default: 0.5).")
    ] = None,
    range_share: Annotated[
        float | None, typer.Option(help="Share of each activation's range that INT8 spans, above 0 to 1 (default: 1).")
    ] = None,
    unjudged: Annotated[
        bool,
        typer.Option(
            "--unjudged", help="Random pictures where scenes are missing; the bundle says so, no vehicle takes it."
        ),
    ] = False,
    action_head: Annotated[
        bool,
        typer.Option("--action-head", help="With a head of the actions alone, for the planner's `actions_alone`."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
) -> None:
    """Export a checkpoint to a bundle: graphs, codebook, prompt, tokenizer, golden scenes, each with its hash.

    One that differs too much from the float32 model is refused. The checkpoint's own scenes are used if none are given.
    What the files must hold: docs/export.md.
    """
    writer = importlib.import_module("onboard_vla.export.bundle_writer")
    from rich.console import Console

    from onboard_vla.app.export_progress import ExportProgress

    quantisation = importlib.import_module("onboard_vla.export.quantisation")
    console, started, published = Console(stderr=True), time.monotonic(), quantisation.AS_PUBLISHED
    given = assembled(
        checkpoint,
        model=model,
        prompt=prompt,
        cameras=cameras,
        codebook=codebook,
        lora_alpha=lora_alpha,
        ranges=ranges,
    )
    with given as folder, ExportProgress(console) as progress:
        written: Path = writer.export_bundle(
            folder,
            out,
            precision=precision.value,
            prompt_variant=prompt_variant,
            golden_scenes=golden_scenes,
            calibration_scenes=calibration_scenes,
            keep_float=keep_float or (),
            limits=dict(map(_bound, limit or ())),
            unjudged=unjudged,
            action_head=action_head,
            scaling=quantisation.Scaling(
                published.strength if smooth_strength is None else smooth_strength,
                published.share if range_share is None else range_share,
            ),
            ranges=ranges,
            progress=progress.show,
        )
    if as_json:
        typer.echo(json.dumps(_document(written, time.monotonic() - started, progress.stages), indent=2))
    else:
        Console().print(_bundle_table(written))


def _bound(text: str) -> tuple[str, float]:
    """FIGURE=BOUND."""
    figure, _, bound = text.partition("=")
    try:
        return figure, float(bound)
    except ValueError:
        raise typer.BadParameter(f"--limit {text!r}: expected FIGURE=BOUND, as ade_p95_m=0.5") from None


def _document(path: Path, seconds: float, stages: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """What was written, and what it took."""
    import resource

    from onboard_vla.app.export_progress import peak_rss_mib
    from onboard_vla.core.bundle_manifest import load_manifest

    manifest = load_manifest(path)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "format": JSON_FORMAT,
        "bundle": str(path),
        "core_hash": manifest.core_hash,
        "precision": manifest.precision,
        "files": {name: record.bytes for name, record in manifest.files.items()},
        "unjudged": list(manifest.unjudged),
        "calibration": manifest.calibration,
        "parity": manifest.parity,
        "seconds": round(seconds, 2),
        "processor_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_rss_mib": peak_rss_mib(),
        "stages": stages,
    }


def _bundle_table(path: Path) -> Table:
    """What a bundle holds: precision, sizes, parity with float32."""
    from rich.table import Table

    from onboard_vla.app.demo_bundle_view import parity_rows
    from onboard_vla.core.bundle_manifest import load_manifest

    manifest = load_manifest(path)
    table = Table(title=f"{path}: bundle {manifest.core_hash[:12]}", title_justify="left", show_header=False)
    for part, kind in manifest.precision.items():
        table.add_row(f"precision, {part}", kind)
    table.add_section()
    for name, record in manifest.files.items():
        table.add_row(name, f"{record.bytes / BYTES_PER_MIB:.2f} MiB")
    table.add_row("all", f"{sum(record.bytes for record in manifest.files.values()) / BYTES_PER_MIB:.2f} MiB")
    table.add_section()
    for name, text in parity_rows(manifest.parity):
        table.add_row(f"parity, {name}", text)
    if manifest.unjudged:
        table.add_row("UNJUDGED", "; ".join(manifest.unjudged))
    return table
