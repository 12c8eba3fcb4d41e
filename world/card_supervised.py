"""Put the closed-loop figures under the supervisor into a checkpoint's card, beside those of the unaided model.

The card's own drives have no supervisor; those with one come from `onboard-vla evaluate` on the same worlds:

    onboard-vla evaluate --first-seed 900000 --episodes 12 --seconds 60 --sensor modelled --json out/supervised.json
    python -m onboard_vla.world.card_supervised world/reference --evaluation out/supervised.json
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

EVALUATION_FORMAT = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the evaluation, hold it against the card, write card.json and CARD.md; exit status 0 when done."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.world.card_supervised", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="checkpoint folder with card.json")
    parser.add_argument("--evaluation", type=Path, required=True, help="JSON that `onboard-vla evaluate --json` wrote")
    options = parser.parse_args(arguments)
    try:
        card, evaluation = _read(options.checkpoint / "card.json"), _read(options.evaluation)
        card["supervised"] = supervised(card, evaluation)
        (options.checkpoint / "card.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
        (options.checkpoint / "CARD.md").write_text(render_card(card), encoding="utf-8")
    except OnboardVlaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def supervised(card: dict[str, Any], evaluation: dict[str, Any]) -> dict[str, Any]:
    """The card's part about drives under the supervisor; counts are episodes.

    Raises:
        ConfigurationError: not an evaluation of the model in the card's worlds, over their time, with one sensor kind.
    """
    if evaluation.get("format") != EVALUATION_FORMAT:
        raise ConfigurationError(f"evaluation: format {evaluation.get('format')!r}, expected {EVALUATION_FORMAT}")
    run, episodes = evaluation["provenance"]["run"], evaluation["episodes"]
    drives = card["closed_loop_runs"]
    expected = {
        "seeds": [drive["seed"] for drive in drives],
        "seconds": card["closed_loop"]["expert"]["seconds"],
        "profile": "quiet_road",
        "planner": "model",
        "with the demo's faults": False,
    }
    for name, value in expected.items():
        if run.get(name) != value:
            raise ConfigurationError(f"evaluation: {name} is {run.get(name)!r}, the card's drives have {value!r}")
    if len(evaluation["summaries"]) != 1:
        raise ConfigurationError("evaluation: two sensor kinds in one file; evaluate with --sensor modelled")
    figures = [episode["figures"] for episode in episodes]

    def with_any(*names: str) -> int:
        return sum(any(f[name] for name in names) for f in figures)

    fork = evaluation["summaries"][0]["fork"]
    return {
        "sensor": evaluation["summaries"][0]["sensor"],
        "episodes": len(figures),
        "clean": len(figures) - with_any("collisions_at_fault", "off_road", "needless_stops"),
        "off_road": with_any("off_road"),
        "collision": with_any("collisions_at_fault"),
        "needless_stop": with_any("needless_stops"),
        "interventions": sum(f["interventions"] for f in figures),
        "seconds": run["seconds"],
        "progress_m": sum(f["progress_m"] for f in figures) / len(figures),
        "model_share": sum(f["model_share"] for f in figures) / len(figures),
        "fork_fast": fork["fast"],
        "fork_plans": fork["n"],
        "bundle": evaluation["provenance"]["bundle"]["core hash"],
        "commit": evaluation["provenance"]["versions"]["commit"],
        "plan_latency_ms": run["declared plan latency ms"],
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: expected a JSON document: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
