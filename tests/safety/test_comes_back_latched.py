"""A supervisor that died while it drove comes back latched; one that ended in standby comes back in standby."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.safe_trajectory import Engagement, Mode, Takeover
from onboard_vla.safety.driving_marker import DrivingMarker
from onboard_vla.safety.supervisor import Supervisor
from onboard_vla.safety.supervisor_host import SupervisorHost, supervisor_role

from .driving_range import Range, codes, simulation_config


@pytest.fixture
def path(tmp_path):
    return tmp_path / "driving"


def published(engagement):
    message = Supervisor(simulation_config()).tick(Now(0, 0))
    return replace(message, engagement=engagement)


class Scripted:
    """Stands in for a supervisor: says one engagement after the other."""

    def __init__(self, *engagements):
        self._engagements = list(engagements)

    def receive(self, message, now):
        pass

    def tick(self, now):
        return published(self._engagements.pop(0))


class TestMarker:
    def test_it_is_there_outside_of_standby_alone(self, path):
        marker = DrivingMarker(path)
        assert not marker.left_behind
        for engagement in (*Engagement, Engagement.STANDBY, *reversed(Engagement)):
            marker.note(engagement)
            assert path.exists() == (engagement is not Engagement.STANDBY)

    def test_what_the_life_before_left_is_seen_and_removed_in_standby(self, path):
        path.touch()
        marker = DrivingMarker(path)
        assert marker.left_behind
        marker.note(Engagement.LATCHED)
        assert path.exists()
        marker.note(Engagement.STANDBY)
        assert not path.exists()
        assert not DrivingMarker(path).left_behind

    def test_a_folder_that_is_not_there_is_refused_at_the_start(self, tmp_path):
        with pytest.raises(ConfigurationError, match="marker: expected a file in a folder"):
            DrivingMarker(tmp_path / "absent" / "driving")

    def test_a_marker_that_cannot_be_written_is_said_once_and_does_not_stop_the_trajectories(self, tmp_path, capsys):
        folder = tmp_path / "run"
        folder.mkdir()
        host, sent = SupervisorHost(Scripted(*[Engagement.ENGAGED] * 3), marker=DrivingMarker(folder / "driving")), []
        folder.rmdir()
        host.start(sent.append, system_now)
        for _ in range(3):
            host.timers[0].tick()
        assert len(sent) == 3
        assert capsys.readouterr().err.count('"marker_failed"') == 1


class TestProcess:
    def life(self, path):
        role = supervisor_role(yaml.compose)
        host, sent = role.build(role.values({"marker": str(path)})), []
        host.start(sent.append, system_now)
        host.timers[0].tick()
        return sent[0]

    def test_the_next_life_is_latched_and_says_why_until_it_is_rearmed(self, path):
        assert self.life(path).engagement is Engagement.STANDBY
        host = SupervisorHost(Scripted(Engagement.STANDBY, Engagement.ENGAGED), marker=DrivingMarker(path))
        host.start(lambda _: None, system_now)
        host.timers[0].tick()
        host.timers[0].tick()
        for _ in range(2):
            message = self.life(path)
            assert (message.engagement, message.mode) == (Engagement.LATCHED, Mode.STOPPED)
            assert "SUPERVISOR_RESTARTED" in codes(message)


class TestSupervisor:
    def test_it_stops_the_vehicle_that_still_moves_in_its_lane_and_asks_the_driver(self):
        drive = Range(simulation_config(), speed=8.0)
        drive.supervisor = Supervisor(drive.config, died_driving=True)
        drive.command("engage")
        message = drive.step()
        assert (message.engagement, message.source, message.mode) == (Engagement.LATCHED, "stop", Mode.STOPPED)
        assert (message.takeover, message.hazard_lights) == (Takeover.MANDATORY, True)
        assert [reason.code for reason in message.refusals] == ["COMMAND_NOT_NOW"]
        drive.run(7.0)
        assert drive.vehicle.speed < 0.1
        assert abs(drive.vehicle.y) < 0.1

    def test_rearming_needs_standstill_and_ends_the_reason(self):
        drive = Range(simulation_config(), speed=5.0)
        drive.supervisor = Supervisor(drive.config, died_driving=True)
        drive.run(0.5)
        drive.command("rearm")
        assert "NOT_STANDING" in [reason.code for reason in drive.step().refusals]
        drive.run(5.0)
        drive.command("rearm")
        assert drive.step().engagement is Engagement.STANDBY
        drive.run(0.1)
        assert "SUPERVISOR_RESTARTED" not in codes(drive.published[-1])
        drive.command("engage")
        assert drive.step().engagement is Engagement.ENGAGED
