"""Published prompts are known by their token counts, through Qwen's real vocabulary; the texts here are our own."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.codebook import Codebook, box_contours
from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.assets import read_assets
from onboard_vla.export.checkpoint_config import read_dimensions
from onboard_vla.export.prompt_fingerprint import VARIANTS, check_variant
from onboard_vla.runtime.prompt import Tokenizer

from .conftest import CONFIG
from .qwen_vocabulary import ACTIONS, QWEN_2_5_SIZE, write_tokenizer

FILLER = " lane"
TAIL = "Speed {speed} m/s, acceleration {acceleration} m/s². Task: {command}.<|im_end|>\n<|im_start|>assistant\n"
FAST = {"fork_prefix": "This road is", "fast_fork": " easy", "slow_fork": " hard"}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A folder with everything but the prompt: 2,048 actions behind Qwen2.5's vocabulary, three 16:9 cameras."""
    folder = tmp_path_factory.mktemp("qwen")
    write_tokenizer(folder / "tokenizer.json")
    config = json.loads(json.dumps(CONFIG))
    config |= {"video_token_id": 151656, "vision_start_token_id": 151652, "vision_end_token_id": 151653}
    config["eos_token_id"] = [151645, 151643]
    config["text_config"]["vocab_size"] = QWEN_2_5_SIZE + ACTIONS
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text(json.dumps({"repetition_penalty": 1.05}))
    crop = {"left": 0, "top": 0, "right": 1, "bottom": 1}
    cameras = [
        {"camera": role, "width": 420, "height": 224, "crop": crop} for role in ("front", "front_left", "front_right")
    ]
    (folder / "cameras.json").write_text(
        json.dumps({"frames_per_camera": 4, "frame_spacing_s": 0.5, "cameras": cameras})
    )
    poses = np.zeros((ACTIONS, 5, 3))
    poses[..., 0] = np.arange(ACTIONS)[:, None] * np.arange(1, 6) * 1e-3
    Codebook(box_contours(poses, 4.8, 2.0).astype(np.float32)).save(folder / "codebook.npz")
    return folder


@pytest.fixture
def assets(shared, tmp_path):
    """Reads a checkpoint whose own prompt has the wanted token counts."""
    tokenizer = Tokenizer(shared / "tokenizer.json")

    def filled(start, tokens, end=""):
        missing = tokens - len(tokenizer.encode(start + end))
        text = start + FILLER * missing + end
        assert len(tokenizer.encode(text)) == tokens, "our own text is miscounted"
        return text

    def make(counts):
        tail = TAIL.format(speed="5.000", acceleration="5.000", command="keep forward")
        last = filled("<|vision_end|>", counts.after, tail).replace(tail, TAIL)
        between = [filled("<|vision_end|>", count, "<|vision_start|>") for count in counts.between]
        texts = [filled("<|im_start|>system\nYou drive.", counts.before, "<|vision_start|>"), *between, last]
        segments = [{"text": texts[0]}]
        for camera, text in zip(("front", "front_left", "front_right"), texts[1:], strict=True):
            segments += [{"video": camera}, {"text": text}]
        fork = FAST["fork_prefix"] + FAST["fast_fork"]
        slow = counts.slow_prefix or 12
        answer = FAST | {
            "fast_rest": filled(fork, counts.fast_prefix).removeprefix(fork),
            "slow_rest": filled(fork, slow).removeprefix(fork),
            "reasoning_suffix": " so",
            "answer_suffix": "\n<|im_end|>",
            "action_token": "<action_{index}>",
            "action_count": 10,
            "step_s": 0.5,
            "max_reasoning_tokens": 100,
        }
        number = {"kind": "number", "minimum": -40.0, "maximum": 40.0, "format": ".3f"}
        commands = {word: word for word in ("turn left", "keep forward", "unknown")}
        fields = {
            "speed": number,
            "acceleration": number | {"magnitude": True},
            "command": {"kind": "choice", "values": commands},
        }
        template = {"format": 1, "video_token": "<|video_pad|>", "fields": fields, "segments": segments}
        shutil.copytree(shared, tmp_path, dirs_exist_ok=True)
        (tmp_path / "prompt.json").write_text(json.dumps(template | {"answer": answer}))
        return read_assets(tmp_path, read_dimensions(tmp_path)[0])

    return make


def test_totals_are_the_published_ones():
    assert {name: counts.total for name, counts in VARIANTS.items()} == {
        "autovla-rft": 1221,
        "autovla-sft": 1008,
        "autovla-direct": 953,
    }


@pytest.mark.parametrize("name", VARIANTS)
def test_a_prompt_with_the_published_counts_passes(assets, name):
    made = assets(VARIANTS[name])
    assert check_variant(made, name).total == VARIANTS[name].total
    assert made.actions.first_id == QWEN_2_5_SIZE, "read from the tokenizer"
    assert made.actions.count == ACTIONS
    prompt = made.prompt_writer().write_fields({"speed": 5.0, "acceleration": -0.5, "command": "keep forward"})
    assert len(prompt.ids) == VARIANTS[name].total
    assert "acceleration 0.500 m/s²" in made.tokenizer.decode(prompt.ids[-64:].tolist()), "without its sign"


def test_prompts_in_qwens_vocabulary_are_of_their_templates_form(assets):
    made, rng = assets(VARIANTS["autovla-rft"]), np.random.default_rng(0)
    writer, form = made.prompt_writer(), made.prompt_form
    for _ in range(200):
        speed, acceleration = rng.uniform(-40, 40, 2) * rng.uniform(0, 1, 2) ** 3
        command = str(rng.choice(["turn left", "keep forward", "unknown"]))
        ids = writer.write_fields({"speed": speed, "acceleration": acceleration, "command": command}).ids
        assert form.unfit(ids) is None
    for at in (0, 200, 380, 381 + 240, 381 + 240 + 27, -1, -5, -55):
        other = ids.copy()
        other[at] += 1
        assert form.unfit(other).position == at % len(ids)


def test_the_wrong_variant_is_called_by_its_name(assets):
    with pytest.raises(CheckpointError, match=r"prompt\.json is autovla-sft, expected was autovla-rft"):
        check_variant(assets(VARIANTS["autovla-sft"]), "autovla-rft")


@pytest.mark.parametrize(
    "change", [{"before": 382}, {"between": (28, 27)}, {"after": 67}, {"fast_prefix": 31}, {"slow_prefix": 11}]
)
def test_one_token_more_or_less_is_no_known_variant(assets, change):
    found = replace(VARIANTS["autovla-rft"], **change)
    with pytest.raises(CheckpointError, match="is no known variant, expected was autovla-rft: its tokens are 38"):
        check_variant(assets(found), "autovla-rft")


def test_an_unknown_name_lists_the_known_ones(assets):
    with pytest.raises(CheckpointError, match="expected one of autovla-rft, autovla-sft, autovla-direct"):
        check_variant(assets(VARIANTS["autovla-rft"]), "autovla")


def test_a_tokenizer_without_action_tokens_is_refused(assets, tmp_path):
    assets(VARIANTS["autovla-rft"])
    write_tokenizer(tmp_path / "tokenizer.json", actions=0)
    with pytest.raises(CheckpointError, match=r"has no action tokens, it splits '<action_0>' into \d ids"):
        read_assets(tmp_path, read_dimensions(tmp_path)[0])


def test_a_tokenizer_with_more_tokens_than_the_model_has_rows_is_refused(assets, tmp_path):
    assets(VARIANTS["autovla-rft"])
    write_tokenizer(tmp_path / "tokenizer.json", actions=ACTIONS + 4)
    with pytest.raises(CheckpointError, match="has 153717 tokens, the embedding 153713 rows"):
        read_assets(tmp_path, read_dimensions(tmp_path)[0])
