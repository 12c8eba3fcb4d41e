"""Put what `onboard-vla measure` and `onboard-vla evaluate` found into a checkpoint's card, each with its command.

    onboard-vla measure depth --worlds 24 --json out/depth.json
    onboard-vla evaluate --worlds 64 --seconds 20 --json out/evaluation.json
    python -m onboard_vla.world.card_measures world/reference out/depth.json out/evaluation.json

A measure that is in the card already is replaced by the new one of the same kind. `--control FILE`: an evaluation of
the blind control (`evaluate --checkpoint BLIND_CHECKPOINT --sees nothing`), which stands under its own name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onboard_vla.core.errors import ConfigurationError, OnboardVlaError
from onboard_vla.world.card_text import render_card

MEASURE_FORMAT, EVALUATION_FORMAT = 1, 2
CONTROL, NO_PICTURES = " the blind control", "all pictures grey"
CLOSED_LOOP = {
    "progress": "progress of the expert's",
    "pdms": "PDMS",
    "epdms": "EPDMS",
    "extended_comfort": "EC, two plans agree",
    "mean_ttc_s": "mean time to collision, at most 10 s (s)",
    "doubt_auroc": "AUROC, worst 10 % of plans, spread in metres",
}
SHARES = {
    "clean_share": "clean episodes",
    "at_fault_share": "episodes with a collision at fault",
    "off_road_share": "episodes off the road",
}
OPEN_LOOP = {
    "l2_1s_m": "plans along the expert's drive: L2 at 1 s (m)",
    "l2_2s_m": "L2 at 2 s (m)",
    "l2_3s_m": "L2 at 3 s (m)",
    "ade_m": "ADE 5 s (m)",
    "fde_m": "FDE 5 s (m)",
    "hit_3s": "collision rate to 3 s",
    "comfortable": "within nuPlan's comfort limits",
    "lateral": "meta-action, lateral",
    "longitudinal": "meta-action, longitudinal",
    "doubt_auroc": "AUROC, worst 10 % of plans, spread in metres",
}


SWITCHES = {
    "modelled sensors": "",
    "perfect sensors": "--sensor perfect",
    "unaided": "--unaided",
    "depth by the fork": "--depth model",
    "depth slow": "--depth slow",
    "adaptive depth": "--depth adaptive",
    "fp32": "--ablation precision",
    "fog": "--look fog",
    "rain": "--look rain",
    "night": "--look night",
    "front camera alone": "--sees front",
    "all pictures grey": "--sees nothing",
}
"""What `evaluate` is told for each word of a variant's name (`app/evaluation/variant.py`)."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the results, write card.json and CARD.md; exit status 0 when done."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.world.card_measures", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder with card.json")
    parser.add_argument("results", type=Path, nargs="*", help="JSON of `measure` or `evaluate`")
    parser.add_argument("--control", type=Path, action="append", default=[], help="JSON of the control's `evaluate`")
    options = parser.parse_args(arguments)
    try:
        card = _read(options.checkpoint / "card.json")
        for path in options.results:
            card = with_results(card, _read(path))
        for path in options.control:
            card = with_results(card, _read(path), CONTROL)
        (options.checkpoint / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        (options.checkpoint / "CARD.md").write_text(render_card(card), encoding="utf-8")
    except OnboardVlaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def with_results(card: dict[str, Any], result: dict[str, Any], who: str = "") -> dict[str, Any]:
    """The card with one file's sections. `who`: `CONTROL` where not the checkpoint itself was evaluated.

    Raises:
        ConfigurationError: neither a measure nor an evaluation, of another format, or without the model; or a control
            that saw pictures.
    """
    if who and any(NO_PICTURES not in summary["name"] for summary in result.get("summaries", [{"name": ""}])):
        raise ConfigurationError(f"--control: expected an evaluation with {NO_PICTURES} (--sees nothing)")
    if "measures" in result and result.get("format") == MEASURE_FORMAT:
        sections = [_measure(result, what, figures) for what, figures in result["measures"].items()]
    elif "summaries" in result and result.get("format") == EVALUATION_FORMAT:
        sections = [_evaluation(result, summary, who) for summary in result["summaries"]]
    else:
        raise ConfigurationError(
            f"expected a file of `onboard-vla measure` (format {MEASURE_FORMAT}) or `evaluate` (format "
            f"{EVALUATION_FORMAT}), found format {result.get('format')!r}"
        )
    new = {section["title"] for section in sections}
    kept = [section for section in card.get("measured", []) if section["title"] not in new]
    return {**card, "measured": sorted([*kept, *sections], key=lambda section: section["title"])}


def _measure(result: dict[str, Any], what: str, figures: list[dict[str, Any]]) -> dict[str, Any]:
    run = result["provenance"]["run"]
    worlds = f"{len(run['seeds'])} worlds of {run['profile']}, {run['samples']} samples, {run['precision']}"
    command = f"onboard-vla measure {what} --worlds {len(run['seeds'])} --first-seed {run['seeds'][0]}"
    command += f" --seconds {run['seconds']:g} --profile {run['profile']} --precision {run['precision']}"
    if "blind" in result["provenance"]["bundle"]:
        command += " --blind BLIND_CHECKPOINT"
    if run.get("with photographs") and what == "pictures":
        command += " --photos FOLDER"
    rows = [_row(f["name"], f["estimate"], f["aim"]) for f in figures]
    return _section(f"{what}: {run['profile']}, {run['precision']}", worlds, command, rows, result)


def _evaluation(result: dict[str, Any], summary: dict[str, Any], who: str) -> dict[str, Any]:
    run = result["provenance"]["run"]
    if run["planner"] != "model":
        raise ConfigurationError(f"evaluation: planner is {run['planner']!r}, the card is of the model")
    command = f"onboard-vla evaluate {_seeds(run['seeds'])}"
    command += f" --seconds {run['seconds']:g} --profile {run['profile']}"
    command += f" --latency-ms {run['declared plan latency ms']:g}{_switches(summary['name'])}"
    command += " --checkpoint BLIND_CHECKPOINT" if who else ""
    rows = [
        (words, f"{share['count']} of {share['n']} [{share['low']:.3f}, {share['high']:.3f}]", share["n"], "")
        for key, words in SHARES.items()
        if (share := summary[key]) is not None
    ]
    found = [_row(words, summary[key], "") for key, words in CLOSED_LOOP.items()]
    found += [_row(name, estimate, "") for name, estimate in summary["sub_metrics"].items()]
    if summary["open_loop"] is not None:
        figures = summary["open_loop"]["figures"]
        found += [_row(words, figures.get(key), "") for key, words in OPEN_LOOP.items()]
    worlds = f"{summary['n']} worlds of {run['profile']}, {run['seconds']:g} s each"
    return _section(f"evaluate{who}: {run['profile']}, {summary['name']}", worlds, command, [*rows, *found], result)


def _seeds(seeds: Sequence[int]) -> str:
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"--worlds {len(seeds)} --first-seed {seeds[0]}"
    return f"--seeds {','.join(map(str, seeds))}"


def _switches(name: str) -> str:
    """What makes `evaluate` drive the variant of this name, each switch after a space."""
    words = name.split(", ")
    if unknown := [word for word in words if word not in SWITCHES]:
        raise ConfigurationError(f"evaluation: no switch is known for {unknown[0]!r} of the variant {name!r}")
    return "".join(f" {SWITCHES[word]}" for word in words if SWITCHES[word])


def _section(
    title: str, worlds: str, command: str, rows: Sequence[tuple[str, str, int | None, str]], result: dict[str, Any]
) -> dict[str, Any]:
    bundle = result["provenance"]["bundle"]
    return {
        "title": title,
        "worlds": worlds,
        "command": command,
        "commit": result["provenance"]["versions"]["commit"],
        "bundle": bundle.get("model", bundle)["core hash"],
        "rows": [{"name": name, "value": value, "n": n, "aim": aim} for name, value, n, aim in rows],
    }


def _row(name: str, estimate: dict[str, Any] | None, aim: str) -> tuple[str, str, int | None, str]:
    if estimate is None:
        return name, "not measurable there", None, aim
    value, low, high = (f"{estimate[key]:.3f}" for key in ("value", "low", "high"))
    return name, f"{value} [{low}, {high}]", estimate["n"], aim


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: expected a JSON document: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
