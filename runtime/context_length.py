"""How long prompt and answer can get: what the key-value cache and an engine's profiles must have room for."""

from __future__ import annotations

from dataclasses import dataclass, replace

from onboard_vla.core.ego import EgoState
from onboard_vla.core.road import KEEP_FORWARD
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.prompt import PromptWriter, Tokenizer, answer_ids

PROMPT_SLACK_TOKENS = 64
"""Room in the KV cache for prompts longer than the one measured at start (other commands, more digits)."""

MOST_SAMPLES = 16
"""Answers to one prompt that engines with fixed profiles have room for."""


@dataclass(frozen=True)
class ContextLength:
    """In tokens: text before the first picture, a usual prompt, and the most that prompt and answer may have."""

    text: int
    prompt: int
    capacity: int

    @classmethod
    def of(cls, bundle: Bundle, writer: PromptWriter, tokenizer: Tokenizer) -> ContextLength:
        """Of a bundle, by its own template and tokenizer."""
        template = bundle.template.answer
        answer = answer_ids(bundle.template, tokenizer, bundle.manifest.actions)
        reasoning = template.max_reasoning_tokens + len(tokenizer.encode(answer.reasoning_suffix))
        longest = max(len(answer.slow_prefix) + reasoning, len(answer.fast_prefix))
        longest += template.action_count + len(tokenizer.encode(template.answer_suffix))
        prompt = writer.write(standing_ego(), KEEP_FORWARD)
        text = min(where.start for _, where in prompt.videos)
        return cls(text, len(prompt.ids), len(prompt.ids) + PROMPT_SLACK_TOKENS + longest)


def context_length(bundle: Bundle) -> ContextLength:
    """Of a bundle that nothing was opened of yet, with room for the actions of `MOST_SAMPLES` samples."""
    tokenizer = Tokenizer(bundle.path / bundle.manifest.tokenizer)
    found = ContextLength.of(bundle, prompt_writer(bundle, tokenizer), tokenizer)
    return replace(found, capacity=found.capacity + MOST_SAMPLES * bundle.manifest.actions.per_answer)


def prompt_writer(bundle: Bundle, tokenizer: Tokenizer) -> PromptWriter:
    """Writes a bundle's prompts."""
    vision = bundle.manifest.model.vision
    scale = vision.tokens_per_second, vision.second_per_grid
    return PromptWriter(bundle.template, tokenizer, bundle.manifest.tokens, bundle.grids(), scale)


def standing_ego() -> EgoState:
    """A vehicle at rest, for prompts that only their length is wanted of."""
    return EgoState(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
