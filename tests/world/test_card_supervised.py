"""Closed-loop figures under the supervisor come into the card only from an evaluation of the card's own worlds."""

import copy
import json
import shutil
from pathlib import Path

import pytest

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.world import card_supervised, model_assets
from onboard_vla.world.card_supervised import supervised

FOLDER = Path(model_assets.__file__).parent / "reference"
SEEDS = [900000, 900001, 900002]


def episode(seed, **changed):
    figures = {
        "collisions_at_fault": 0,
        "off_road": 0,
        "needless_stops": 0,
        "interventions": 1,
        "progress_m": 400.0,
        "model_share": 0.9,
    }
    return {"seed": seed, "figures": {**figures, **changed}}


@pytest.fixture
def card():
    """The reference card, as if it had three drives and none under the supervisor."""
    found = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    found.pop("supervised", None)
    found["closed_loop_runs"] = [{"seed": seed} for seed in SEEDS]
    return found


@pytest.fixture
def evaluation():
    run = {"profile": "quiet_road", "planner": "model", "seconds": 60.0, "seeds": SEEDS}
    run |= {"with the demo's faults": False, "declared plan latency ms": 100.0}
    return {
        "format": 2,
        "summaries": [{"sensor": "modelled", "fork": {"n": 900, "fast": 600}}],
        "episodes": [episode(SEEDS[0]), episode(SEEDS[1], collisions_at_fault=2), episode(SEEDS[2], progress_m=100.0)],
        "provenance": {"run": run, "bundle": {"core hash": "ab" * 32}, "versions": {"commit": "0123abc"}},
    }


def test_counts_are_episodes_and_not_events(card, evaluation):
    found = supervised(card, evaluation)

    assert (found["episodes"], found["clean"], found["collision"], found["off_road"]) == (3, 2, 1, 0)
    assert found["interventions"] == 3
    assert found["progress_m"] == 300.0


@pytest.mark.parametrize(
    ("name", "value"),
    [("seeds", [1, 2, 3]), ("seconds", 20.0), ("planner", "expert"), ("with the demo's faults", True)],
)
def test_an_evaluation_of_other_drives_is_refused_with_both_values(card, evaluation, name, value):
    evaluation["provenance"]["run"][name] = value

    with pytest.raises(ConfigurationError, match="the card's drives have") as caught:
        supervised(card, evaluation)
    assert repr(value) in str(caught.value)


def test_two_sensor_kinds_in_one_file_are_refused(card, evaluation):
    evaluation["summaries"] *= 2

    with pytest.raises(ConfigurationError, match="two sensor kinds"):
        supervised(card, evaluation)


def test_command_writes_card_and_page_and_keeps_all_other_figures(card, evaluation, tmp_path):
    (tmp_path / "card.json").write_text(json.dumps(card), encoding="utf-8")
    file = tmp_path / "evaluation.json"
    file.write_text(json.dumps(evaluation), encoding="utf-8")

    assert card_supervised.main([str(tmp_path), "--evaluation", str(file)]) == 0

    written = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    rest = copy.deepcopy(written)
    del rest["supervised"]
    assert rest == card
    page = (tmp_path / "CARD.md").read_text(encoding="utf-8")
    assert "| clean share | 0.750 | 0.667 (2 of 3) | 1.000 |" in page
    assert "66.7% of these plans (n = 900)" in page


def test_unreadable_evaluation_is_one_line(tmp_path, capsys):
    shutil.copy(FOLDER / "card.json", tmp_path)

    assert card_supervised.main([str(tmp_path), "--evaluation", str(tmp_path / "none.json")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_page_of_the_reference_checkpoint_is_the_one_that_its_figures_give():
    from onboard_vla.world.card_text import render_card

    card = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    assert (FOLDER / "CARD.md").read_text(encoding="utf-8") == render_card(card)
