"""`onboard-vla verify` and `inspect`: many scenes against another bundle, limits, the worst scenes drawn."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.app import cli
from onboard_vla.core.errors import ArgumentError, BundleError
from onboard_vla.export import parity_limits, verification
from onboard_vla.export.graph_session import GraphSession
from onboard_vla.export.parity_limits import PARITY_LIMITS, PLAN_LIMITS, misses
from onboard_vla.export.verification import golden_scenes, runner_of, verify
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.language_model import LEAST_ROWS


@pytest.fixture
def scenes(reference_checkpoint):
    return reference_checkpoint / "golden_scenes.npz"


def run(capsys, *words):
    status = cli.run([str(word) for word in words])
    return status, capsys.readouterr()


def test_scenes_of_a_file_give_the_figures_of_the_same_golden_scenes(int8_bundle, fp32_bundle, scenes):
    golden = verify(int8_bundle)
    found = verify(int8_bundle, reference=fp32_bundle, scenes=scenes)
    assert found.limits == PLAN_LIMITS
    assert found.figures.scenes == golden.figures.scenes == 10
    for name, value in golden.figures.as_table().items():
        assert found.figures.as_table()[name] == pytest.approx(value, rel=1e-4, abs=1e-4), name


def test_a_bundle_against_itself_misses_nothing(fp32_bundle, scenes):
    result = verify(fp32_bundle, reference=fp32_bundle, scenes=scenes)
    assert result.missed == ()
    assert (result.figures.fork_changes, result.figures.ade_p99_m, result.figures.token_agreement) == (0, 0, 1)


def decodes_wrongly(monkeypatch, bundle, change):
    """Multiplies the logits of a bundle's passes over a single token (the planner doubles it)."""
    original, graph = GraphSession.run, bundle / "language.onnx"
    opened, hit = GraphSession.__init__, []

    def remembering(self, path, *rest):
        opened(self, path, *rest)
        self.broken = path == graph

    def breaking(self, inputs):
        found = original(self, inputs)
        if self.broken and len(inputs["embeds"]) == LEAST_ROWS:
            hit.append(1)
            found["logits"] = found["logits"] * np.float32(change)
        return found

    monkeypatch.setattr(GraphSession, "__init__", remembering)
    monkeypatch.setattr(GraphSession, "run", breaking)
    return hit


@pytest.mark.parametrize(
    ("change", "figure", "least"),
    [(0.0, "ade_mean_m", 0.5), (0.7, "logit_difference_max", 0.5), (np.nan, "cosine_mean", None)],
)
def test_a_bundle_that_decodes_wrongly_is_told_from_one_that_does_not(
    fp32_bundle, scenes, tmp_path, monkeypatch, change, figure, least
):
    copy = shutil.copytree(fp32_bundle, tmp_path / "copy")
    hit = decodes_wrongly(monkeypatch, copy, change)
    for found in (verify(copy), verify(copy, reference=fp32_bundle, scenes=scenes)):
        value = found.figures.as_table()[figure]
        assert np.isnan(value) if least is None else value > least
        assert found.figures.scenes == 10
    assert verify(copy).missed
    assert len(hit) >= 3 * 9 * 10


def test_what_is_judged_is_decoded_in_passes_of_as_many_rows_as_the_planners(int8_bundle, monkeypatch):
    """By another number of rows another kernel computes."""
    run, seen = GraphSession.run, []

    def telling(self, inputs):
        if "embeds" in inputs:
            seen.append((len(inputs["embeds"]), len(inputs["rows"])))
        return run(self, inputs)

    monkeypatch.setattr(GraphSession, "run", telling)
    assert verify(int8_bundle).figures.scenes == 10
    actions = Bundle.open(int8_bundle).manifest.actions.per_answer
    few = [count for count in seen if count[0] < actions - 1]
    assert set(few) == {(LEAST_ROWS, LEAST_ROWS)}
    assert len(few) >= (actions - 1) * 10


def test_a_token_a_pass_says_to_the_bit_what_one_pass_over_all_says(bundle):
    """As for the planner, of which tests/runtime/test_pass_shapes.py shows it."""
    opened = Bundle.open(bundle)
    for golden in golden_scenes(opened)[:3]:
        forced, stepped, free = runner_of(opened).each_way(golden.scene, golden.reference.tokens.tolist())
        np.testing.assert_array_equal(forced.actions, stepped.actions)
        same = (free.tokens == golden.reference.tokens).cumprod().astype(bool)
        np.testing.assert_array_equal(free.actions[same], forced.actions[same])


@pytest.mark.parametrize(
    ("change", "word"), [({"fork_changes": 0.011}, "fork_changes"), ({"ade_median_m": 0.051}, "ade_median_m")]
)
def test_each_limit_over_many_scenes_bites(fp32_bundle, change, word):
    figures = verify(fp32_bundle).figures
    assert misses(figures, limits=PLAN_LIMITS) == []
    missed = misses(replace(figures, **change), limits=PLAN_LIMITS)
    assert len(missed) == 1
    assert missed[0].startswith(f"{word} is")


def test_the_command_prints_one_document_and_draws_the_worst_scenes(int8_bundle, tmp_path, capsys):
    status, output = run(capsys, "verify", int8_bundle, "--json", "--html", tmp_path / "report.html")
    document = json.loads(output.out)
    assert status == 0
    assert document["missed"] == []
    assert document["aims"] == {"ade_p99_m": 0.25}
    assert bool(document["aims_missed"]) == (document["figures"]["ade_p99_m"] > 0.25)
    assert document["figures"]["ade_p99_m"] >= document["figures"]["ade_median_m"]
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 8
    assert page.count("data:image/png") == 8
    assert "preference loss max" in page
    assert page.count("<polyline") == 3 * 8, "reference, bundle, expert"
    parted = document["figures"]["parted_share"] * document["figures"]["scenes"]
    assert page.count("parted at a margin of") == round(parted), "those that parted are the worst"


def test_a_report_that_cannot_be_written_is_refused_before_the_first_scene(int8_bundle, tmp_path, capsys, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(verification, "verify", lambda *_, **__: pytest.fail("scenes were run"))
    for place in (tmp_path, tmp_path / "file" / "report.html"):
        assert run(capsys, "verify", int8_bundle, "--html", place)[1].err.startswith(f"onboard-vla: --html {place}: ")
    monkeypatch.undo()
    assert run(capsys, "verify", int8_bundle, "--html", tmp_path / "new" / "report.html")[0] == 0
    assert (tmp_path / "new" / "report.html").is_file()


def test_a_wish_that_fails_leaves_no_folder_of_the_report(fp32_bundle, tmp_path, capsys):
    for words in (["nowhere"], [fp32_bundle, "--scenes", "none.npz"]):
        assert run(capsys, "verify", *words, "--html", tmp_path / "a" / "b" / "report.html")[0] != 0
    assert list(tmp_path.iterdir()) == []


def test_a_missed_limit_is_named_and_is_the_exit_status(int8_bundle, capsys, monkeypatch):
    tight = tuple(replace(limit, bound=-1.0) for limit in PARITY_LIMITS)
    monkeypatch.setattr(parity_limits, "PARITY_LIMITS", tight)
    status, output = run(capsys, "verify", int8_bundle)
    assert status == 1
    assert "missed: preference_loss_max is" in output.out


def test_bundles_of_two_checkpoints_are_not_compared(int8_bundle, fp32_bundle, scenes, monkeypatch):
    opened = verification.Bundle.open(fp32_bundle)
    other = replace(opened, manifest=replace(opened.manifest, frames=replace(opened.manifest.frames, spacing_s=0.4)))
    original = verification.Bundle.open
    monkeypatch.setattr(verification.Bundle, "open", lambda path: other if path == fp32_bundle else original(path))
    with pytest.raises(BundleError, match="not of one checkpoint: their frames differ"):
        verify(int8_bundle, reference=fp32_bundle, scenes=scenes)


def altered(bundle, **fields):
    """The bundle, opened, whose manifest says something else."""
    opened = Bundle.open(bundle)
    return replace(opened, manifest=replace(opened.manifest, **fields))


def test_a_reference_of_other_weights_is_refused(int8_bundle, fp32_bundle, scenes, monkeypatch):
    assert Bundle.open(int8_bundle).manifest.weights_sha256 == Bundle.open(fp32_bundle).manifest.weights_sha256
    other, original = altered(fp32_bundle, weights_sha256="1" * 64), verification.Bundle.open
    monkeypatch.setattr(verification.Bundle, "open", lambda path: other if path == fp32_bundle else original(path))
    with pytest.raises(BundleError) as refused:
        verify(int8_bundle, reference=fp32_bundle, scenes=scenes)
    known = Bundle.open(int8_bundle).manifest.weights_sha256
    assert "were made from other weight files" in str(refused.value)
    assert f"weights_sha256 {known} and {'1' * 64} (files are hashed" in str(refused.value)
    assert "export the reference from the files that the bundle was made from" in str(refused.value)


def test_a_reference_that_is_not_in_float32_is_refused(int8_bundle, scenes):
    with pytest.raises(BundleError, match="is in int8, and a reference must be in fp32: export one"):
        verify(int8_bundle, reference=int8_bundle, scenes=scenes)


def test_the_document_names_its_reference_and_says_that_scenes_are_few(
    int8_bundle, fp32_bundle, scenes, capsys, monkeypatch
):
    words = "verify", int8_bundle, "--reference", fp32_bundle, "--scenes", scenes
    status, output = run(capsys, *words, "--json")
    document = json.loads(output.out)
    known = Bundle.open(fp32_bundle).core_hash
    assert document["reference"] == {"bundle": str(fp32_bundle), "core_hash": known, "precision": "fp32"}
    assert (status, document["few_scenes"]) == (0, True), "said, and no reason to fail"
    assert "few scenes: 10; limits over many scenes speak of 1,000 and more" in run(capsys, *words)[1].out
    monkeypatch.setattr(verification, "MANY_SCENES", 10)
    assert not json.loads(run(capsys, *words, "--json")[1].out)["few_scenes"]
    golden = json.loads(run(capsys, "verify", int8_bundle, "--json")[1].out)
    assert (golden["reference"], golden["few_scenes"]) == (None, False), (
        "golden scenes are few, and have limits of their own"
    )


def test_scenes_without_a_reference_are_refused(int8_bundle, scenes):
    with pytest.raises(ArgumentError, match="--scenes needs --reference or --checkpoint"):
        verify(int8_bundle, scenes=scenes)


def test_a_bound_in_the_bundle_counts_where_it_is_tighter(int8_bundle, monkeypatch):
    opened = verification.Bundle.open(int8_bundle)
    parity = opened.manifest.parity | {"limits": {"ade_mean_m": 0.0, "ade_p95_m": 50.0}}
    tight = replace(opened, manifest=replace(opened.manifest, parity=parity))
    monkeypatch.setattr(verification.Bundle, "open", lambda _: tight)
    result = verify(int8_bundle)
    assert [line.split()[0] for line in result.missed] == ["ade_mean_m"]
    assert {limit.figure: limit.bound for limit in result.limits}["ade_p95_m"] == 0.76


def test_a_bound_over_many_scenes_in_the_bundle_counts_where_it_is_tighter(
    int8_bundle, fp32_bundle, scenes, monkeypatch
):
    opened, reference = verification.Bundle.open(int8_bundle), verification.Bundle.open(fp32_bundle)
    parity = opened.manifest.parity | {"plan_limits": {"fork_changes": -1.0, "ade_median_m": 50.0}}
    tight = replace(opened, manifest=replace(opened.manifest, parity=parity))
    monkeypatch.setattr(verification.Bundle, "open", lambda path: reference if path == fp32_bundle else tight)
    result = verify(int8_bundle, reference=fp32_bundle, scenes=scenes)
    assert [line.split()[0] for line in result.missed] == ["fork_changes"]
    assert {limit.figure: limit.bound for limit in result.limits} == {"fork_changes": -1.0, "ade_median_m": 0.05}


def test_inspect_says_what_a_bundle_is_and_notices_damage(fp32_bundle, tmp_path, capsys):
    status, output = run(capsys, "inspect", fp32_bundle)
    assert status == 0
    for word in ("4 layers of 192", "every hash agrees", "10 actions of 0.5 s", "front 168x112"):
        assert word in " ".join(output.out.split())
    status, output = run(capsys, "inspect", fp32_bundle, "--json")
    manifest = json.loads(output.out)
    assert manifest["precision"]["language"] == "fp32"
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in fp32_bundle.rglob("*"):
        if file.is_file():
            (copy / file.relative_to(fp32_bundle)).parent.mkdir(exist_ok=True)
            (copy / file.relative_to(fp32_bundle)).write_bytes(file.read_bytes())
    np.save(copy / "embeddings.npy", np.zeros(3))
    status, output = run(capsys, "inspect", copy)
    assert status == 1
    assert "embeddings.npy has sha256" in output.err


def test_a_newer_format_is_refused_with_both_versions(fp32_bundle, tmp_path, capsys):
    content = json.loads((fp32_bundle / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(content | {"format_version": 99}))
    status, output = run(capsys, "inspect", tmp_path)
    assert status == 1
    assert "format_version is 99, this build reads" in output.err


def test_a_bundle_without_golden_scenes_is_told_what_exports_one(fp32_bundle):
    opened = Bundle.open(fp32_bundle)
    without = replace(opened, manifest=replace(opened.manifest, golden=()))
    with pytest.raises(BundleError, match="export it again with --golden-scenes"):
        golden_scenes(without)
