"""`onboard-vla verify` and `inspect`: what a bundle is, and how far it is from the model that it was made from."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer

from onboard_vla.app.checkpoint_options import assembled
from onboard_vla.app.output_places import require_writable
from onboard_vla.core.bundle_manifest import CameraInput

JSON_FORMAT = 3
"""Version of the document that `verify --json` prints."""
EXIT_MISSED = 1
FIGURES: dict[str, tuple[str, Callable[[float], str]]] = {
    "motion_shift_mean_m": ("motion shift, mm", lambda value: f"{value * 1e3:.3f}"),
    "cosine_mean": ("cosine", "{:.6f}".format),
    "preference_loss_max": ("pref. lost, nats", "{:.3f}".format),
    "output_error": ("its output changes by", "{:.2%}".format),
}
"""Of a layer's sensitivity: what a bundle has, by the size of its model, and how it is shown."""
SENSITIVE_SHOWN = 10
BYTES_PER_MIB = 1024 * 1024


def register(app: typer.Typer) -> None:
    """Add the commands to the program's command line."""
    app.command("verify", epilog="Example: `onboard-vla verify out/int8 --reference out/fp32 --scenes scenes.npz`")(
        verify
    )
    app.command("inspect", epilog="Example: `onboard-vla inspect out/bundle`")(inspect)


def verify(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    reference: Annotated[
        Path | None, typer.Option(help="Bundle to compare with on --scenes: the same checkpoint in fp32.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Compare stage by stage with transformers running what the bundle is of: folder or .ckpt."),
    ] = None,
    model: Annotated[Path | None, typer.Option(help="Folder of the base model (config.json) of a .ckpt.")] = None,
    lora_alpha: Annotated[float | None, typer.Option(help="LoRA's alpha, for adapters that are not merged.")] = None,
    scenes: Annotated[
        Path | None, typer.Option(help="Many scenes (.npz); without it the golden scenes in the bundle.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with the worst scenes drawn.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
) -> None:
    """Run a bundle on scenes and hold it against float32: fork, actions, plan in metres, uncertainty.

    With --checkpoint transformers is the reference (extra `parity`), and every stage has its cosine and largest error.
    Exit 1 if a limit is missed, or if the bundle has no scenes to be judged on.
    Scenes: `python -m onboard_vla.app.scene_collection`.
    """
    from rich.console import Console

    verification = importlib.import_module("onboard_vla.export.verification")
    console = Console(stderr=True)
    if checkpoint is None and (model is not None or lora_alpha is not None):
        raise typer.BadParameter("--model and --lora-alpha are about a --checkpoint: give it")
    require_writable("--html", html)
    with ExitStack() as stack, console.status("verify") as status:
        if checkpoint is not None:
            given = assembled(checkpoint, model=model, prompt=None, cameras=None, codebook=None, lora_alpha=lora_alpha)
            checkpoint = stack.enter_context(given)
        result = verification.verify(
            bundle,
            reference=reference,
            checkpoint=checkpoint,
            scenes=scenes,
            report=html,
            progress=lambda share: status.update(f"verify {share:4.0%}"),
        )
    if as_json:
        typer.echo(json.dumps({"format": JSON_FORMAT, **result.document()}, indent=2))
    else:
        _print(result.document())
    raise typer.Exit(EXIT_MISSED if result.missed else 0)


def inspect(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    layers: Annotated[bool, typer.Option("--layers", help="Every layer's sensitivity to INT8, not the worst.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of the table.")] = False,
) -> None:
    """Say what a bundle is: model, cameras, tokens, precision, provenance, files, the layers that INT8 moves most.

    Every hash is checked.
    """
    from onboard_vla.core.bundle_manifest import computed_precision, load_manifest, to_json, verify_files

    manifest = load_manifest(bundle)
    verify_files(bundle, manifest)
    if as_json:
        typer.echo(to_json(manifest), nl=False)
        return
    text, vision, actions = manifest.model.text, manifest.model.vision, manifest.actions
    calibration = manifest.calibration
    frames = f"{manifest.frames.per_camera} frames {manifest.frames.spacing_s} s apart"
    rows: dict[str, Any] = {
        "core": manifest.core_hash,
        "format": manifest.format_version,
        "made by": manifest.producer,
        "precision": ", ".join(f"{part} {kind}" for part, kind in manifest.precision.items()),
        "language model": f"{text.layers} layers of {text.hidden_size}, {text.heads} heads ({text.kv_heads} for keys)",
        "vision encoder": f"{vision.depth} blocks of {vision.hidden_size}",
        "vocabulary": f"{text.vocabulary_size}, actions {actions.first_id} to {actions.first_id + actions.count - 1}",
        "plan": f"{actions.per_answer} actions of {actions.step_s} s",
        "cameras": f"{', '.join(map(_camera, manifest.cameras))}; {frames}",
        "head of the actions alone": "yes" if manifest.action_head else "no",
        "repetition penalty": manifest.generation.repetition_penalty,
        "calibrated on": f"{calibration.get('scenes', 0)} scenes, {calibration.get('scenes_from', '-')}",
        "scales and ranges": ", ".join(f"{name} {value}" for name, value in calibration.get("chosen", {}).items())
        or "as published, the checkpoint's own",
        "statistics of nominal drives": ", ".join(filter(None, (manifest.vision_reference, manifest.drift_reference)))
        or "none of these numbers",
        "kept in float32": _kept(computed_precision(manifest), calibration.get("fallbacks", [])),
        "moved to INT8": ", ".join(calibration.get("moved_to_int8", [])) or "nothing",
        "golden scenes": f"{len(manifest.golden)}, {manifest.parity.get('scenes_from', '-')}",
        "unjudged": "; ".join(manifest.unjudged).upper() or "nothing",
        "held to": ", ".join(f"{name} {bound:.3g}" for name, bound in _bounds(manifest.parity).items()) or "nothing",
        "weights": manifest.weights_sha256,
    }
    rows |= {name: f"{record.bytes / BYTES_PER_MIB:.2f} MiB" for name, record in manifest.files.items()}
    _table(f"{bundle}: whole, every hash agrees", rows)
    if calibration.get("sensitivity"):
        _sensitivity(calibration, None if layers else SENSITIVE_SHOWN)


def _camera(camera: CameraInput) -> str:
    """Its input, and the whole pictures that it is cut from, where the bundle says so."""
    whole = "" if camera.source_size is None else f" of {camera.source_size[0]}x{camera.source_size[1]}"
    return f"{camera.role} {camera.width}x{camera.height}{whole}"


def _bounds(parity: dict[str, Any]) -> dict[str, float]:
    """Limits on golden scenes and over many, as far as the bundle was held to them."""
    return {**parity.get("limits", {}), **parity.get("plan_limits", {})}


def _kept(precision: str, fallbacks: list[str]) -> str:
    if precision == "fp32":
        return "everything"
    return ", ".join(fallbacks) or "nothing"


def _sensitivity(calibration: dict[str, Any], shown: int | None) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    rows = calibration["sensitivity"]
    title = f"One layer alone quantised, the most sensitive of {len(rows)} first" + (
        "" if shown is None else f" ({min(shown, len(rows))} shown; --layers for all)"
    )
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("layer", no_wrap=True, overflow="fold")  # whole, because `export --keep-float` takes it
    figures = {name: form for name, form in FIGURES.items() if name in rows[0]}
    for column in ("runs in", "of the weights", *(words for words, _ in figures.values())):
        table.add_column(column, justify="right")
    for row in rows[:shown]:
        found = [form(row[name]) for name, (_, form) in figures.items()]
        table.add_row(row["layer"], row["runs_in"], f"{row['weight_share']:.2%}", *found)
    Console().print(table)
    if steps := calibration.get("steps"):
        worst = ", ".join(f"{row['step']} {row['output_error']:.2%}" for row in steps[:shown])
        Console().print(f"what leaves a decoder layer or block, all of it quantised: {worst}")


def _print(document: dict[str, Any]) -> None:
    limits, aims = document["limits"], document["aims"]
    rows = {
        name.replace("_", " "): f"{value:.4g}"
        + (f" (at most {limits[name]:.3g})" if name in limits else "")
        + (f" (aim {aims[name]:.3g})" if name in aims else "")
        for name, value in document["figures"].items()
    }
    _table(f"{document['bundle']} against {document['against']}", rows)
    if document["stages"]:
        _stages(document["stages"])
    if document["few_scenes"]:
        typer.echo(f"few scenes: {document['figures']['scenes']}; limits over many scenes speak of 1,000 and more")
    for line in document["missed"]:
        typer.echo(f"missed: {line}")
    for line in document["aims_missed"]:
        typer.echo(f"aim missed: {line}")
    if document["unjudged"]:
        typer.echo(f"UNJUDGED, so no vehicle takes it: {'; '.join(document['unjudged'])}")


def _stages(stages: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="stage by stage against transformers, along the same tokens", title_justify="left")
    for column in ("stage", "vectors", "cosine", "least", "largest error", "root mean square"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for stage in stages:
        cosines = f"{stage['cosine_mean']:.6f}", f"{stage['cosine_min']:.6f}"
        table.add_row(
            stage["stage"],
            str(stage["vectors"]),
            *cosines,
            f"{stage['error_max']:.3g}",
            f"{stage['reference_rms']:.3g}",
        )
    Console().print(table)


def _table(title: str, rows: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows.items():
        table.add_row(name, str(value))
    Console().print(table)
