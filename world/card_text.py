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


def render_card(card: dict[str, Any]) -> str:
    """Markdown of a card; every figure comes from `card`."""
    validation, loop = card["validation"], card["closed_loop"]
    lines = [
        f"# {card['name']}",
        "",
        f"{card['architecture']}, {card['parameters']:,} parameters, made {card['made']} at commit {card['commit']}, "
        f"seed {card['training']['seed']}. Written by `python -m onboard_vla.world.train`.",
        "",
        f"## Open loop: {validation['samples']} samples of {validation['worlds']} unseen worlds",
        "",
        "Greedy decoding after the forced fast prefix. The blind model has the same steps, batch, "
        "rates and seed, but no visual tokens; the stages' notes name other episodes.",
        "",
        "| | model | blind model | constant velocity |",
        "| --- | --- | --- | --- |",
    ]
    for title, key in ROWS:
        cells = [validation[name].get(key) for name in ("model", "blind", "constant_velocity")]
        lines.append(f"| {title} | " + " | ".join("" if cell is None else f"{cell:.3f}" for cell in cells) + " |")
    lines += ["", f"Share of demanding samples (label of the fork): {validation['demanding_share']:.3f}.", ""]
    lines += [f"## Closed loop: quiet_road, {loop['model']['drives']} unseen worlds", ""]
    lines += ["Plans every 0.2 s from the model, 0.2 s late, followed by the vehicle gate; no supervisor.", ""]
    lines += ["| | model | expert |", "| --- | --- | --- |"]
    for title, key in DRIVE_ROWS:
        lines.append(f"| {title} | {loop['model'][key]:.3f} | {loop['expert'][key]:.3f} |")
    lines += ["", "## Codebook: mean error of encoded 5 s trajectories by start speed", ""]
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
        "| stage | wall time (s) | code | note |",
        "| --- | --- | --- | --- |",
    ]
    for stage, done in training["stages"].items():
        lines.append(f"| {stage} | {done['seconds']:.0f} | {', '.join(done['commits'])} | {done.get('note', '')} |")
    lines.append("")
    return "\n".join(lines)
