"""Inputs of the vehicle as messages of onboard_vla_msgs, for who has that package."""

from __future__ import annotations

from typing import NoReturn

from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.process_graph import Topic


def typed_codec_for(topic: Topic) -> NoReturn:
    """A fresh codec for the typed form of a topic.

    Raises:
        EnvironmentLacksError: this build has none.
    """
    raise EnvironmentLacksError(f"this build cannot read onboard_vla_msgs: send {topic.name} on wire/{topic.name}")
