"""What ends a command from outside."""

from __future__ import annotations

import signal

import pytest

from onboard_vla.app.interrupts import interrupted_by

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def ignored():
    """All ignored at the start, as a shell's background and nohup have it."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_background_job_inherits_as_ignored_interrupts_it(number):
    interrupted_by(*SIGNALS)

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)


def test_nohup_keeps_what_it_asked_for():
    interrupted_by(*SIGNALS)

    signal.raise_signal(signal.SIGHUP)


def test_a_lost_terminal_interrupts_what_nohup_did_not_start():
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    interrupted_by(*SIGNALS)

    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGHUP)


def test_what_was_not_named_stays_as_it_was():
    interrupted_by(signal.SIGINT)

    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
