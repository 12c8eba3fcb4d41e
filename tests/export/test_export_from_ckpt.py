"""The whole way from a `.ckpt`, a base model's folder and files by path: the bundle is that of the plain folder."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
from safetensors import safe_open

from onboard_vla.app import cli
from onboard_vla.core.codebook import Codebook
from onboard_vla.core.errors import BundleError
from onboard_vla.export import bundle_writer
from onboard_vla.export.activation_ranges import RANGES_FILE
from onboard_vla.export.assemble import MODEL_FILES

torch = pytest.importorskip("torch")


@pytest.fixture
def scattered(reference_checkpoint, tmp_path):
    """The reference checkpoint as AutoVLA's training would leave it."""
    with safe_open(reference_checkpoint / "model.safetensors", framework="np") as handle:
        state = {f"autovla.vlm.{key}": torch.from_numpy(handle.get_tensor(key)) for key in handle.keys()}  # noqa: SIM118
    torch.save({"state_dict": state, "hyper_parameters": {"config": {"model": {}}}}, tmp_path / "AutoVLA.ckpt")
    model = tmp_path / "base"
    model.mkdir()
    for name in MODEL_FILES:
        if (reference_checkpoint / name).is_file():
            shutil.copyfile(reference_checkpoint / name, model / name)
    config = json.loads((model / "config.json").read_text())
    config["text_config"]["vocab_size"] -= 17  # the base model's, before training added tokens
    (model / "config.json").write_text(json.dumps(config))
    (model / "model.safetensors").write_bytes(b"the base model's own weights, not to be read")
    codebook = Codebook.load(reference_checkpoint / "codebook.npz")
    length, width = codebook.box
    corners = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * np.array([length / 2, width / 2])
    start = np.broadcast_to(corners, (codebook.size, 1, 4, 2))
    with_start = np.concatenate([start, codebook.contours], axis=1).astype(np.float32)
    (tmp_path / "agent_vocab.pkl").write_bytes(pickle.dumps({"token_all": {"veh": with_start}}))
    return tmp_path


def test_a_scattered_checkpoint_gives_the_bundle_of_the_folder(scattered, reference_checkpoint, fp32_bundle, capsys):
    words = ["export", scattered / "AutoVLA.ckpt", "--model", scattered / "base", "--out", scattered / "bundle"]
    words += ["--prompt", reference_checkpoint / "prompt.json", "--cameras", reference_checkpoint / "cameras.json"]
    words += ["--codebook", scattered / "agent_vocab.pkl", "--precision", "fp32", "--json"]
    words += ["--golden-scenes", reference_checkpoint / "golden_scenes.npz"]
    assert cli.run([str(word) for word in words]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["peak_rss_mib"] > 0
    names = sorted(file.name for file in fp32_bundle.iterdir() if file.suffix in (".onnx", ".npy"))
    for name in [*names, "prompt.json", "tokenizer.json"]:
        assert (scattered / "bundle" / name).read_bytes() == (fp32_bundle / name).read_bytes(), name
    found = Codebook.load(scattered / "bundle" / "codebook.npz").contours
    np.testing.assert_array_equal(found, Codebook.load(fp32_bundle / "codebook.npz").contours)


def test_a_file_that_is_not_there_is_named(scattered, capsys):
    words = ["export", scattered / "AutoVLA.ckpt", "--out", scattered / "bundle", "--codebook", scattered / "no.pkl"]
    assert cli.run([str(word) for word in words]) == 1
    assert "no.pkl does not exist" in capsys.readouterr().err
    assert not (scattered / "bundle").exists()


@pytest.mark.parametrize("command", ["export", "observe"])
def test_a_ckpt_without_its_models_configuration_is_told_the_option_that_gives_it(tmp_path, capsys, command):
    checkpoint, base = tmp_path / "last.ckpt", tmp_path / "base"
    checkpoint.touch()
    base.mkdir()
    words = [command, str(checkpoint), "--out", str(tmp_path / "out")]
    words += ["--scenes", str(tmp_path / "scenes.npz")] if command == "observe" else []
    for more, said in [
        ([], f"config.json is not beside {checkpoint}: give the folder of the base model with --model"),
        (["--model", str(base)], f"{base} has no config.json: expected the folder of the base model"),
    ]:
        assert cli.run([*words, *more]) == 1
        assert capsys.readouterr().err == f"onboard-vla: {said}\n"


def test_ranges_observed_on_a_ckpt_are_taken_by_an_export_with_the_same_options(
    scattered, reference_checkpoint, capsys
):
    scenes = reference_checkpoint / "golden_scenes.npz"
    parts = ["--model", scattered / "base", "--prompt", reference_checkpoint / "prompt.json"]
    parts += ["--cameras", reference_checkpoint / "cameras.json", "--codebook", scattered / "agent_vocab.pkl"]
    words = ["observe", scattered / "AutoVLA.ckpt", "--scenes", scenes, *parts]
    assert cli.run([str(word) for word in words]) == 0
    assert f"{scattered / 'AutoVLA'}.{RANGES_FILE}: 53 layers on 10 scenes" in capsys.readouterr().out
    words = ["export", scattered / "AutoVLA.ckpt", "--out", scattered / "bundle", "--unjudged", "--json", *parts]
    assert cli.run([str(word) for word in words]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["calibration"]["scenes_from"] == "golden_scenes.npz"
    assert [point[:16] for point in document["unjudged"]] == ["no golden scenes"], "the calibration is of scenes"
    other = scattered / "other.json"
    other.write_text((reference_checkpoint / "prompt.json").read_text() + " ")
    words[words.index("--prompt") + 1] = other
    assert cli.run([str(word) for word in words]) == 1
    error = capsys.readouterr().err
    assert f"{scattered / 'AutoVLA.ckpt'}: weights" in error
    assert "was made for" in error


def test_a_ckpt_is_compared_as_a_folder_is(scattered, reference_checkpoint, capsys, monkeypatch):
    monkeypatch.setattr(bundle_writer, "PRECISIONS", ("fp32", "int8"))
    original = bundle_writer.export_bundle

    def exported(checkpoint, out, *, precision, **options):
        if precision == "int8":
            raise BundleError(f"{precision} export of {checkpoint} is too far")
        return original(checkpoint, out, precision=precision, **options)

    monkeypatch.setattr(bundle_writer, "export_bundle", exported)
    with np.load(reference_checkpoint / "golden_scenes.npz") as archive:
        np.savez(scattered / "one.npz", **{key: archive[key][:1] for key in archive.files})
    words = ["compare", scattered / "AutoVLA.ckpt", "--model", scattered / "base", "--out", scattered / "out"]
    words += ["--prompt", reference_checkpoint / "prompt.json", "--cameras", reference_checkpoint / "cameras.json"]
    words += ["--codebook", scattered / "agent_vocab.pkl", "--rounds", "1", "--json"]
    words += ["--golden-scenes", scattered / "one.npz", "--calibration-scenes", scattered / "one.npz"]
    assert cli.run([str(word) for word in words]) == 1
    document = json.loads(capsys.readouterr().out)
    assert [entry["precision"] for entry in document["bundles"]] == ["fp32"]
    (refused,) = document["refused"]
    assert refused["reason"] == f"int8 export of {scattered / 'AutoVLA.ckpt'} is too far", "as the user named it"


@pytest.fixture
def beside(scattered, reference_checkpoint):
    """Two checkpoints of one training in one folder, with all that both need; the files of scenes have one scene."""
    for name in (*MODEL_FILES, "prompt.json", "cameras.json", "codebook.npz"):
        if (reference_checkpoint / name).is_file():
            shutil.copyfile(reference_checkpoint / name, scattered / name)
    (scattered / "AutoVLA.ckpt").rename(scattered / "epoch=1.ckpt")
    loaded = torch.load(scattered / "epoch=1.ckpt", weights_only=True)
    name = next(key for key in loaded["state_dict"] if "norm" in key)
    loaded["state_dict"][name] = loaded["state_dict"][name] * 1.01
    torch.save(loaded, scattered / "last.ckpt")
    with np.load(reference_checkpoint / "golden_scenes.npz") as archive:
        np.savez(scattered / "one.npz", **{key: archive[key][:1] for key in archive.files})
    return scattered


def test_ranges_of_one_checkpoint_are_neither_its_neighbours_nor_replaced_by_them(beside, capsys):
    scenes = ["--scenes", str(beside / "one.npz")]
    assert cli.run(["observe", str(beside / "epoch=1.ckpt"), *scenes]) == 0
    first = (beside / f"epoch=1.{RANGES_FILE}").read_bytes()
    last = ["export", str(beside / "last.ckpt"), "--out", str(beside / "bundle"), "--precision"]
    assert cli.run([*last, "fp32"]) == 0
    assert cli.run(["observe", str(beside / "last.ckpt"), *scenes]) == 0
    assert (beside / f"epoch=1.{RANGES_FILE}").read_bytes() == first
    assert (beside / f"last.{RANGES_FILE}").read_bytes() != first
    capsys.readouterr()


def test_ranges_of_other_weights_hinder_no_export_that_observes_its_own(reference_checkpoint, tmp_path):
    folder = shutil.copytree(reference_checkpoint, tmp_path / "checkpoint")
    (folder / RANGES_FILE).write_bytes(b"of something else")
    words = ["export", str(folder), "--out", str(tmp_path / "bundle")]
    assert cli.run(words) == 1
    assert cli.run([*words, "--calibration-scenes", str(folder / "golden_scenes.npz")]) == 0


@pytest.mark.parametrize(
    ("command", "fault"),
    [("export", "a key"), ("export", "cameras.json"), ("export", "codebook.npz"), ("verify", "a key")],
)
def test_errors_name_the_users_files(beside, fp32_bundle, capsys, monkeypatch, fault, command):
    """Not the folder of links that the command had, which is gone."""
    monkeypatch.setattr("tempfile.tempdir", str(beside / "links"))
    (beside / "links").mkdir()
    checkpoint = beside / "last.ckpt"
    if fault == "a key":
        loaded = torch.load(checkpoint, weights_only=True)
        loaded["state_dict"].popitem()
        torch.save(loaded, checkpoint)
        words = f"{checkpoint} lacks 1 of "
    elif fault == "cameras.json":
        (beside / fault).unlink()
        words = f"{checkpoint}: cameras.json is missing"
    else:
        (beside / fault).write_bytes(b"PK")
        words = str(beside / fault)
    options = {"export": ["export", str(checkpoint), "--out", str(beside / "bundle"), "--precision", "fp32"]}
    options["verify"] = ["verify", str(fp32_bundle), "--checkpoint", str(checkpoint)]
    assert cli.run(options[command]) == 1
    error = capsys.readouterr().err
    assert words in error
    assert str(beside / "links") not in error
