"""`onboard-vla verify --checkpoint` of a Lightning file with an adapter that is not merged, against transformers."""

from __future__ import annotations

import json
import shutil

import pytest
from safetensors import safe_open

from onboard_vla.app import cli
from onboard_vla.export.assemble import MODEL_FILES, OWN_FILES

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.parity

LAYER = "model.layers.0.self_attn.q_proj"
PREFIX = "autovla.vlm.base_model.model."
ALPHA, RANK = 4.0, 2
EXACT = 1e-4


@pytest.fixture(scope="module")
def trained(reference_checkpoint, tmp_path_factory):
    """The reference checkpoint with a small adapter, as AutoVLA's training saves it beside the base model's folder."""
    folder = tmp_path_factory.mktemp("trained")
    with safe_open(reference_checkpoint / "model.safetensors", framework="np") as handle:
        names = list(handle.keys())
        state = {f"{PREFIX}{name}": torch.from_numpy(handle.get_tensor(name)) for name in names}
    weight = state.pop(f"{PREFIX}{LAYER}.weight")
    state[f"{PREFIX}{LAYER}.base_layer.weight"] = weight
    state[f"{PREFIX}{LAYER}.base_layer.bias"] = state.pop(f"{PREFIX}{LAYER}.bias")
    rng = torch.Generator().manual_seed(1)
    state[f"{PREFIX}{LAYER}.lora_A.default.weight"] = 0.05 * torch.randn(RANK, weight.shape[1], generator=rng)
    state[f"{PREFIX}{LAYER}.lora_B.default.weight"] = 0.05 * torch.randn(weight.shape[0], RANK, generator=rng)
    torch.save({"state_dict": state}, folder / "AutoVLA.ckpt")
    base = folder / "base"
    base.mkdir()
    for name in MODEL_FILES:
        if (reference_checkpoint / name).is_file():
            shutil.copyfile(reference_checkpoint / name, base / name)
    for name in set(OWN_FILES) - {"calibration_ranges.npz", "vision_reference.npz", "drift_reference.json"}:
        if (reference_checkpoint / name).is_file():
            shutil.copyfile(reference_checkpoint / name, folder / name)
    words = ["export", folder / "AutoVLA.ckpt", "--model", base, "--lora-alpha", ALPHA, "--precision", "fp32"]
    assert cli.run([str(word) for word in [*words, "--out", folder / "bundle"]]) == 0
    return folder


def run(trained, capsys, *words):
    """Verify the bundle with these words; status and what was said."""
    capsys.readouterr()
    status = cli.run(["verify", str(trained / "bundle"), "--json", *map(str, words)])
    return status, capsys.readouterr()


def test_every_stage_is_transformers_on_the_merged_weights(trained, capsys):
    given = ["--checkpoint", trained / "AutoVLA.ckpt", "--model", trained / "base", "--lora-alpha", ALPHA]
    status, said = run(trained, capsys, *given)
    document = json.loads(said.out)
    assert status == 0
    assert len(document["stages"]) == 6 + 4 + 2
    for stage in document["stages"]:
        assert stage["error_max"] < EXACT < 0.1 < stage["reference_rms"], stage["stage"]
    assert document["figures"]["token_agreement"] == 1


@pytest.mark.parametrize("other", ["another alpha", "the weights before training"])
def test_a_checkpoint_that_the_bundle_is_not_of_is_refused(trained, reference_checkpoint, capsys, other):
    given = ["--checkpoint", reference_checkpoint]
    if other == "another alpha":
        given = ["--checkpoint", trained / "AutoVLA.ckpt", "--model", trained / "base", "--lora-alpha", 2 * ALPHA]
    status, said = run(trained, capsys, *given)
    assert status == 1
    assert "was not made from" in said.err
    assert "weights_sha256" in said.err


def test_a_configuration_that_the_bundle_is_not_of_is_refused_by_its_field(trained, tmp_path, capsys):
    """The same weights turned by other angles answer otherwise: not a matter for figures."""
    base = shutil.copytree(trained / "base", tmp_path / "base")
    config = json.loads((base / "config.json").read_text())
    text = config.get("text_config", config)
    text["rms_norm_eps"] = 1e-3
    (base / "config.json").write_text(json.dumps(config))
    given = ["--checkpoint", trained / "AutoVLA.ckpt", "--model", base, "--lora-alpha", ALPHA]
    status, said = run(trained, capsys, *given)
    assert status == 1
    assert "its manifest says text.rms_norm_eps 1e-06, the checkpoint's config.json 0.001" in said.err


def test_a_base_model_without_a_checkpoint_is_a_usage_error(trained, capsys):
    status, said = run(trained, capsys, "--model", trained / "base")
    assert status == 64
    assert "give it" in said.err
