"""Other settings for a supervisor process that runs, asked for over real sockets and real DDS."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from onboard_vla.core.clock import system_now
from onboard_vla.core.process_graph import SUPERVISOR
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.settings import SettingsReply, SettingsRequest

LIMIT_S = 30.0
pytestmark = pytest.mark.timeout(120)


class Vehicle:
    """The vehicle's end of a link with a supervisor process behind it."""

    def __init__(self, transport, directory, monkeypatch):
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        words = [sys.executable, "-m", f"onboard_vla.{'hil' if transport == 'zmq' else 'ros_nodes'}.{SUPERVISOR}"]
        if transport == "zmq":
            from onboard_vla.hil.vehicle_link import ZmqVehicleLink

            directory.chmod(0o700)
            self.link = ZmqVehicleLink(directory)
            words += ["--endpoints", str(directory)]
        else:
            from onboard_vla.ros_nodes.environment import unused_domain_id
            from onboard_vla.ros_nodes.vehicle_link import RosVehicleLink

            self.link = RosVehicleLink(unused_domain_id())
        self.process = subprocess.Popen(words)
        self.link.wait_ready(LIMIT_S, (SUPERVISOR,))

    def ask(self, document: str) -> tuple[SettingsReply, SafeTrajectory]:
        """The reply to a document, and the first trajectory after it; asked again where a late machine made it old."""
        end = time.monotonic() + LIMIT_S
        while True:
            reply, trajectory = self._asked(document, end)
            if "COMMAND_OLD" not in {reason.code for reason in reply.reasons}:
                return reply, trajectory

    def _asked(self, document: str, end_s: float) -> tuple[SettingsReply, SafeTrajectory]:
        request, reply = SettingsRequest(system_now().stamp_ns, document), None
        self.link.publish(request)
        while time.monotonic() < end_s:
            for message, _ in self.link.poll():
                if isinstance(message, SettingsReply) and message.request_stamp_ns == request.stamp_ns:
                    reply = message
                elif isinstance(message, SafeTrajectory) and reply is not None and message.stamp_ns > reply.stamp_ns:
                    return reply, message
            time.sleep(0.005)
        raise AssertionError(f"no answer within {LIMIT_S:g} s: reply {reply}")

    def close(self):
        self.process.terminate()
        self.process.wait(LIMIT_S)
        self.link.close()


@pytest.fixture(params=["zmq", pytest.param("ros", marks=pytest.mark.ros)])
def vehicle(request, tmp_path_factory, monkeypatch):
    vehicle = Vehicle(request.param, tmp_path_factory.mktemp("s"), monkeypatch)
    yield vehicle
    vehicle.close()


def test_a_running_supervisor_takes_settings_and_says_why_it_does_not(vehicle):
    before, _ = vehicle.ask("schema: 1\nmood: good")
    assert (before.accepted, [reason.code for reason in before.reasons]) == (False, ["CONFIG_CHANGE_REFUSED"])
    assert "mood is no setting" in before.reasons[0].detail

    taken, trajectory = vehicle.ask("schema: 1\nfallback: {speed_cap_mps: 7.0}")
    assert (taken.accepted, taken.reasons) == (True, ())
    assert trajectory.config_hash == taken.config_hash != before.config_hash

    after, trajectory = vehicle.ask("schema: 1\nprofile: simulation")
    assert (after.accepted, after.config_hash, trajectory.config_hash) == (False, *[taken.config_hash] * 2)
    assert "profile" in after.reasons[0].detail
