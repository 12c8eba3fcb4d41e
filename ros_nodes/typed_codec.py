"""Inputs of the vehicle as messages of onboard_vla_msgs: which kinds this build reads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

TYPED_CODECS: dict[type, Callable[[], Any]] = {}
"""Makers of a `codec.Codec` for the typed form, by the kind of core message; kinds that are not here come as bytes."""
