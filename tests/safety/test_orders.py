"""Commands and the driver's state: each counts once and in order; no old command counts, the driver always does."""

from __future__ import annotations

import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import DriverState, Engagement, OperatorCommand
from onboard_vla.safety.config import FreshnessLimits
from onboard_vla.safety.guards.orders import Orders

from .driving_range import Range

S = 1_000_000_000
MS = 1_000_000
NOW = Now(7 * S, 100 * S)
LIMITS = FreshnessLimits()


def command(stamp_ns):
    return OperatorCommand(stamp_ns, "engage")


@pytest.mark.parametrize(
    ("age_ms", "code"),
    [(0, None), (1000, None), (1001, "COMMAND_OLD"), (-5, None), (-6, "COMMAND_FROM_FUTURE"), (60_000, "COMMAND_OLD")],
)
def test_a_command_counts_for_a_second_and_not_from_the_future(age_ms, code):
    refused = Orders(LIMITS).refuse_command(command(NOW.stamp_ns - age_ms * MS), NOW)
    assert (refused and refused.code) == code
    if refused:
        assert refused.measured == pytest.approx(abs(age_ms) / 1000)


@pytest.mark.parametrize("older_ms", [0, 1, 500])
def test_a_command_counts_once_and_not_after_a_newer_one(older_ms):
    orders = Orders(LIMITS)
    assert orders.refuse_command(command(NOW.stamp_ns), NOW) is None
    refused = orders.refuse_command(command(NOW.stamp_ns - older_ms * MS), NOW)
    assert (refused.code, refused.measured, refused.limit) == ("COMMAND_REPEATED", older_ms / 1000, 0.0)
    assert refused.detail == "'engage': behind the newest command, s"
    assert orders.refuse_command(command(NOW.stamp_ns + 1), NOW) is None


def test_a_refused_command_does_not_shut_out_the_next():
    orders = Orders(LIMITS)
    assert orders.refuse_command(command(NOW.stamp_ns + S), NOW) is not None
    assert orders.refuse_command(command(NOW.stamp_ns), NOW) is None


def test_the_end_of_an_override_counts_in_order_alone():
    orders = Orders(LIMITS)
    assert orders.accept_driver(DriverState(NOW.stamp_ns, True), NOW)
    assert not orders.accept_driver(DriverState(NOW.stamp_ns, False), NOW)
    assert not orders.accept_driver(DriverState(NOW.stamp_ns - 1, False), NOW)
    assert not orders.accept_driver(DriverState(NOW.stamp_ns + 6 * MS, False), NOW)
    assert Orders(LIMITS).accept_driver(DriverState(NOW.stamp_ns + 5 * MS, False), NOW)
    assert orders.accept_driver(DriverState(NOW.stamp_ns + 1, False), NOW)


@pytest.mark.parametrize("offset_s", [-3600, -2, 0, 2, 3600])
def test_no_clock_keeps_the_driver_from_taking_over(offset_s):
    orders = Orders(LIMITS)
    assert orders.accept_driver(DriverState(NOW.stamp_ns + offset_s * S, True), NOW)
    later = Now(NOW.monotonic_ns + S, NOW.stamp_ns + S)
    assert orders.accept_driver(DriverState(later.stamp_ns, False), later)


def test_a_long_command_is_cut_in_what_is_said_of_it():
    refused = Orders(LIMITS).refuse_command(OperatorCommand(0, "x" * 80), NOW)
    assert refused.detail == "'" + "x" * 49 + ": age, s"


def test_a_state_of_the_driver_is_refused_by_a_plain_no():
    orders = Orders(LIMITS)
    assert orders.accept_driver(DriverState(NOW.stamp_ns + S, False), NOW) is False
    assert orders.accept_driver(DriverState(NOW.stamp_ns, True), NOW) is True
    assert orders.accept_driver(DriverState(NOW.stamp_ns, False), NOW) is False


class TestSupervisor:
    def test_an_engage_command_that_is_replayed_after_the_driver_took_over_is_answered_and_not_obeyed(self):
        drive = Range(speed=8.0)
        drive.run(0.7)
        engage = OperatorCommand(drive.now.stamp_ns, "engage")
        drive.supervisor.receive(engage, drive.now)
        assert drive.step().engagement is Engagement.ENGAGED
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
        drive.step()
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, False), drive.now)
        assert drive.step().engagement is Engagement.STANDBY
        drive.supervisor.receive(engage, drive.now)
        message = drive.step()
        assert (message.engagement, [r.code for r in message.refusals]) == (Engagement.STANDBY, ["COMMAND_REPEATED"])

    def test_a_release_that_arrives_out_of_order_does_not_end_the_override(self):
        drive = Range(speed=8.0)
        drive.engage(0.7)
        early = DriverState(drive.now.stamp_ns, False)
        drive.run(0.1)
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
        assert drive.step().engagement is Engagement.DRIVER_OVERRIDE
        drive.supervisor.receive(early, drive.now)
        assert drive.step().engagement is Engagement.DRIVER_OVERRIDE
