"""What was measured comes into the card with its command; other files are refused; a new measure replaces the old."""

import json
import shutil
from pathlib import Path

import pytest

from onboard_vla.app import evaluate
from onboard_vla.app.cli import run
from onboard_vla.app.evaluation.variant import ABLATIONS, Variant, with_ablation
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.world import card_measures, model_assets
from onboard_vla.world.card_measures import with_results
from onboard_vla.world.card_text import CURVE, render_card
from onboard_vla.world.train_plan import Workplace

FOLDER = Path(model_assets.__file__).parent / "reference"
VERSIONS = {"commit": "0123abc"}
HASH = "5a" * 32


def estimate(value):
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40, "worlds": 4}


def measured(value=0.5, **bundles):
    run = {"profile": "quiet_road", "seconds": 20.0, "seeds": [800_000, 800_001]}
    run |= {"precision": "int8", "samples": 40}
    figures = [{"name": "ratio", "estimate": estimate(value), "aim": "at least 1.3"}]
    figures.append({"name": "gap", "estimate": None, "aim": ""})
    bundle = {"model": {"core hash": HASH}, **bundles}
    return {
        "format": 1,
        "measures": {"sight": figures},
        "provenance": {"run": run, "bundle": bundle, "versions": VERSIONS},
    }


def evaluated(planner="model"):
    run = {"planner": planner, "profile": "quiet_road", "seconds": 20.0, "seeds": [100, 101]}
    run |= {"declared plan latency ms": 100.0}
    share = {"count": 2, "n": 2, "low": 0.158, "high": 1.0}
    summary = {"name": "modelled sensors", "n": 2, "open_loop": {"figures": {"ade_m": estimate(0.3)}}}
    summary |= dict.fromkeys(card_measures.SHARES, share) | dict.fromkeys(card_measures.CLOSED_LOOP, estimate(0.9))
    summary["sub_metrics"] = {"nc": estimate(1.0)}
    return {
        "format": 2,
        "summaries": [summary],
        "provenance": {"run": run, "bundle": {"core hash": HASH}, "versions": VERSIONS},
    }


@pytest.fixture
def card():
    found = json.loads((FOLDER / "card.json").read_text(encoding="utf-8"))
    found.pop("measured", None)
    return found


def test_a_measure_stands_in_the_card_with_bounds_and_the_command_that_makes_it(card):
    text = render_card(with_results(card, measured(1.7)))
    assert "| ratio | 1.700 [1.600, 1.800] | 40 | at least 1.3 |" in text
    assert "| gap | not measurable there |  |  |" in text
    command = (
        "onboard-vla measure sight --worlds 2 --first-seed 800000 --seconds 20 --profile quiet_road --precision int8"
    )
    assert f"commit 0123abc, bundle 5a5a5a5a5a5a: `{command}`" in text
    assert "--blind BLIND_CHECKPOINT`" in render_card(with_results(card, measured(blind={})))
    photographed = measured()
    photographed["measures"] = {"pictures": photographed["measures"]["sight"]}
    photographed["provenance"]["run"]["with photographs"] = True
    assert "--photos FOLDER`" in render_card(with_results(card, photographed))


def test_an_evaluation_stands_in_the_card(card):
    text = render_card(with_results(card, evaluated()))
    assert "## Measured: evaluate: quiet_road, modelled sensors" in text
    assert "| clean episodes | 2 of 2 [0.158, 1.000] | 2 |  |" in text
    assert "| EPDMS | 0.900 [0.800, 1.000] | 40 |  |" in text
    assert "onboard-vla evaluate --worlds 2 --first-seed 100 --seconds 20" in text


def test_a_new_measure_of_the_same_kind_replaces_the_old_one(card):
    twice = with_results(with_results(with_results(card, measured(1.7)), evaluated()), measured(2.5))
    assert [section["title"] for section in twice["measured"]] == [
        "evaluate: quiet_road, modelled sensors",
        "sight: quiet_road, int8",
    ]
    assert "2.500" in render_card(twice)
    assert "1.700" not in render_card(twice)


def spelt(variant, seeds=(100, 101)):
    """The command that the card names for an evaluation of this variant."""
    result = evaluated()
    result["summaries"][0]["name"] = variant.name
    result["provenance"]["run"]["seeds"] = list(seeds)
    return with_results({}, result)["measured"][0]["command"]


@pytest.mark.parametrize("ablation", [None, *ABLATIONS])
@pytest.mark.parametrize(
    "base", [Variant(), Variant("perfect", supervised=False, depth="slow", look="fog", sees="front")]
)
def test_the_command_of_an_evaluation_drives_the_variant_that_it_stands_beside(base, ablation, monkeypatch):
    asked = []
    monkeypatch.setattr(evaluate, "run_evaluation", lambda request, console: asked.append(request) or 0)
    variant = with_ablation(base, ablation) if ablation else base
    program, *arguments = spelt(variant).split()
    assert program == "onboard-vla"
    assert run(arguments) == 0
    (request,) = asked
    assert variant in evaluate.variants(request)
    assert (request.seeds, request.seconds, request.profile) == ((100, 101), 20.0, "quiet_road")
    assert (request.latency_ms, request.planner, request.bundle) == (100.0, "model", "default")


def test_the_command_of_an_evaluation_names_seeds_that_do_not_follow_one_another():
    assert "--seeds 3,5 --seconds 20" in spelt(Variant(), (3, 5))
    with pytest.raises(ConfigurationError, match="no switch is known for 'dusk'"):
        spelt(Variant(look="dusk"))


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ({"format": 1}, "found format 1"),
        ({**measured(), "format": 7}, "found format 7"),
        (evaluated("expert"), "planner is 'expert'"),
    ],
)
def test_other_files_are_refused(card, result, words):
    with pytest.raises(ConfigurationError, match=words):
        with_results(card, result)


def test_command_writes_both_files_and_names_what_it_cannot_read(tmp_path, capsys):
    for name in ("card.json", "CARD.md"):
        shutil.copy(FOLDER / name, tmp_path)
    (tmp_path / "m.json").write_text(json.dumps(measured()), encoding="utf-8")
    assert card_measures.main([str(tmp_path), str(tmp_path / "m.json")]) == 0
    card = json.loads((tmp_path / "card.json").read_text(encoding="utf-8"))
    assert (tmp_path / "CARD.md").read_text(encoding="utf-8") == render_card(card)
    assert card_measures.main([str(tmp_path), str(tmp_path / "none.json")]) == 1
    assert "none.json" in capsys.readouterr().err


def test_a_control_stands_under_its_own_name_and_must_not_have_seen(card):
    grey = evaluated()
    grey["summaries"][0]["name"] = "modelled sensors, unaided, all pictures grey"
    text = render_card(with_results(with_results(card, grey), grey, card_measures.CONTROL))
    assert "## Measured: evaluate: quiet_road, modelled sensors, unaided, all pictures grey" in text
    assert "## Measured: evaluate the blind control: quiet_road, modelled sensors, unaided, all pictures grey" in text
    assert text.count(" --unaided --sees nothing --checkpoint BLIND_CHECKPOINT`") == 1
    with pytest.raises(ConfigurationError, match="expected an evaluation with all pictures grey"):
        with_results(card, evaluated(), card_measures.CONTROL)


def test_the_learning_curve_is_kept_over_interruptions_and_shown_with_its_price(tmp_path, card):
    place = Workplace(tmp_path)
    figures = {key: 1.25 for _, key in CURVE}
    place.measured("finish", 600, figures)
    place.measured("whole", 200, figures)
    place.measured("whole", 200, {**figures, "ade_5s_m": 7.5})
    assert [(p["samples_seen"], p["ade_5s_m"]) for p in place.curve()] == [(200, 7.5), (600, 1.25)]
    stages = {"whole": {"seconds": 1800.0, "commits": []}, "finish": {"seconds": 1800.0, "commits": []}}
    training = {**card["training"], "stages": stages, "samples_seen": 600, "curve": place.curve()}
    text = render_card({**card, "training": training})
    assert "| 200 | whole | 1.250 | 7.500 |" in text
    assert "These 600 samples took 1.0 h; ten times as many\nwould take about 10 h" in text
    assert "Learning curve" not in render_card({**card, "training": {**training, "curve": []}})
