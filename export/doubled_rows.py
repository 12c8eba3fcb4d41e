"""Passes as the planner's language model makes them: a lone token, and a lone wanted row, is doubled (`LEAST_ROWS`).

Another kernel computes one row: a check whose passes have one looks at passes that no plan is made of.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from numpy.typing import NDArray

from onboard_vla.export.graph_session import Arrays, Feed, Session, Take, run_in_turn
from onboard_vla.export.kept_arrays import OnDemand
from onboard_vla.export.language_graph import CACHE
from onboard_vla.runtime.language_model import LEAST_ROWS, causal_bias

OF_TOKENS = "embeds", "cos", "sin"


class DoubledRows:
    """A language graph's session that is run with two rows at least; what comes out for a double is thrown away."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self, inputs: Feed) -> Arrays:
        """See `Session`."""
        tokens, wanted = len(inputs["cos"]), len(inputs["rows"])
        feed = {name: partial(inputs.__getitem__, name) for name in inputs}
        if tokens == 1:
            past = inputs["bias"].shape[1] - 1
            feed |= {name: partial(_doubled, inputs, name) for name in OF_TOKENS}
            feed |= {"bias": partial(causal_bias, past, LEAST_ROWS)}
        if wanted == 1:
            feed |= {"rows": partial(_doubled, inputs, "rows")}
        outputs = self._session.run(OnDemand(feed))
        found = {name: value[:tokens] if name.startswith(CACHE) else value for name, value in outputs.items()}
        return found | {"logits": outputs["logits"][:wanted]}

    def run_each(self, feeds: Sequence[Feed], take: Take) -> None:
        """See `Session`."""
        run_in_turn(self, feeds, take)


def _doubled(inputs: Feed, name: str) -> NDArray[Any]:
    """One input whose only row stands twice."""
    return inputs[name].repeat(LEAST_ROWS, axis=0)
