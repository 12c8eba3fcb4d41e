"""Commands count once and in order, and no old one does; who drives after a step of the clock is settled as before."""

from __future__ import annotations

import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import STOP, DriverState, Engagement, Mode, OperatorCommand
from onboard_vla.safety.config import FreshnessLimits
from onboard_vla.safety.guards.clock_step import restated_by
from onboard_vla.safety.guards.orders import PENDING_COMMANDS, STOPS_KEPT, Orders, PendingCommands

from .driving_range import DECLARED, Range, codes, simulation_config

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


def stop(stamp_ns):
    return OperatorCommand(stamp_ns, STOP)


SOUND_MS, UNSOUND_MS = (0, 1, 999, 1000, -5), (1001, 3_600_000, -6, -3_600_000, NOW.stamp_ns // MS)


def obeyed(orders, message):
    """A stop is taken, and its cycle stops the vehicle; taken once more in the same cycle, too."""
    assert orders.refuse_command(message, NOW) is None
    assert orders.refuse_command(message, NOW) is None
    orders.decided(stopped=True)


@pytest.mark.parametrize("older_ms", SOUND_MS)
def test_a_stop_with_a_sound_stamp_is_obeyed_out_of_order_and_once(older_ms):
    orders = Orders(LIMITS)
    assert orders.refuse_command(command(NOW.stamp_ns), NOW) is None
    obeyed(orders, stop(NOW.stamp_ns - older_ms * MS))
    for _ in range(2):
        refused = orders.refuse_command(stop(NOW.stamp_ns - older_ms * MS), NOW)
        assert (refused.code, refused.measured, refused.limit) == ("COMMAND_REPEATED", 1.0, 0.0)
        assert refused.detail == "'stop': obeyed with this stamp before"
        orders.decided(stopped=False)
    assert orders.refuse_command(stop(NOW.stamp_ns - older_ms * MS + 1), NOW) is None
    # What it passed stays the newest.
    assert orders.refuse_command(command(NOW.stamp_ns), NOW).code == "COMMAND_REPEATED"


@pytest.mark.parametrize("older_ms", UNSOUND_MS)
def test_a_stop_with_an_unsound_stamp_is_obeyed_as_often_as_it_is_heard(older_ms):
    orders = Orders(LIMITS)
    for _ in range(3):
        obeyed(orders, stop(NOW.stamp_ns - older_ms * MS))


@pytest.mark.parametrize("older_ms", SOUND_MS)
def test_a_stop_that_changed_nothing_is_not_remembered(older_ms):
    orders, asked = Orders(LIMITS), stop(NOW.stamp_ns - older_ms * MS)
    for _ in range(3):
        assert orders.refuse_command(asked, NOW) is None
        orders.decided(stopped=False)
    orders.decided(stopped=True)
    obeyed(orders, asked)
    assert orders.refuse_command(asked, NOW).code == "COMMAND_REPEATED"


@pytest.mark.parametrize("stamp_ns", [NOW.stamp_ns + 6 * MS, NOW.stamp_ns + 3600 * S, 2**63 - 1, -(2**63)])
def test_a_stop_with_an_unsound_stamp_shuts_out_no_command_after_it(stamp_ns):
    orders = Orders(LIMITS)
    assert orders.refuse_command(stop(stamp_ns), NOW) is None
    assert orders.refuse_command(command(NOW.stamp_ns), NOW) is None


def test_a_stop_orders_the_commands_behind_it():
    orders = Orders(LIMITS)
    assert orders.refuse_command(stop(NOW.stamp_ns), NOW) is None
    assert orders.refuse_command(command(NOW.stamp_ns - 1), NOW).code == "COMMAND_REPEATED"


@pytest.mark.parametrize(
    ("age_ms", "code"), [(0, None), (1000, None), (1001, "COMMAND_OLD"), (-5, None), (-6, "COMMAND_FROM_FUTURE")]
)
def test_what_is_wrong_with_a_stamp_is_said_of_a_stop_too(age_ms, code):
    found = Orders(LIMITS).untimely(stop(NOW.stamp_ns - age_ms * MS), NOW)
    assert (found and found.code) == code
    if found:
        assert found.measured == pytest.approx(abs(age_ms) / 1000)
        assert found.detail.startswith("'stop': ")


@pytest.mark.parametrize("of_one_cycle", [True, False])
def test_so_many_stops_are_not_all_remembered(of_one_cycle):
    orders = Orders(LIMITS)
    for k in range(STOPS_KEPT + 1):
        assert orders.refuse_command(stop(NOW.stamp_ns + k), NOW) is None
        if not of_one_cycle or k == STOPS_KEPT:
            orders.decided(stopped=True)
    assert orders.refuse_command(stop(NOW.stamp_ns + 1), NOW).code == "COMMAND_REPEATED"
    assert orders.refuse_command(stop(NOW.stamp_ns), NOW) is None


@pytest.mark.parametrize("step_ns", [-3600 * S, -50 * MS])
def test_after_a_restated_clock_commands_count_again(step_ns):
    orders = Orders(LIMITS)
    assert orders.refuse_command(command(NOW.stamp_ns), NOW) is None
    now = Now(NOW.monotonic_ns + 40 * MS, NOW.stamp_ns + step_ns + 40 * MS)
    orders.restate(restated_by(step_ns, now.stamp_ns))
    assert orders.refuse_command(command(NOW.stamp_ns + step_ns), now).code == "COMMAND_REPEATED"
    assert orders.refuse_command(command(now.stamp_ns), now) is None


@pytest.mark.parametrize("before", [True, False])
def test_after_a_restated_clock_a_stop_counts_once_all_the_same(before):
    orders = Orders(LIMITS)
    assert orders.refuse_command(stop(NOW.stamp_ns), NOW) is None
    if before:
        orders.decided(stopped=True)
    orders.restate(restated_by(-S, NOW.stamp_ns))
    orders.decided(stopped=True)
    assert orders.refuse_command(stop(NOW.stamp_ns - S), NOW).code == "COMMAND_REPEATED"


def test_restating_an_unused_order_keeps_it_open():
    orders = Orders(LIMITS)
    orders.restate(restated_by(-S, NOW.stamp_ns))
    assert orders.refuse_command(command(NOW.stamp_ns), NOW) is None


class PutBack(Range):
    """The data clock of everybody is put back; the monotonic clock is not."""

    back_ns = 0

    @property
    def now(self):
        now = super().now
        return Now(now.monotonic_ns, now.stamp_ns - self.back_ns)

    def driver(self, override):
        self.supervisor.receive(DriverState(self.now.stamp_ns, override), self.now)
        return self.step()


@pytest.mark.parametrize("ticks", [0, 1, 5])
@pytest.mark.parametrize("back_ns", [50 * MS, 3 * S, 3600 * S])
class TestClockPutBack:
    """Orders in the loop, `ticks` cycles after the step: before it is confirmed, and after."""

    def engaged(self, back_ns, ticks, **settings):
        drive = PutBack(simulation_config(**settings), speed=8.0)
        drive.engage(0.7)
        for _ in range(50):
            drive.driver(False)
        drive.command("engage")
        drive.back_ns = back_ns
        for _ in range(ticks):
            drive.driver(False)
        return drive

    def test_the_driver_takes_over_at_once_and_can_let_go(self, back_ns, ticks):
        drive = self.engaged(back_ns, ticks)
        assert drive.driver(True).engagement is Engagement.DRIVER_OVERRIDE
        for _ in range(5):
            assert drive.driver(True).engagement is Engagement.DRIVER_OVERRIDE
        for _ in range(25):
            assert drive.driver(False).engagement is Engagement.DRIVER_OVERRIDE
        assert drive.driver(False).engagement is not Engagement.DRIVER_OVERRIDE

    def test_the_operator_stops_the_vehicle(self, back_ns, ticks):
        drive = self.engaged(back_ns, ticks)
        drive.command(STOP)
        message = drive.step()
        assert "COMMAND_REPEATED" not in [reason.code for reason in message.refusals]
        assert "OPERATOR_STOP" in codes(message)


@pytest.mark.parametrize("back_ns", [3 * S, 3600 * S])
def test_the_operational_design_domain_sees_conditions_of_after_the_step(back_ns):
    drive = PutBack(simulation_config(odd=DECLARED), speed=8.0)
    drive.run(0.3)
    drive.back_ns, drive.conditions["light"] = back_ns, "night"
    drive.run(2.0)
    assert "ODD_LIGHT" in codes(drive.published[-1])


def test_a_long_command_is_cut_in_what_is_said_of_it():
    refused = Orders(LIMITS).refuse_command(OperatorCommand(0, "x" * 80), NOW)
    assert refused.detail == "'" + "x" * 49 + ": age, s"


class TestSupervisor:
    def test_an_engage_command_that_is_replayed_after_the_driver_took_over_is_answered_and_not_obeyed(self):
        drive = Range(speed=8.0)
        drive.run(0.7)
        engage = OperatorCommand(drive.now.stamp_ns, "engage")
        drive.supervisor.receive(engage, drive.now)
        assert drive.step().engagement is Engagement.ENGAGED
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
        assert drive.run(0.54).engagement is Engagement.STANDBY
        drive.supervisor.receive(engage, drive.now)
        message = drive.step()
        assert (message.engagement, [r.code for r in message.refusals]) == (Engagement.STANDBY, ["COMMAND_REPEATED"])

    @pytest.mark.parametrize(
        ("ahead_ms", "code"), [(6, "COMMAND_FROM_FUTURE"), (3_600_000, "COMMAND_FROM_FUTURE"), (-1100, "COMMAND_OLD")]
    )
    def test_a_stop_is_obeyed_whatever_its_stamp_and_the_stamp_is_named(self, ahead_ms, code):
        drive = Range(speed=8.0)
        drive.engage(3.0)
        drive.run(2.0)
        asked = OperatorCommand(drive.now.stamp_ns + ahead_ms * MS, STOP)
        drive.supervisor.receive(asked, drive.now)
        message = drive.step()
        assert (message.mode, message.refusals) == (Mode.IN_LANE_STOP, ())
        assert {"OPERATOR_STOP", code} <= set(codes(message))
        assert code not in codes(drive.step())

    def stopped_and_engaged_again(self, stamp_of):
        """Stopped by a stop of this stamp; re-armed and engaged after it, the same message is heard again."""
        drive = Range(speed=3.0)
        drive.engage(3.0)
        old = OperatorCommand(stamp_of(drive.now.stamp_ns), STOP)
        drive.supervisor.receive(old, drive.now)
        assert drive.run(8.0).engagement is Engagement.LATCHED
        drive.command("rearm")
        assert drive.step().engagement is Engagement.STANDBY
        drive.command("engage")
        assert drive.step().engagement is Engagement.ENGAGED
        drive.supervisor.receive(old, drive.now)
        return drive.step()

    @pytest.mark.parametrize("older_ms", [0, 900])
    def test_a_stop_that_is_replayed_after_it_was_rearmed_does_not_stop_again(self, older_ms):
        message = self.stopped_and_engaged_again(lambda now_ns: now_ns - older_ms * MS)
        assert message.engagement is Engagement.ENGAGED
        assert "OPERATOR_STOP" not in codes(message)
        assert [reason.code for reason in message.refusals] == ["COMMAND_REPEATED"]

    @pytest.mark.parametrize("stamp_of", [lambda now_ns: 0, lambda now_ns: now_ns - 3 * S], ids=["unset", "late"])
    def test_a_stop_whose_stamp_never_was_sound_stops_again(self, stamp_of):
        message = self.stopped_and_engaged_again(stamp_of)
        # At standstill, so that it has stopped.
        assert (message.engagement, message.mode, message.refusals) == (Engagement.LATCHED, Mode.STOPPED, ())
        assert {"OPERATOR_STOP", "COMMAND_OLD"} <= set(codes(message))

    @pytest.mark.parametrize("older_ms", [None, 0, 400])
    def test_a_stop_that_was_tried_in_standby_stops_the_vehicle_when_it_is_driven(self, older_ms):
        """The button is tried first; None: its client fills in no stamp, else it keeps the first one's."""
        drive = Range(speed=8.0)
        drive.run(0.3)
        tried = OperatorCommand(0 if older_ms is None else drive.now.stamp_ns - older_ms * MS, STOP)
        drive.supervisor.receive(tried, drive.now)
        assert [reason.code for reason in drive.step().refusals] == ["COMMAND_NOT_NOW"]
        drive.run(0.5)
        drive.command("engage")
        assert drive.step().engagement is Engagement.ENGAGED
        drive.supervisor.receive(tried, drive.now)
        message = drive.step()
        assert (message.mode, message.refusals) == (Mode.IN_LANE_STOP, ())

    @pytest.mark.parametrize("fellow", ["engage", "rearm", "nonsense", STOP])
    @pytest.mark.parametrize("place", range(12))
    def test_a_stop_at_any_place_of_a_flood_is_obeyed(self, place, fellow):
        drive = Range(speed=8.0)
        drive.engage(3.0)
        drive.run(1.0)
        asked = [fellow] * 11
        asked.insert(place, STOP)
        for k, name in enumerate(asked):
            drive.supervisor.receive(OperatorCommand(drive.now.stamp_ns - 12 + k, name), drive.now)
        message = drive.step()
        assert (message.engagement, message.mode) == (Engagement.ENGAGED, Mode.IN_LANE_STOP)
        assert "OPERATOR_STOP" in codes(message)

    @pytest.mark.parametrize("place", range(1, 12))
    def test_a_stop_in_a_flood_that_engages_leaves_nobody_driving(self, place):
        drive = Range(speed=8.0)
        drive.run(3.0)
        asked = ["engage", "disengage"] * 6
        asked.insert(place, STOP)
        for k, name in enumerate(asked):
            drive.supervisor.receive(OperatorCommand(drive.now.stamp_ns - 13 + k, name), drive.now)
        message = drive.step()
        assert message.engagement is Engagement.STANDBY or message.mode is Mode.IN_LANE_STOP

    def test_a_flood_ends_the_drive_for_who_disengages_behind_it_and_is_answered(self):
        drive = Range(speed=8.0)
        drive.engage(3.0)
        for k in range(20):
            drive.supervisor.receive(OperatorCommand(drive.now.stamp_ns - 30 + k, "engage"), drive.now)
        message = drive.step()
        assert message.engagement is Engagement.ENGAGED
        found = [(r.code, r.measured, r.limit, r.detail) for r in message.refusals]
        assert found == [("COMMANDS_TOO_MANY", 9.0, 8.0, "'engage': commands since the last cycle")] * 8
        for k in range(20):
            name = "disengage" if k == 15 else "engage"
            drive.supervisor.receive(OperatorCommand(drive.now.stamp_ns - 30 + k, name), drive.now)
        message = drive.step()
        assert (message.engagement, message.refusals) == (Engagement.STANDBY, ())

    def test_a_release_that_arrives_out_of_order_does_not_end_the_override(self):
        drive = Range(speed=8.0)
        drive.engage(0.7)
        early = DriverState(drive.now.stamp_ns, False)
        drive.run(0.1)
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
        assert drive.step().engagement is Engagement.DRIVER_OVERRIDE
        drive.supervisor.receive(early, drive.now)
        assert drive.step().engagement is Engagement.DRIVER_OVERRIDE


def test_of_many_commands_the_first_are_kept_and_those_that_end_a_drive_once_each():
    pending = PendingCommands()
    for _ in range(2):
        assert [pending.add(f"c{k}") for k in range(PENDING_COMMANDS)] == [None] * PENDING_COMMANDS
        expected = ["disengage", STOP]
        assert [pending.add(name) for name in (*expected, STOP, *expected)] == [None] * 5
        refused = pending.add("x" * 60)
        assert refused.detail == "'" + "x" * 50 + "': commands since the last cycle"
        assert list(pending) == [f"c{k}" for k in range(PENDING_COMMANDS)] + expected
        assert len(pending) == PENDING_COMMANDS + 2
        pending.clear()
        assert (list(pending), len(pending)) == ([], 0)
