"""The card as a page to read."""

from __future__ import annotations

from typing import Any

ROWS = (
    ("ADE 3 s (m)", "ade_3s_m"),
    ("ADE 5 s (m)", "ade_5s_m"),
    ("FDE 5 s (m)", "fde_5s_m"),
    ("lateral error 3 s (m)", "lateral_3s_m"),
    ("fork accuracy", "fork_accuracy"),
    ("share where the fork picks fast", "fork_fast_share"),
    ("ADE 5 s with another sample's pictures (m)", "swapped_ade_5s_m"),
    ("ratio swapped / own, 3 s", "swapped_ratio_3s"),
    ("ratio swapped / own, 5 s", "swapped_ratio_5s"),
)
CURVE = (
    ("ADE 3 s (m)", "ade_3s_m"),
    ("ADE 5 s (m)", "ade_5s_m"),
    ("lateral error 3 s (m)", "lateral_3s_m"),
    ("fork accuracy", "fork_accuracy"),
    ("ratio swapped / own, 5 s", "swapped_ratio_5s"),
)
DRIVE_ROWS = (
    ("clean share", "clean_share"),
    ("off-road share", "off_road_share"),
    ("collision (at fault) share", "collision_share"),
    ("needless stop share", "stopped_share"),
    ("seconds driven", "seconds"),
    ("progress (m)", "progress_m"),
    ("mean distance from lane centre (m)", "offset_m"),
    ("largest (m)", "largest_offset_m"),
)
TRAIN = "onboard-vla train --work WORK --out FOLDER"
CARD_STAGE = f"{TRAIN} --stages card"
"""Measures again what the stages before it left in WORK, and writes the card."""
CONTROL = (
    "`BLIND_CHECKPOINT` in a command is the control that `onboard-vla train` leaves in WORK/blind_checkpoint (stage",
    "`blind`); `FOLDER` behind `--photos` one with a picture per camera. Bundles are named by their core's hash.",
)
PROVENANCE = (
    "Stages run one after another, each going on from the weights or data that the one before left; a stage that was",
    "interrupted goes on, too. `code` names every commit whose code a stage ran with, `+` with changes not committed.",
    "More than one commit in this table means: the checkpoint was not made in one uninterrupted run, and running",
    "`onboard-vla train` at one of them gives a similar checkpoint, not this one. Notes were written by hand where a",
    "stage's data were not what the present code would make.",
)
UNAIDED = (
    "Model and expert: plans every 0.2 s, 0.2 s late, followed by the vehicle gate; no supervisor. A drive ends with",
    "the first collision of its own making or when it leaves the road, so that seconds and progress are of what was",
    "driven.",
)
NOTE_IF_UNSUPERVISED = "Not measured under the supervisor (`python -m onboard_vla.world.card_supervised`)."


def render_card(card: dict[str, Any]) -> str:
    """Markdown of a card; every figure comes from `card`."""
    validation = card["validation"]
    lines = [
        f"# {card['name']}",
        "",
        f"{card['architecture']}, {card['parameters']:,} parameters, made {card['made']} at commit {card['commit']}, "
        f"seed {card['training']['seed']}, by the stages of `{TRAIN}` (see Data and training).",
        "",
        f"## Open loop: {validation['samples']} samples of {validation['worlds']} unseen worlds",
        "",
        f"`{CARD_STAGE}`, in fp32.",
        f"Greedy decoding after the forced fast prefix. Blind model: {validation['blind_is']}.",
        "",
        "| | model | blind model | constant velocity |",
        "| --- | --- | --- | --- |",
    ]
    for title, key in ROWS:
        cells = [validation[name].get(key) for name in ("model", "blind", "constant_velocity")]
        lines.append(f"| {title} | " + " | ".join("" if cell is None else f"{cell:.3f}" for cell in cells) + " |")
    lines += ["", f"Share of demanding samples (label of the fork): {validation['demanding_share']:.3f}.", ""]
    lines += _closed_loop(card)
    lines += _measured(card)
    lines += ["", "## Codebook: mean error of encoded 5 s trajectories by start speed", "", f"`{CARD_STAGE}`.", ""]
    errors = card["codebook_ade_m_by_speed_mps"]
    lines += ["| m/s | " + " | ".join(errors) + " |", "| --- |" + " --- |" * len(errors)]
    lines += ["| m | " + " | ".join(f"{error:.3f}" for error in errors.values()) + " |", ""]
    data, training = card["data"], card["training"]
    lines += [
        "## Data and training",
        "",
        f"Episodes (training, validation): {', '.join(f'{k} {v}' for k, v in data['episodes'].items())}; "
        f"drives of the model with the expert's labels: {data['model_drives']}; {data['training_samples']:,} training "
        f"samples; {training['samples_seen']:,} samples seen by the whole model.",
        "",
        *PROVENANCE,
        "",
        "| stage | wall time (s) | code | note |",
        "| --- | --- | --- | --- |",
    ]
    for stage, done in training["stages"].items():
        lines.append(f"| {stage} | {done['seconds']:.0f} | {', '.join(done['commits'])} | {done.get('note', '')} |")
    lines += _curve(training)
    lines.append("")
    return "\n".join(lines)


def _curve(training: dict[str, Any]) -> list[str]:
    """How validation went down with the samples seen, and what ten times as many would cost."""
    points = training.get("curve")
    if not points:
        return []
    lines = ["", "## Learning curve", "", f"| samples seen | stage | {' | '.join(name for name, _ in CURVE)} |"]
    lines.append("| --- | --- |" + " --- |" * len(CURVE))
    for point in points:
        cells = " | ".join(f"{point[key]:.3f}" for _, key in CURVE)
        lines.append(f"| {point['samples_seen']:,} | {point['stage']} | {cells} |")
    seconds = sum(training["stages"][stage]["seconds"] for stage in ("whole", "finish"))
    hours, seen = 10 * seconds / 3600, training["samples_seen"]
    return [
        *lines,
        "",
        f"`{TRAIN} --stages whole,drive,finish`, on half of the validation samples.",
        f"These {seen:,} samples took {seconds / 3600:.1f} h; ten times as many",
        f"would take about {hours:.0f} h of the same processor, by proportion.",
    ]


def _closed_loop(card: dict[str, Any]) -> list[str]:
    loop, aided = card["closed_loop"], card.get("supervised")
    lines = [f"## Closed loop: quiet_road, {loop['model']['drives']} unseen worlds", "", f"`{CARD_STAGE}`."]
    lines += UNAIDED
    lines += _aided_notes(aided, card["closed_loop_runs"][0]["seed"]) if aided else [NOTE_IF_UNSUPERVISED]
    shown = _aided_cells(aided) if aided else {}
    lines += ["", "| | model, unaided | model under the supervisor | expert |", "| --- | --- | --- | --- |"]
    for title, key in DRIVE_ROWS:
        lines.append(f"| {title} | {loop['model'][key]:.3f} | {shown.get(key, '')} | {loop['expert'][key]:.3f} |")
    return lines


def _measured(card: dict[str, Any]) -> list[str]:
    """What was measured after training, a table each; 95 % bounds over worlds in brackets (docs/evaluation.md)."""
    lines = ["", *CONTROL] if card.get("measured") else []
    for section in card.get("measured", []):
        lines += ["", f"## Measured: {section['title']}", ""]
        made = f"commit {section['commit']}, bundle {section['bundle'][:12]}"
        lines += [f"{section['worlds']}, {made}: `{section['command']}`", ""]
        lines += ["| | value [95 % bounds] | n | aim |", "| --- | --- | --- | --- |"]
        for row in section["rows"]:
            lines.append(f"| {row['name']} | {row['value']} | {row['n'] or ''} | {row['aim']} |")
    return lines


def _aided_notes(aided: dict[str, Any], first_seed: int) -> list[str]:
    command = f"onboard-vla evaluate --worlds {aided['episodes']} --first-seed {first_seed}"
    command += f" --seconds {aided['seconds']:g} --sensor {aided['sensor']} --latency-ms {aided['plan_latency_ms']:g}"
    return [
        f"Under the supervisor: `{command}`",
        f"at commit {aided['commit']}, INT8 bundle {aided['bundle'][:12]}, judged over the full time whatever",
        f"happens. The model's trajectories drove {aided['model_share']:.1%} of the time, the supervisor's fallback",
        f"the rest, with {aided['interventions']} entries into L2 or above. The fork alone would have picked fast in",
        f"{aided['fork_fast'] / aided['fork_plans']:.1%} of these plans (n = {aided['fork_plans']}); depth is forced.",
    ]


def _aided_cells(aided: dict[str, Any]) -> dict[str, str]:
    count = aided["episodes"]
    shares = {"clean": "clean", "off_road": "off_road", "collision": "collision", "stopped": "needless_stop"}
    cells = {f"{key}_share": f"{aided[name] / count:.3f} ({aided[name]} of {count})" for key, name in shares.items()}
    return cells | {key: f"{aided[key]:.3f}" for key in ("seconds", "progress_m")}
