"""Lightning checkpoints as AutoVLA's training writes them: prefixes, LoRA merged and not, nothing in them is run."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.assemble import assemble
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.lightning_store import LightningStore, without_prefixes
from onboard_vla.export.tensor_names import EMBEDDING

torch = pytest.importorskip("torch")

QUERY = "model.layers.0.self_attn.q_proj"
CANONICAL = "text.layers.0.self_attn.q_proj.weight"
HYPER = {"config": {"model": {"use_cot": True, "lora": {"use": True, "r": 2, "alpha": 6}}}}


class Lightning:
    """A `.ckpt` of the numpy checkpoint's tensors, and the base model's folder beside it without weights."""

    def __init__(self, made, folder, prefix="autovla.vlm."):
        made.save()
        self.model = made.folder
        (self.model / "model.safetensors").unlink()
        self.file, self.hyper = folder / "epoch=3.ckpt", {}
        self.state = {f"{prefix}{key}": torch.from_numpy(value) for key, value in made.tensors.items()}

    def save(self):
        content = {"epoch": 3, "global_step": 7, "pytorch-lightning_version": "2.2.0", "state_dict": self.state}
        torch.save({**content, "hyper_parameters": self.hyper}, self.file)
        return self

    def open(self, folder, **given):
        folder.mkdir()
        return Checkpoint(assemble(folder, self.file, model=self.model, **given))

    def wrap_query(self, prefix="autovla.vlm.base_model.model.", rank=2):
        """Rename as peft does around one adapted layer; returns A and B."""
        self.state = {f"{prefix}{without_prefixes(key)}": value for key, value in self.state.items()}
        weight = self.state.pop(f"{prefix}{QUERY}.weight")
        rng = torch.Generator().manual_seed(1)
        a = torch.randn(rank, weight.shape[1], generator=rng)
        b = torch.randn(weight.shape[0], rank, generator=rng)
        self.state[f"{prefix}{QUERY}.base_layer.weight"] = weight
        self.state[f"{prefix}{QUERY}.base_layer.bias"] = self.state.pop(f"{prefix}{QUERY}.bias")
        self.state[f"{prefix}{QUERY}.lora_A.default.weight"] = a
        self.state[f"{prefix}{QUERY}.lora_B.default.weight"] = b
        return a.numpy(), b.numpy()


@pytest.fixture
def lightning(numpy_checkpoint, tmp_path):
    return Lightning(numpy_checkpoint, tmp_path)


@pytest.mark.parametrize("prefix", ["autovla.vlm.", "drivevla.vlm.", "vlm.", "autovla.vlm.base_model.model."])
def test_every_prefix_of_the_training_wrappers_is_read(numpy_checkpoint, tmp_path, prefix):
    made = Lightning(numpy_checkpoint, tmp_path, prefix).save()
    checkpoint = made.open(tmp_path / "links")
    np.testing.assert_array_equal(checkpoint.tensor(CANONICAL), numpy_checkpoint.tensors[f"{QUERY}.weight"])
    part = checkpoint.tensor(EMBEDDING, slice(3, 9))
    np.testing.assert_array_equal(part, numpy_checkpoint.tensors["model.embed_tokens.weight"][3:9])


def test_bfloat16_as_training_saves_it(lightning, tmp_path):
    lightning.state = {key: value.to(torch.bfloat16) for key, value in lightning.state.items()}
    expected = lightning.state[f"autovla.vlm.{QUERY}.weight"].float().numpy()
    np.testing.assert_array_equal(lightning.save().open(tmp_path / "links").tensor(CANONICAL), expected)


def test_the_vocabulary_that_training_grew_comes_from_the_weights(lightning, tmp_path):
    key = "autovla.vlm.model.embed_tokens.weight"
    lightning.state[key] = torch.cat([lightning.state[key], torch.zeros(7, 32)])
    assert lightning.save().open(tmp_path / "links").model.text.vocabulary_size == 71


@pytest.mark.parametrize(("hyper", "given", "alpha"), [(HYPER, None, 6.0), ({}, 8.0, 8.0), (HYPER, 6.0, 6.0)])
def test_adapters_are_folded_in_with_their_own_alpha(lightning, numpy_checkpoint, tmp_path, hyper, given, alpha):
    a, b = lightning.wrap_query()
    lightning.hyper = hyper
    checkpoint = lightning.save().open(tmp_path / "links", lora_alpha=given)
    base = numpy_checkpoint.tensors[f"{QUERY}.weight"].astype(np.float64)
    assert checkpoint.alpha == alpha, "whoever said it"
    expected = base + alpha / 2 * (b.astype(np.float64) @ a.astype(np.float64))
    np.testing.assert_allclose(checkpoint.tensor(CANONICAL), expected, atol=1e-5)
    np.testing.assert_allclose(checkpoint.tensor(CANONICAL, slice(4, 7)), expected[4:7], atol=1e-5)
    np.testing.assert_array_equal(
        checkpoint.tensor(CANONICAL.replace("weight", "bias")), numpy_checkpoint.tensors[f"{QUERY}.bias"]
    )


@pytest.mark.parametrize(
    ("hyper", "given", "found"), [({}, None, "nothing says its alpha"), (HYPER, 8.0, "6.0 and 8.0")]
)
def test_adapters_without_one_alpha_are_refused(lightning, tmp_path, hyper, given, found):
    lightning.wrap_query()
    lightning.hyper = hyper
    with pytest.raises(CheckpointError, match=f"{found}.*--lora-alpha"):
        lightning.save().open(tmp_path / "links", lora_alpha=given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, p: s.pop(f"{p}lora_B.default.weight"), r"half a LoRA adapter: .*lora_B\.default"),
        (lambda s, p: s.pop(f"{p}base_layer.weight"), "no weight to be added to"),
        (lambda s, p: s.update({f"{p}lora_A.default.weight": torch.zeros(2, 31)}), r"\(2, 31\), its weight \(32, 32\)"),
        (
            lambda s, p: s.update({f"{p}lora_A.other.weight": torch.zeros(2, 32)}),
            "several LoRA adapters, default, other",
        ),
    ],
)
def test_adapters_that_do_not_fit_are_refused(lightning, tmp_path, change, message):
    lightning.wrap_query()
    change(lightning.state, f"autovla.vlm.base_model.model.{QUERY}.")
    with pytest.raises(CheckpointError, match=message):
        lightning.save().open(tmp_path / "links", lora_alpha=8)


def test_keys_are_listed_as_the_file_names_them(lightning, tmp_path):
    lightning.state["autovla.extra.weight"] = torch.zeros(2)
    with pytest.raises(CheckpointError, match=r"no place in this model: autovla\.extra\.weight"):
        lightning.save().open(tmp_path / "unknown")
    del lightning.state["autovla.extra.weight"], lightning.state[f"autovla.vlm.{QUERY}.weight"]
    with pytest.raises(CheckpointError, match=rf"lacks 1 of 56 tensors: autovla\.vlm\.{QUERY}\.weight; copy"):
        lightning.save().open(tmp_path / "missing")
    lightning.state["autovla.extra.weight"] = torch.zeros(2)
    with pytest.raises(
        CheckpointError, match=rf"{QUERY}\.weight; 1 tensors have no place .*: autovla\.extra\.weight; "
    ):
        lightning.save().open(tmp_path / "both")


def test_nothing_in_a_checkpoint_is_run(lightning, tmp_path):
    marker = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    lightning.hyper = {"trap": Trap()}
    with pytest.raises(CheckpointError, match=r"weights_only=True.*open.*state_dict"):
        lightning.save().open(tmp_path / "links")
    assert not marker.exists()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda f: f.write_bytes(f.read_bytes()[:-100]), "cannot be loaded"),
        (
            lambda f: torch.save({"weights": {}}, f),
            r"expected a Lightning checkpoint with a state_dict, found \['weights'\]",
        ),
        (lambda f: f.write_bytes(pickle.dumps({"state_dict": {}})), r"cannot be|state_dict"),
        (lambda f: torch.save({"state_dict": {"vlm.a": 3}}, f), "vlm.a is a int, expected a tensor"),
        (
            lambda f: torch.save({"state_dict": {"vlm.a": torch.zeros(1), "autovla.vlm.a": torch.zeros(1)}}, f),
            "vlm.a and autovla.vlm.a are both a",
        ),
    ],
)
def test_damaged_or_strange_files_are_one_line(lightning, tmp_path, write, message):
    write(lightning.save().file)
    with pytest.raises(CheckpointError, match=message) as caught:
        lightning.open(tmp_path / "links")
    assert "\n" not in str(caught.value)


def test_two_checkpoints_in_a_folder_are_refused(lightning, tmp_path):
    lightning.save()
    (lightning.model / "a.ckpt").write_bytes(b"")
    (lightning.model / "b.ckpt").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"holds a\.ckpt, b\.ckpt: expected one"):
        Checkpoint(lightning.model)


def test_alpha_file_must_be_a_number(lightning, tmp_path):
    lightning.wrap_query()
    lightning.save()
    (lightning.model / lightning.file.name).symlink_to(lightning.file)
    (lightning.model / "lora.json").write_text(json.dumps({"alpha": "eight"}))
    with pytest.raises(CheckpointError, match=r"lora\.json: expected"):
        Checkpoint(lightning.model)


def resident_kib_of(file):
    """Pages of a file that are mapped and count as this process's memory."""
    total, inside = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match("^[0-9a-f]+-[0-9a-f]+ ", line):
            inside = line.endswith(str(file))
        elif inside and line.startswith("Rss:"):
            total += int(line.split()[1])
    return total


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_pages_that_were_read_are_given_back(tmp_path, kind):
    """At full size they would be the whole checkpoint, counted as resident memory."""
    file, made = tmp_path / "large.ckpt", {f"w{i}": torch.randn(1024, 1024).to(kind) for i in range(4)}
    torch.save({"state_dict": made}, file)
    store = LightningStore(file)
    for name, value in made.items():
        np.testing.assert_array_equal(store.read(name), value.float().numpy())
        np.testing.assert_array_equal(store.read(name, slice(7, 900)), value.float().numpy()[7:900])
    assert resident_kib_of(file) <= made["w0"].numel() * made["w0"].element_size() // 1024
