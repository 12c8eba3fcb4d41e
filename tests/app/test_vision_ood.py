"""Vision's distance on the reference checkpoint: nominal worlds pass, pictures that it cannot know are far away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from onboard_vla.app.vision_ood_report import FIRST_SEED, NOMINAL, auroc, distances, looks, moments
from onboard_vla.calibration.provisional import TABLE, thresholds_of
from onboard_vla.core.thresholds import DRIFT_BLOCKS_MIN
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig

REFERENCE = Path(__file__).parents[2] / "world" / "reference"
WORLDS, EACH = 5, 4
LIMIT = TABLE["vision_ood"][0]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    return Bundle.open(export_bundle(REFERENCE, tmp_path_factory.mktemp("int8") / "bundle"))


@pytest.fixture(scope="module")
def planner(bundle) -> Planner:
    return Planner(bundle, vision_cache=False)


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return Renderer(default_rig())


@pytest.fixture(scope="module")
def nominal(renderer):
    """Twenty moments in five worlds of the profile that the model was trained on; nothing else has seen them."""
    return moments(NOMINAL, range(FIRST_SEED, FIRST_SEED + WORLDS), EACH, 0.5, renderer)


@pytest.fixture(scope="module")
def known(planner, nominal):
    return distances(planner, nominal)


def test_nominal_pictures_pass(known):
    assert len(known) == WORLDS * EACH
    assert np.mean(known <= LIMIT) == 1.0
    assert 0.3 < np.median(known) < 0.9


@pytest.mark.parametrize(
    ("look", "least_auroc", "least_flagged"),
    [
        ("black", 0.999, 0.95),
        ("noise", 0.999, 0.95),
        ("inverted", 0.999, 0.95),
        ("upside down", 0.99, 0.8),
        ("left and right cameras swapped", 0.99, 0.4),
        ("a quarter of the light", 0.999, 0.95),
    ],
)
def test_pictures_that_no_camera_makes_are_far_away(planner, nominal, known, look, least_auroc, least_flagged):
    change = looks(np.random.default_rng(1))[look]
    found = distances(planner, [change(moment) for moment in nominal])
    assert auroc(known, found) >= least_auroc
    assert np.mean(found > LIMIT) >= least_flagged


def test_another_kind_of_road_than_it_was_trained_on_is_far_away(planner, renderer, known):
    found = distances(planner, moments("urban", range(FIRST_SEED, FIRST_SEED + WORLDS), EACH, 0.5, renderer))
    assert auroc(known, found) >= 0.98
    assert np.mean(found > LIMIT) >= 0.5


def test_what_it_does_not_see(planner, nominal, known):
    """Noise that hides detail and leaves the scene is not told from nominal pictures; the camera guard measures it."""
    change = looks(np.random.default_rng(1))["sensor noise, sigma 20"]
    found = distances(planner, [change(moment) for moment in nominal])
    assert 0.3 < auroc(known, found) < 0.7


def test_auroc_counts_pairs_with_ties_half():
    assert auroc(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 1.0
    assert auroc(np.array([1.0, 2.0]), np.array([0.0])) == 0.0
    assert auroc(np.array([1.0, 2.0, 3.0]), np.array([2.0])) == 0.5


def test_the_bundles_thresholds_have_its_limit_and_its_drift_reference(bundle):
    made = thresholds_of(bundle.path)
    made.require_core(bundle.core_hash, bundle.precision)
    assert made.value("vision_ood") == LIMIT
    assert set(made.drift_reference) == set(made.drift_tolerance) == {"spread_reduce", "chosen_mass", "vision_ood"}
    assert all(len(blocks) >= DRIFT_BLOCKS_MIN for blocks in made.drift_reference.values())
    assert all(value > 0.0 for value in made.drift_tolerance.values())
