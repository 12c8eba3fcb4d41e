"""`onboard-vla distil`: which layers go, what is learnt, and that an interrupted run goes on where it was."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors import safe_open

from onboard_vla.app import cli
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.activation_ranges import RANGES_FILE
from onboard_vla.export.aside import alone
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.lessons import batches, prepare_lessons, split_lessons
from onboard_vla.export.source import GOLDEN, Source

torch = pytest.importorskip("torch")
distillation = pytest.importorskip("onboard_vla.export.distillation")
make_student = pytest.importorskip("onboard_vla.export.make_student")
pytestmark = pytest.mark.parity


def ignore(*_):
    pass


@pytest.fixture(scope="module")
def source(reference_checkpoint):
    return Source.open(reference_checkpoint)


@pytest.fixture(scope="module")
def lessons(source):
    return prepare_lessons(source, source.scenes(None, GOLDEN)[1], ignore)


@pytest.fixture
def student(source, reference_checkpoint):
    def make(layers=2, steps=4, seed=0):
        recipe = distillation.Recipe(layers, steps, 4, 1e-3, seed)
        return distillation.Student(reference_checkpoint, source.sizes, source.assets.codebook.deltas[:, :2], recipe)

    return make


def weights(student):
    return {name: value.clone() for name, value in student.model.state_dict().items()}


def test_before_pruning_the_student_says_what_the_teacher_says(student, lessons):
    exam = student().examine(lessons)
    assert exam.divergence_nats < 1e-3, "positions, rows and embeddings are those of the graphs"
    assert exam.motion_m < 2e-3
    assert (exam.lessons, exam.token_agreement, exam.fork_agreement) == (10, 1, 1)


def test_a_layer_that_changes_nothing_has_no_influence_and_goes_first(student, lessons):
    made = student(layers=3)
    layer = made.model.model.language_model.layers[2]
    with torch.no_grad():
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    before = made.examine(lessons)
    influence = made.influence(lessons)
    assert influence[2] == pytest.approx(0, abs=1e-6)
    assert min(influence[:2] + influence[3:]) > 0.01
    made.prune(influence)
    assert made.kept == (0, 1, 3)
    after = made.examine(lessons)
    assert after.divergence_nats == pytest.approx(before.divergence_nats, rel=1e-5)
    assert made.model.config.text_config.num_hidden_layers == 3


def test_learning_brings_the_student_nearer_and_moves_its_layers_alone(student, lessons, tmp_path):
    made = student(steps=8)
    made.prune(made.influence(lessons))
    before, exam = weights(made), made.examine(lessons)
    made.learn(lessons, tmp_path / "state.pt", ignore)
    assert made.examine(lessons).divergence_nats < 0.7 * exam.divergence_nats
    moved = {name for name, value in weights(made).items() if not torch.equal(value, before[name])}
    assert moved
    assert {name for name in moved if "language_model.layers" not in name} == {"model.language_model.norm.weight"}


class Interrupted(Exception):  # noqa: N818
    """Stands in for a kill."""


def test_an_interrupted_run_ends_where_an_uninterrupted_one_does(student, lessons, tmp_path, monkeypatch):
    monkeypatch.setattr(distillation, "SAVE_EVERY", 2)

    def interrupt(share, _words):
        if share > 0.7:
            raise Interrupted

    def trained(state, report=ignore):
        made = student()
        made.prune([4.0, 1.0, 2.0, 3.0])
        made.learn(lessons, state, report)
        return weights(made)

    whole = trained(tmp_path / "whole.pt")
    with pytest.raises(Interrupted):
        trained(tmp_path / "cut.pt", interrupt)
    steps = []
    again = trained(tmp_path / "cut.pt", lambda share, _: steps.append(share))
    assert steps == [0.75, 1.0], "two of four steps were kept"
    assert all(torch.equal(again[name], value) for name, value in whole.items())
    other = student(seed=1)
    other.prune([4.0, 1.0, 2.0, 3.0])
    with pytest.raises(CheckpointError, match="left by another recipe"):
        other.learn(lessons, tmp_path / "cut.pt", ignore)


def test_a_student_is_a_checkpoint_that_exports_and_compares(reference_checkpoint, tmp_path, capsys):
    out, scenes = tmp_path / "student", reference_checkpoint / GOLDEN.file
    words = ["distil", str(reference_checkpoint), "--scenes", str(scenes), "--out", str(out), "--steps", "2"]
    assert cli.run([*words, "--batch", "4", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["scenes"] == {"files": [GOLDEN.file], "learnt": 9, "asked": 1}
    assert len(record["kept"]) == 2
    assert sorted(tmp_path.iterdir()) == [out], "nothing else is left"
    manifest = load_manifest(export_bundle(out, tmp_path / "bundle", fallbacks=()))
    assert manifest.model.text.layers == 2
    assert manifest.precision["language"] == "int8"
    assert manifest.calibration["scenes_from"] == "scenes of the distillation"
    teacher, made = Source.open(reference_checkpoint), Source.open(out)
    np.testing.assert_array_equal(made.checkpoint.embedding, teacher.checkpoint.embedding)
    for name in ("visual.merger.mlp.2", "visual.blocks.0.attn.q"):
        np.testing.assert_array_equal(made.weights.linear(name).weight, teacher.weights.linear(name).weight)
    assert cli.run(words) == 1
    assert f"{out} exists" in capsys.readouterr().err


def test_a_student_of_a_ckpt_is_that_of_the_folder_and_has_the_golden_scenes_that_were_given(
    reference_checkpoint, tmp_path
):
    teacher = shutil.copytree(reference_checkpoint, tmp_path / "teacher")
    pixels = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.3]}
    (teacher / "preprocessor_config.json").write_text(json.dumps(pixels))
    described = json.loads((teacher / "cameras.json").read_text())
    kept = {name: value for name, value in described.items() if name not in ("mean", "std")}
    (teacher / "cameras.json").write_text(json.dumps(kept))
    (teacher / RANGES_FILE).unlink()
    golden = tmp_path / "golden.npz"
    with np.load(teacher / GOLDEN.file) as archive:
        np.savez(golden, **{name: archive[name][:3] for name in archive.files})
    with safe_open(teacher / "model.safetensors", framework="np") as handle:
        state = {f"autovla.vlm.{key}": torch.from_numpy(handle.get_tensor(key)) for key in handle.keys()}  # noqa: SIM118
    torch.save({"state_dict": state}, tmp_path / "AutoVLA.ckpt")
    parts = ["--model", teacher, "--codebook", teacher / "codebook.npz", "--golden-scenes", golden]
    parts += ["--prompt", teacher / "prompt.json", "--cameras", teacher / "cameras.json"]
    for checkpoint, out, more in ((teacher, "of_folder", []), (tmp_path / "AutoVLA.ckpt", "of_ckpt", parts)):
        words = ["distil", checkpoint, "--scenes", teacher / GOLDEN.file, "--out", tmp_path / out, *more]
        assert cli.run([str(word) for word in [*words, "--steps", "2", "--batch", "4"]]) == 0
    made = tmp_path / "of_ckpt"
    assert (made / "model.safetensors").read_bytes() == (tmp_path / "of_folder" / "model.safetensors").read_bytes()
    assert (made / GOLDEN.file).read_bytes() == golden.read_bytes()
    for student in (made, tmp_path / "of_folder"):
        assert list(Source.open(student).model.vision.image_mean) == pixels["image_mean"], "pixels as the teacher's"


def test_golden_scenes_that_do_not_fit_are_refused_before_the_training(reference_checkpoint, tmp_path, capsys):
    scenes, golden = reference_checkpoint / GOLDEN.file, tmp_path / "golden.npz"
    np.savez(golden, prompt_ids=np.zeros((1, 3), np.int64))
    words = ["distil", reference_checkpoint, "--scenes", scenes, "--out", tmp_path / "s", "--golden-scenes", golden]
    assert cli.run([str(word) for word in words]) == 1
    assert "golden.npz: images_front must be" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


def test_a_place_that_another_process_writes_to_is_left_to_it(reference_checkpoint, tmp_path, capsys):
    out, scenes = tmp_path / "student", reference_checkpoint / GOLDEN.file
    with alone(out):
        assert cli.run(["distil", str(reference_checkpoint), "--scenes", str(scenes), "--out", str(out)]) == 1
    assert f"{out} is being written by another process" in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.iterdir())


def test_one_scene_is_not_enough(reference_checkpoint, tmp_path, capsys):
    with np.load(reference_checkpoint / GOLDEN.file) as archive:
        np.savez(tmp_path / "one.npz", **{name: archive[name][:1] for name in archive.files})
    words = ["distil", str(reference_checkpoint), "--scenes", str(tmp_path / "one.npz"), "--out", str(tmp_path / "s")]
    assert cli.run(words) == 1
    assert "expected at least 2 scenes" in capsys.readouterr().err


@pytest.mark.parametrize("layers", [0, 4, 5])
def test_a_student_has_fewer_layers_and_at_least_one(student, layers):
    with pytest.raises(CheckpointError, match="has 4 language layers: a student has fewer and at least one"):
        student(layers)


def test_batches_of_a_resumed_run_are_those_that_were_left():
    whole = batches(10, 4, 7, seed=3)
    assert [part.tolist() for part in batches(10, 4, 7, seed=3, start=5)] == [part.tolist() for part in whole[5:]]
    assert len(whole) == 7
    assert all(len(set(part.tolist())) == 4 for part in whole)
    assert {int(i) for part in batches(10, 5, 2, seed=3) for i in part} == set(range(10)), "an epoch is everything once"


def test_what_is_asked_was_not_learnt(lessons):
    learnt, asked = split_lessons(lessons, 0.3, seed=0)
    assert (len(learnt), len(asked)) == (7, 3)
    assert {id(lesson) for lesson in (*learnt, *asked)} == {id(lesson) for lesson in lessons}
