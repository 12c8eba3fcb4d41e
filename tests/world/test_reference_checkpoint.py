import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.codebook import Codebook
from onboard_vla.core.prompt import PromptTemplate, TextSegment
from onboard_vla.world import model_assets

FOLDER = Path(model_assets.__file__).parent / "reference"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the reference checkpoint is not part of this install")


@pytest.fixture(scope="module")
def tokenizer():
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(FOLDER)


@pytest.fixture(scope="module")
def prompt() -> PromptTemplate:
    return PromptTemplate.load(FOLDER / "prompt.json")


def test_all_that_an_export_reads_is_at_most_8_megabytes() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir() if path.stem.lower() != "card") <= 8_000_000


def test_transformers_loads_every_weight_and_asks_for_no_other() -> None:
    transformers = pytest.importorskip("transformers")
    cls = transformers.Qwen2_5_VLForConditionalGeneration
    model, info = cls.from_pretrained(FOLDER, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    tokenizer = json.loads((FOLDER / "tokenizer.json").read_text())
    assert model.config.text_config.vocab_size == len(tokenizer["model"]["vocab"]) + len(tokenizer["added_tokens"])
    assert all(bool(parameter.isfinite().all()) for parameter in model.parameters())


def test_action_tokens_are_one_contiguous_block_as_long_as_the_codebook(tokenizer, prompt: PromptTemplate) -> None:
    codebook = Codebook.load(FOLDER / "codebook.npz")
    ids = tokenizer.convert_tokens_to_ids([prompt.answer.action_token.format(index=i) for i in range(codebook.size)])
    assert ids == list(range(ids[0], ids[0] + codebook.size))
    assert codebook.contours.shape == (2048, 5, 4, 2)


def test_fork_is_one_token_after_a_common_prefix(tokenizer, prompt: PromptTemplate) -> None:
    def ids(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    answer = prompt.answer
    common = ids(answer.fork_prefix)
    fast, slow = ids(answer.fast_prefix), ids(answer.slow_prefix)
    assert fast[: len(common)] == slow[: len(common)] == common
    assert fast[len(common)] != slow[len(common)]
    assert ids(answer.fast_fork) == [fast[len(common)]]
    assert ids(answer.slow_fork) == [slow[len(common)]]
    assert len(common) > 2


def test_prompts_of_all_speeds_and_commands_are_equally_long(tokenizer, prompt: PromptTemplate) -> None:
    lengths = set()
    for speed in (0.0, 7.3, 33.3):
        for command in ("keep forward", "turn left", "turn right"):
            segments = prompt.render({"speed": speed, "command": command})
            texts = [s.text for s in segments if isinstance(s, TextSegment)]
            lengths.add(sum(len(tokenizer(t, add_special_tokens=False)["input_ids"]) for t in texts))
    assert len(lengths) == 1


def test_prompt_tells_neither_acceleration_nor_yaw_rate(prompt: PromptTemplate) -> None:
    assert set(prompt.field_names) == {"speed", "command", "history"}


def test_cameras_fit_patches_and_prompt(prompt: PromptTemplate) -> None:
    cameras = json.loads((FOLDER / "cameras.json").read_text())
    assert tuple(entry["camera"] for entry in cameras["cameras"]) == prompt.cameras
    assert len(prompt.cameras) == 6
    assert all(entry["width"] % 28 == entry["height"] % 28 == 0 for entry in cameras["cameras"])
    assert cameras["frames_per_camera"] == 4


def test_golden_scenes_are_real_inputs(prompt: PromptTemplate) -> None:
    path = FOLDER / "golden_scenes.npz"
    if not path.exists():
        pytest.skip("an untrained checkpoint has no golden scenes")
    with np.load(path) as scenes:
        count = len(scenes["prompt_ids"])
        assert count >= 6
        for camera in prompt.cameras:
            assert scenes[f"images_{camera}"].shape[:2] == (count, 4)
            assert scenes[f"images_{camera}"].std() > 10
        assert scenes["action_tokens"].shape == (count, 10)


def test_codebook_follows_trajectories_within_a_decimetre() -> None:
    from onboard_vla.world.train_codebook import quantisation_ade

    errors = quantisation_ade(Codebook.load(FOLDER / "codebook.npz"), count=60)
    assert set(errors) == {str(v) for v in range(0, 45, 5)}
    assert max(errors.values()) <= 0.1


def test_card_is_that_of_these_weights() -> None:
    card = json.loads((FOLDER / "card.json").read_text())
    assert card["weights_sha256"] == hashlib.sha256((FOLDER / "model.safetensors").read_bytes()).hexdigest()


def test_card_holds_measured_figures_beside_both_baselines() -> None:
    card = json.loads((FOLDER / "card.json").read_text())
    validation = card["validation"]
    assert validation["model"]["ade_5s_m"] < validation["constant_velocity"]["ade_5s_m"]
    assert validation["model"]["ade_5s_m"] < validation["blind"]["ade_5s_m"]
    assert validation["model"]["swapped_ratio_5s"] > 1.3
    assert (FOLDER / "CARD.md").read_text().startswith("# ")
