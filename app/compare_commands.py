"""`onboard-vla compare`: precisions and students of a model side by side, in size, speed and accuracy."""

from __future__ import annotations

import importlib
import json
import os
import platform
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onboard_vla.app.checkpoint_options import Cameras, Codebook, LoraAlpha, Model, Prompt, assembled
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import ArgumentError, BundleError, CheckpointError

if TYPE_CHECKING:
    from rich.console import Console

JSON_FORMAT = 3
"""Version of the document that `--json` prints."""
CHECKPOINT, BUNDLE = "config.json", "manifest.json"
"""What tells a checkpoint's folder from a bundle's."""
MIB = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the command to the program's command line."""
    app.command("compare", epilog="Example: `onboard-vla compare world/reference --scenes scenes.npz`")(compare)


def compare(
    paths: Annotated[
        list[Path],
        typer.Argument(help="Bundles, the reference first; or a checkpoint (folder or .ckpt), for all its precisions."),
    ],
    scenes: Annotated[
        Path | None, typer.Option(help="Scenes (.npz); without it the golden scenes of the first bundle.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where bundles of a checkpoint are written.")] = Path("out/compare"),
    golden_scenes: Annotated[Path | None, typer.Option(help="A checkpoint's, as `export` takes them.")] = None,
    calibration_scenes: Annotated[Path | None, typer.Option(help="A checkpoint's, as `export` takes them.")] = None,
    model: Model = None,
    prompt: Prompt = None,
    cameras: Cameras = None,
    codebook: Codebook = None,
    lora_alpha: LoraAlpha = None,
    unjudged: Annotated[
        bool, typer.Option("--unjudged", help="Random pictures where a checkpoint's scenes are missing; marked.")
    ] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of the timing.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
) -> None:
    """Show bundles of one model side by side: size, processor time of each pass, agreement with the first, plans.

    A checkpoint is exported in every precision first, float32 before the others. One that misses a limit is said, the
    others are shown, and the command ends with 1. Scenes that nobody trained on:
    `python -m onboard_vla.app.scene_collection`.
    """
    from rich.console import Console

    side_by_side = importlib.import_module("onboard_vla.export.side_by_side")
    checkpoints = [path for path in paths if _is_checkpoint(path)]
    elsewhere = model, prompt, cameras, codebook, lora_alpha
    given = partial(assembled, model=model, prompt=prompt, cameras=cameras, codebook=codebook, lora_alpha=lora_alpha)
    exporting, console = Exporting(golden_scenes, calibration_scenes, unjudged), Console(stderr=True)
    if not checkpoints and (exporting != Exporting(None, None, False) or any(elsewhere)):
        raise ArgumentError("scenes, --unjudged and a checkpoint's files are for exports, and no checkpoint is named")
    for path in paths:
        if path not in checkpoints:
            load_manifest(path)
    with ExitStack() as stack, console.status("compare") as status:
        folders = {path: stack.enter_context(given(path)) for path in checkpoints}
        exporting.check(list(folders.values()), scenes)

        def show(stage: str, share: float) -> None:
            status.update(f"{stage} {share:4.0%}")

        bundles: list[Path] = []
        refused: list[Refused] = []
        for path in paths:
            bundles += exporting.exported(folders[path], path, out, show, refused) if path in folders else [path]
        if not bundles:
            raise BundleError("; ".join(one.reason for one in refused))
        before = os.getloadavg()
        entries = side_by_side.compare_bundles(bundles, scenes, rounds, show)
    document = {
        "format": JSON_FORMAT,
        "scenes": f"golden scenes ({entries[0].golden_from})" if scenes is None else scenes.name,
        "protocol": "processor time of one thread, the bundles in turn every round; nothing cached between plans",
        "machine": platform.processor() or platform.machine(),
        "load_average": [round(value, 1) for value in (*before, *os.getloadavg())],
        "versions": {name: version(name) for name in ("numpy", "onnxruntime")},
        "bundles": [entry.document() for entry in entries],
        "refused": [asdict(one) for one in refused],
    }
    if as_json:
        typer.echo(json.dumps(document, indent=2))
    else:
        _print(document, Console())
    if refused:
        raise typer.Exit(1)


def _is_checkpoint(path: Path) -> bool:
    """Whether a path is a checkpoint, a `.ckpt` or a folder that is no bundle."""
    return path.is_file() or ((path / CHECKPOINT).is_file() and not (path / BUNDLE).is_file())


@dataclass(frozen=True)
class Refused:
    """A precision that there is no bundle of, and why."""

    precision: str
    reason: str


@dataclass(frozen=True)
class Exporting:
    """How a checkpoint becomes bundles: what `export` is told beside the precision."""

    golden_scenes: Path | None
    calibration_scenes: Path | None
    unjudged: bool

    def check(self, checkpoints: Sequence[Path], scenes: Path | None) -> None:
        """Refuse before any work what is no use, what no precision could be judged on, and scenes that do not fit.

        Raises:
            CheckpointError: a checkpoint comes without scenes, or a file of scenes is missing or of another model.
        """
        asked = importlib.import_module("onboard_vla.export.export_options")
        source = importlib.import_module("onboard_vla.export.source")
        reading = importlib.import_module("onboard_vla.export.scenes")
        kept = importlib.import_module("onboard_vla.export.kept_arrays")
        given = self.golden_scenes, self.calibration_scenes
        asked.require_files(scenes, *given)
        for checkpoint in checkpoints:
            opened = source.Source.open(checkpoint)
            points = asked.unjudged_points(opened, "int8", *given)  # which asks for the most
            if points and not self.unjudged:
                raise CheckpointError(
                    f"{checkpoint}: {'; '.join(points)}; name bundles instead, or {asked.SCENES_ADVICE}"
                )
            for path in {scenes, *given} - {None}:
                reading.load_scenes(path, opened.assets, kept.Unkept())

    def exported(
        self, checkpoint: Path, named: Path, out: Path, show: Callable[[str, float], None], refused: list[Refused]
    ) -> list[Path]:
        """Bundles of a checkpoint in every precision; those that there can be none of go to `refused`.

        `named`: what the user calls the checkpoint, which may be a folder of links by now.
        """
        writer, bundles = importlib.import_module("onboard_vla.export.bundle_writer"), []
        for precision in writer.PRECISIONS:
            try:
                bundles.append(
                    writer.export_bundle(
                        checkpoint,
                        out / precision,
                        precision=precision,
                        golden_scenes=self.golden_scenes,
                        calibration_scenes=self.calibration_scenes if precision in writer.QUANTISED else None,
                        unjudged=self.unjudged,
                        progress=lambda stage, share, made=precision: show(f"{made}, {stage}", share),
                    )
                )
            except BundleError as error:
                refused.append(Refused(precision, str(error).replace(str(checkpoint), str(named))))
        return bundles


def _print(document: dict[str, Any], console: Console) -> None:
    from rich.table import Table

    entries = document["bundles"]
    count = next((entry["figures"]["scenes"] for entry in entries if entry["figures"]), 0)
    table = Table(title=f"{document['scenes']}, n = {count}", title_justify="left")
    table.add_column("")
    for entry in entries:
        table.add_column(Path(entry["bundle"]).name, justify="right")
    for title, rows in _sections(entries):
        table.add_section()
        table.add_row(f"[bold]{title}[/bold]")
        for name, values in rows:
            table.add_row(name, *values)
    if document["refused"]:
        table.add_section()
        table.add_row("[bold]no bundle of[/bold]")
        for one in document["refused"]:
            table.add_row(one["precision"], "refused")
    console.print(table)
    for one in document["refused"]:
        console.print(f"{one['precision']}: {one['reason']}", soft_wrap=True, markup=False)
    console.print(f"{document['protocol']}; load average {document['load_average']}", soft_wrap=True)


def _sections(entries: list[dict[str, Any]]) -> list[tuple[str, list[tuple[str, list[str]]]]]:
    """Titled rows of the table, one value a bundle; what depends on a first bundle gives the ratio to it."""
    first, times = entries[0], [entry["times"] for entry in entries]

    def ratio(values: list[float], unit: str) -> list[str]:
        return [f"{value:.2f} {unit} ({value / values[0]:.2f})" for value in values]

    unjudged = ["; ".join(point.split(" (")[0] for point in entry["unjudged"]) or "nothing" for entry in entries]
    size = [
        ("precision", [str(entry["precision"]) for entry in entries]),
        *([("UNJUDGED", unjudged)] if any(entry["unjudged"] for entry in entries) else []),
        ("language layers", [str(entry["language_layers"]) for entry in entries]),
        ("graphs", ratio([entry["graph_bytes"] / MIB for entry in entries], "MiB")),
        ("bundle", ratio([entry["bundle_bytes"] / MIB for entry in entries], "MiB")),
    ]
    passes = {
        "vision, all pairs": "vision_ms",
        f"prefill, {times[0]['prompt_tokens']} tokens": "prefill_ms",
        "decode, a token": "decode_ms",
        "decode, a token, one row": "lone_decode_ms",
    }
    speed = [(words, ratio([one[name] for one in times], "ms")) for words, name in passes.items()]
    speed.append(("plan, one token a pass", ratio([entry["plan_ms"] for entry in entries], "ms")))
    figures = {
        "same fork": ("fork_agreement", "%"),
        "same action after the same": ("token_agreement", "%"),
        "cosine of action logits": ("cosine_mean", ""),
        "plan moved, median": ("ade_median_m", "m"),
        "plan moved, mean": ("ade_mean_m", "m"),
        "plan moved, 99th percentile": ("ade_p99_m", "m"),
        "margin where plans part, median": ("parted_margin_median", "nats"),
        "spread shift, 99th percentile": ("spread_shift_p99_m", "m"),
    }
    agreement = [
        (words, ["" if entry is first else _shown(entry["figures"][name], unit) for entry in entries])
        for words, (name, unit) in figures.items()
    ]
    sections = [("size", size), ("speed", speed), (f"against {Path(first['bundle']).name}", agreement)]
    if first["expert_ade_m"] is not None:
        names = {"mean": "expert_ade_m", "mean over 3 s": "expert_ade_3s_m", "at the end": "expert_fde_m"}
        rows = [(words, [f"{entry[name]:.3f} m" for entry in entries]) for words, name in names.items()]
        sections.append(("distance from the expert", rows))
    return sections


def _shown(value: float, unit: str) -> str:
    return f"{value:.1%}" if unit == "%" else f"{value:.4g} {unit}".strip()
