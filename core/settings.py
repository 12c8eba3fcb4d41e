"""Other settings for a supervisor that runs, and its answer."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.verdict import Reason


@dataclass(frozen=True)
class SettingsRequest:
    """Take these settings. `document`: the text of a configuration file, as a process is started with."""

    stamp_ns: int
    document: str


@dataclass(frozen=True)
class SettingsReply:
    """To the request of `request_stamp_ns`. `config_hash`: of the settings in effect now, the new ones if `accepted`.

    `reasons`: why it was refused; empty if it was not.
    """

    stamp_ns: int
    request_stamp_ns: int
    accepted: bool
    config_hash: str
    reasons: tuple[Reason, ...]
