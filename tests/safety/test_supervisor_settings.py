"""Other settings for a supervisor that runs: in standby alone, not while it moves, and what stays known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import DriverState, Engagement
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.config_file import config_hash
from onboard_vla.safety.supervisor import Supervisor

from .driving_range import TICK_NS, codes, make_ego, simulation_config
from .test_supervisor_modes import ready


class TestSettings:
    OTHER = simulation_config(ladder=LadderSettings(dwell_s=3.0))

    def test_they_change_in_standby_and_the_next_message_says_the_new_hash(self):
        drive = ready(speed=0.0)
        before = drive.published[-1]
        assert drive.supervisor.reconfigure(self.OTHER, drive.now) is None
        message = drive.step()
        assert (before.config_hash, message.config_hash) == (config_hash(drive.config), config_hash(self.OTHER))
        assert message.sequence == before.sequence + 1
        drive.run(1.0)
        drive.command("engage")
        assert drive.step().engagement is Engagement.ENGAGED

    @pytest.mark.parametrize("engagement", [e for e in Engagement if e is not Engagement.STANDBY])
    def test_they_do_not_change_outside_standby_and_the_reason_is_given(self, engagement):
        supervisor = Supervisor(simulation_config())
        supervisor.state = replace(supervisor.state, engagement=engagement)
        reason = supervisor.reconfigure(self.OTHER, Now(0, 0))
        assert reason.code == "CONFIG_CHANGE_REFUSED"
        assert engagement.value in reason.detail
        assert supervisor.config == simulation_config()
        assert supervisor.state.engagement is engagement
        assert supervisor.tick(Now(0, 0)).config_hash == config_hash(simulation_config())

    @pytest.mark.parametrize(
        ("speed", "taken"), [(0.0, True), (0.09, True), (-0.09, True), (0.1, False), (0.11, False), (-0.11, False)]
    )
    def test_in_standby_they_change_below_the_standstill_speed_alone(self, speed, taken):
        supervisor = self.told(speed)
        reason = supervisor.reconfigure(self.OTHER, Now(TICK_NS, TICK_NS))
        if taken:
            assert (reason, supervisor.config) == (None, self.OTHER)
            return
        assert (reason.code, reason.measured, reason.limit) == ("CONFIG_CHANGE_REFUSED", abs(speed), 0.1)
        assert reason.detail.startswith(f"{abs(speed):.2f} m/s: settings change at standstill alone")
        assert supervisor.config == simulation_config()

    @pytest.mark.parametrize(("age_s", "taken"), [(0.2, False), (0.201, True)])
    def test_an_ego_state_that_is_no_longer_fresh_does_not_hold_them(self, age_s, taken):
        supervisor, later_ns = self.told(20.0), TICK_NS + round(age_s * 1e9)
        assert supervisor.config.freshness.ego_stop_s == 0.2
        assert (supervisor.reconfigure(self.OTHER, Now(later_ns, later_ns)) is None) is taken

    def test_while_it_moves_in_standby_the_authority_alone_can_change(self):
        supervisor, now = self.told(20.0), Now(TICK_NS, TICK_NS)
        assert supervisor.reconfigure(replace(self.OTHER, authority="shadow"), now).code == "CONFIG_CHANGE_REFUSED"
        assert supervisor.reconfigure(simulation_config(authority="shadow"), now) is None
        assert supervisor.config.authority == "shadow"

    def test_the_driver_stays_heard_and_the_vehicle_stays_held_against_the_route(self):
        drive = ready(speed=0.0)
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, False), drive.now)
        assert drive.supervisor.reconfigure(self.OTHER, drive.now) is None
        drive.vehicle.y = drive.lane.at(np.zeros(1))[0, 1] + 25.0
        drive.run(0.6)
        assert {"DRIVER_SILENT", "ROUTE_AWAY"} <= set(codes(drive.published[-1]))

    def told(self, speed):
        """A supervisor in standby that has just heard a speed."""
        supervisor = Supervisor(simulation_config())
        supervisor.receive(make_ego(TICK_NS, speed_mps=speed), Now(TICK_NS, TICK_NS))
        supervisor.tick(Now(TICK_NS, TICK_NS))
        return supervisor
