"""Bad input at the command: one line that names the defect, nothing half-written, and an older bundle stays."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from onboard_vla.app import cli
from onboard_vla.core.bundle_manifest import FORMAT_VERSION, MANIFEST_NAME, load_manifest
from onboard_vla.export import graph

WEIGHTS, CODEBOOK, TOKENIZER = "model.safetensors", "codebook.npz", "tokenizer.json"
NEEDED = ("config.json", "generation_config.json", "cameras.json", "prompt.json", CODEBOOK, TOKENIZER, WEIGHTS)
"""Without ranges, which would refuse changed files before anything else does."""
LAYER = "layers.1.mlp.up_proj.weight"
VISUAL = "merger.ln_q.weight"


@pytest.fixture
def checkpoint(reference_checkpoint, tmp_path):
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    for name in NEEDED:
        shutil.copyfile(reference_checkpoint / name, folder / name)
    return folder


def weights(change):
    def apply(folder):
        tensors = load_file(folder / WEIGHTS)
        change(tensors, next(name for name in tensors if name.endswith(LAYER)))
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return apply


def missing_key(tensors, name):
    del tensors[name]


def extra_key(tensors, name):
    tensors[name.replace("up_proj", "side_proj")] = tensors[name].copy()


def nan_weight(tensors, name):
    tensors[name][3, 5] = np.nan


def wrong_codebook(folder):
    with np.load(folder / CODEBOOK) as archive:
        arrays = dict(archive)
    arrays["contours"] = arrays["contours"][..., :1]
    np.savez(folder / CODEBOOK, **arrays)


def short_codebook(folder):
    with np.load(folder / CODEBOOK) as archive:
        arrays = dict(archive)
    arrays["contours"] = arrays["contours"][:100]
    np.savez(folder / CODEBOOK, **arrays)


def damaged_codebook(folder):
    (folder / CODEBOOK).write_text("garbage")


def no_action_tokens(folder):
    tokenizer = json.loads((folder / TOKENIZER).read_text())
    actions = {token["content"] for token in tokenizer["added_tokens"] if "action" in token["content"]}
    assert len(actions) == 2048
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"] not in actions]
    for name in actions:
        tokenizer["model"]["vocab"].pop(name, None)
    (folder / TOKENIZER).write_text(json.dumps(tokenizer))


def newer_prompt(folder):
    prompt = json.loads((folder / "prompt.json").read_text())
    (folder / "prompt.json").write_text(json.dumps(prompt | {"format": 99}))


def doubled_key(tensors, name):
    tensors[f"model.visual.{VISUAL}"] = tensors[f"visual.{VISUAL}"].copy()


def no_generation_config(folder):
    (folder / "generation_config.json").unlink()


DEFECTS = {
    "two names of one tensor": (weights(doubled_key), f"model.visual.{VISUAL}"),
    "no generation configuration": (no_generation_config, "the repetition penalty"),
    "missing key": (weights(missing_key), LAYER),
    "extra key": (weights(extra_key), "side_proj"),
    "NaN weights": (weights(nan_weight), "NaN or infinite"),
    "codebook's shape": (wrong_codebook, f"{CODEBOOK}: contours: expected shape"),
    "codebook of fewer motions": (short_codebook, "the tokenizer has '<action_100>' too, the codebook ends at 99"),
    "damaged codebook": (damaged_codebook, f"{CODEBOOK}: is no .npz of plain arrays"),
    "no action tokens": (no_action_tokens, "the tokenizer has no action tokens"),
    "newer prompt": (newer_prompt, "format"),
}


@pytest.mark.parametrize("older", [True, False], ids=["over an older bundle", "into an empty place"])
@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_is_one_line_and_nothing_is_half_written(checkpoint, tmp_path, capsys, defect, older):
    damage, words = DEFECTS[defect]
    damage(checkpoint)
    place = tmp_path / "place"
    place.mkdir()
    if older:
        (place / "bundle").mkdir()
        (place / "bundle" / MANIFEST_NAME).write_text("an older bundle")
    before = {file: file.read_bytes() for file in place.rglob("*") if file.is_file()}

    status = cli.run(["export", str(checkpoint), "--out", str(place / "bundle"), "--unjudged"])

    error = capsys.readouterr().err
    assert status == 1
    assert error.count("\n") == 1
    assert words in error
    assert {file: file.read_bytes() for file in place.rglob("*") if file.is_file()} == before


def test_a_file_of_scenes_that_is_not_there_is_named_before_anything_else(checkpoint, tmp_path, capsys):
    words = [
        "export",
        str(checkpoint),
        "--out",
        str(tmp_path / "bundle"),
        "--golden-scenes",
        str(tmp_path / "none.npz"),
    ]
    assert cli.run(words) == 1
    assert "none.npz does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--golden-scenes", "--calibration-scenes"])
def test_a_folder_in_place_of_scenes_is_told_from_a_missing_file(checkpoint, tmp_path, capsys, option):
    (tmp_path / "scenes").mkdir()
    os.mkfifo(tmp_path / "pipe")
    words = ["export", str(checkpoint), "--out", str(tmp_path / "bundle"), option]
    for name, said in {"scenes": "is a folder", "pipe": "is a device or a pipe"}.items():
        assert cli.run([*words, str(tmp_path / name)]) == 1
        assert capsys.readouterr().err == (
            f"onboard-vla: {tmp_path / name} {said}: expected a file of scenes (docs/export.md)\n"
        )


@pytest.mark.parametrize("option", ["--golden-scenes", "--ranges"])
def test_what_is_no_archive_is_said_to_be_none_without_numpys_advice(checkpoint, tmp_path, capsys, option):
    np.save(tmp_path / "one.npy", np.zeros(3))
    (tmp_path / "empty.npz").touch()
    for given in (checkpoint / "config.json", tmp_path / "one.npy", tmp_path / "empty.npz"):
        out = str(tmp_path / "bundle")
        assert cli.run(["export", str(checkpoint), "--out", out, "--unjudged", option, str(given)]) == 1
        error = capsys.readouterr().err
        assert error.startswith(f"onboard-vla: {given} cannot be read as ")
        assert error.endswith(": it is no .npz of plain arrays\n")


def test_a_place_that_cannot_be_written_to_is_named(checkpoint, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    assert cli.run(["export", str(checkpoint), "--out", str(tmp_path / "file" / "bundle"), "--precision", "fp32"]) == 1
    error = capsys.readouterr().err
    assert f"{tmp_path / 'file'} cannot be written to" in error
    assert error.count("\n") == 1


def test_a_disk_that_fills_up_leaves_the_older_bundle(checkpoint, tmp_path, capsys, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(graph, "save_model", full)
    monkeypatch.setattr("onboard_vla.export.source.save_model", full)
    older = tmp_path / "bundle"
    older.mkdir()
    (older / MANIFEST_NAME).write_text("an older bundle")
    assert cli.run(["export", str(checkpoint), "--out", str(older), "--unjudged"]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert (older / MANIFEST_NAME).read_text() == "an older bundle"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "checkpoint"]


KILLED = """
import os, signal, sys
from pathlib import Path
from onboard_vla.export import bundle_writer
def kill(stage, share):
    if stage == "verify":
        os.kill(os.getpid(), signal.SIGKILL)
bundle_writer.export_bundle(Path(sys.argv[1]), Path(sys.argv[2]), precision="fp32", progress=kill)
"""


def test_a_kill_in_the_last_stage_leaves_no_bundle_and_the_next_export_clears_up(checkpoint, tmp_path, capsys):
    out = tmp_path / "bundle"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(checkpoint), str(out)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not out.exists()
    assert cli.run(["inspect", str(tmp_path / ".bundle.partial" / "bundle")]) == 1
    assert "is no bundle" in capsys.readouterr().err
    assert cli.run(["export", str(checkpoint), "--out", str(out), "--precision", "fp32"]) == 0
    load_manifest(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "checkpoint"]


@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_a_file_in_place_of_a_bundle_is_told_from_a_folder(tmp_path, capsys, command):
    file = tmp_path / MANIFEST_NAME
    file.write_text("{}")
    assert cli.run([command, str(file)]) == 1
    assert capsys.readouterr().err == f"onboard-vla: {file} is a file: expected the bundle's folder\n"
    assert cli.run([command, str(file / "within")]) == 1
    assert capsys.readouterr().err == f"onboard-vla: {file / 'within'} is no folder: expected the bundle's\n"


@pytest.mark.parametrize("command", [["inspect"], ["verify"]])
def test_a_bundle_of_a_newer_format_is_refused_with_both_versions(fp32_bundle, tmp_path, capsys, command):
    manifest = json.loads((fp32_bundle / MANIFEST_NAME).read_text())
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(manifest | {"format_version": FORMAT_VERSION + 1}))
    assert cli.run([*command, str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert f"format_version is {FORMAT_VERSION + 1}, this build reads {FORMAT_VERSION}; update Onboard VLA" in error
    assert error.count("\n") == 1
