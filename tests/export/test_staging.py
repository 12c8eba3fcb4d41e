"""A bundle's place: what a kill at any moment leaves there, and what the next attempt makes of it."""

from __future__ import annotations

import os
from contextlib import suppress

import pytest

from onboard_vla.core.bundle_manifest import MANIFEST_NAME
from onboard_vla.export import place as place_module
from onboard_vla.export import staging
from onboard_vla.export.staging import Staging


class Killed(BaseException):
    """Nothing after it runs."""


def bundle(place, words):
    place.mkdir(parents=True, exist_ok=True)
    (place / MANIFEST_NAME).write_text(words)


def killed_after(renames, place, monkeypatch):
    """An attempt that ends after so many renames of its `commit`, and clears nothing up."""
    done, original = [], os.rename

    def rename(*paths):
        if len(done) == renames:
            raise Killed
        done.append(paths)
        original(*paths)

    attempt = Staging(place, "recipe")
    attempt.__enter__()
    bundle(attempt.folder, "newer")
    with monkeypatch.context() as patched, suppress(Killed):
        patched.setattr(place_module.os, "rename", rename)
        attempt.commit()
    attempt._lock.close()


@pytest.fixture(autouse=True)
def readable(monkeypatch):
    """Takes every manifest for one that can be read: what they say is not what this is about."""
    monkeypatch.setattr(staging, "load_manifest", lambda _: None)


@pytest.mark.parametrize(("renames", "stands"), [(0, "older"), (1, "older"), (2, "newer")])
def test_a_kill_while_a_bundle_is_replaced_costs_neither(tmp_path, monkeypatch, renames, stands):
    place = tmp_path / "bundle"
    bundle(place, "older")
    killed_after(renames, place, monkeypatch)
    with Staging(place, "recipe") as again:
        assert (place / MANIFEST_NAME).read_text() == stands
        assert again.resumed == (renames < 2), "what is committed is not gone on with"
        assert again.folder.is_dir()
    assert list(tmp_path.iterdir()) == [place]


@pytest.mark.parametrize("moved", [1, 2], ids=["the older bundle", "both"])
def test_an_interrupt_between_the_renames_costs_neither_bundle(tmp_path, monkeypatch, moved):
    """Without a recipe nothing is kept for a later attempt, so that what was moved aside must be back at once."""
    place, done, original = tmp_path / "bundle", [], os.rename
    bundle(place, "older")

    def rename(*paths):
        original(*paths)
        done.append(paths)
        if len(done) == moved:
            raise KeyboardInterrupt

    monkeypatch.setattr(place_module.os, "rename", rename)
    attempt = Staging(place)
    attempt.__enter__()
    bundle(attempt.folder, "newer")
    with pytest.raises(KeyboardInterrupt):
        attempt.commit()
    attempt.__exit__(KeyboardInterrupt, None, None)
    assert (place / MANIFEST_NAME).read_text() == ("older" if moved == 1 else "newer")
    assert list(tmp_path.iterdir()) == [place]
