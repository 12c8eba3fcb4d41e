"""A small byte-level BPE tokenizer of our own: no text is unknown to it; words of prompt and answer are one token."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from onboard_vla.core import scene_record
from onboard_vla.world.model_assets import END_OF_TEXT, MESSAGE_END, PROMPT, SPECIAL_TOKENS

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

TEXT_TOKENS = 768
"""Upper bound of bytes plus merges; training stops earlier when every word is one token."""
ACTION_TOKENS = 2048

REASONING_WORDS = (  # noqa: SIM905  (a table of words reads best as text)
    "a an the is are ahead behind left right lane road curve straight vehicle car lead slower faster parked "
    "pedestrian crossing cyclist signal red amber green junction oncoming cut in out gap free clear blocked distance "
    "meters m s at to of for on near far so I must stop slow brake yield wait follow keep go hold turn change steer "
    "back centre speed up down hard easy gentle sharp offset path drift recover return none no and then with"
).split()
"""What reasoning may need; anything else is spelled with smaller pieces."""


def train_tokenizer() -> Tokenizer:
    """A `tokenizers.Tokenizer`: text pieces, then special tokens, then `<action_0>`... as one contiguous block."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=TEXT_TOKENS,
        min_frequency=2,
        show_progress=False,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
    )
    tokenizer.train_from_iterator(_corpus() * 2, trainer)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    template = PROMPT["answer"]["action_token"]
    tokenizer.add_tokens(
        [AddedToken(template.format(index=i), special=False, normalized=False) for i in range(ACTION_TOKENS)]
    )
    return tokenizer


def save_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """Write tokenizer.json and tokenizer_config.json into `folder`; returns the transformers tokenizer."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=train_tokenizer(),
        eos_token=MESSAGE_END,
        pad_token=END_OF_TEXT,
        additional_special_tokens=[t for t in SPECIAL_TOKENS if t not in (MESSAGE_END, END_OF_TEXT)],
        clean_up_tokenization_spaces=False,
        model_max_length=2048,
    )
    fast.save_pretrained(str(folder))
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"  # the name that transformers 4 and 5 both know
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return fast


def _corpus() -> list[str]:
    texts = [segment["text"] for segment in PROMPT["segments"] if "text" in segment]
    for values in (field.get("values", {}) for field in PROMPT["fields"].values()):
        texts.extend(values.values())
    texts.extend(text for text in PROMPT["answer"].values() if isinstance(text, str) and "{index}" not in text)
    for token in SPECIAL_TOKENS:
        texts = [text.replace(token, "") for text in texts]
    groups = (
        scene_record.SCENES,
        scene_record.CRITICAL_KINDS,
        scene_record.INTENTS,
        scene_record.LATERAL_ACTIONS,
        scene_record.LONGITUDINAL_ACTIONS,
    )
    spoken = sorted({word for group in groups for phrase in group for word in phrase.split()} | set(REASONING_WORDS))
    words = [form for word in spoken for form in (word, f" {word}")]
    return [text for text in texts if text] + words
