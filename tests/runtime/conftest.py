"""A tiny trained model, its checkpoint folder and bundles of it, made once per session."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

SPEC = importlib.util.spec_from_file_location("tiny_model", Path(__file__).with_name("tiny_model.py"))
tiny_model = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tiny_model)


@pytest.fixture(scope="session")
def tiny():
    """The module that makes tiny models."""
    return tiny_model


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Checkpoint folder and transformers model that know one fast and one slow answer."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("trained")
    return folder, tiny_model.train(folder)


@pytest.fixture(scope="session")
def bundles(trained, tmp_path_factory):
    """Bundles of the trained checkpoint by repetition penalty."""
    made = {}

    def bundle(penalty=1.0):
        if penalty not in made:
            made[penalty] = tiny_model.write_bundle(trained[0], tmp_path_factory.mktemp("bundle") / "b", penalty)
        return made[penalty]

    return bundle
