"""What counts as an answer: exactly N action tokens in one run inside the answer, nothing missing, nothing mixed in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from onboard_vla.core.bundle_manifest import ActionTokens
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.runtime.prompt import AnswerIds

NAN_LOGITS = "nan_logits"
TEXT_IN_ACTIONS = "text_in_actions"
TOO_FEW_ACTIONS = "too_few_actions"
TOO_MANY_ACTIONS = "too_many_actions"
ACTION_OUTSIDE_ANSWER = "action_outside_answer"
NO_ACTIONS = "no_actions"
WITHOUT_TEXT = "token_without_text"
CANCELLED = "cancelled"


class DecodeError(OnboardVlaError):
    """A decode that gives no valid plan; `code` is machine-readable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def action_index(token: int, actions: ActionTokens) -> int | None:
    """The codebook index of a token id, or none if it is no action token."""
    index = token - actions.first_id
    return index if 0 <= index < actions.count else None


def refuse_step(token: int, position: int, actions: ActionTokens, closing: Sequence[int], text: str) -> DecodeError:
    """The rejection for a token at `position` of the action run that is no action token.

    `closing`: ids that end an answer, so that a short run is told from text mixed in.
    """
    if token not in closing:
        return DecodeError(TEXT_IN_ACTIONS, f"token {token} ({text!r}) stands where action {position} should be")
    code = TOO_FEW_ACTIONS if position else NO_ACTIONS
    return DecodeError(code, f"expected {actions.per_answer} action tokens, found {position}")


def parse_answer(
    generated: Sequence[int],
    answer: AnswerIds,
    actions: ActionTokens,
    closing: Sequence[int],
    to_text: Callable[[Sequence[int]], str],
) -> tuple[int, ...]:
    """Codebook indices of a whole generated answer; `closing` as in `refuse_step`, `to_text` turns ids into text.

    Raises:
        DecodeError: there are not exactly N actions, they are not one run, or they do not follow an answer's opening.
    """
    places = [i for i, token in enumerate(generated) if action_index(token, actions) is not None]
    if not places:
        raise DecodeError(NO_ACTIONS, f"expected {actions.per_answer} action tokens, found none")
    start = places[0]
    opening = tuple(generated[:start])
    if opening != answer.fast_prefix and not to_text(opening).endswith(answer.reasoning_suffix):
        raise DecodeError(ACTION_OUTSIDE_ANSWER, f"an action token stands at {start}, before the answer is opened")
    run = 0
    while start + run < len(generated) and action_index(generated[start + run], actions) is not None:
        run += 1
    if len(places) > run and run < actions.per_answer:
        raise refuse_step(generated[start + run], run, actions, (), str(generated[start + run]))
    if len(places) > actions.per_answer:
        code = TOO_MANY_ACTIONS if run > actions.per_answer else ACTION_OUTSIDE_ANSWER
        raise DecodeError(code, f"expected {actions.per_answer} action tokens, found {len(places)}")
    if run < actions.per_answer:
        following = generated[start + run] if start + run < len(generated) else None
        if following is None or following in closing:
            raise DecodeError(TOO_FEW_ACTIONS, f"expected {actions.per_answer} action tokens, found {run}")
        raise refuse_step(following, run, actions, closing, str(following))
    return tuple(token - actions.first_id for token in generated[start : start + run])
