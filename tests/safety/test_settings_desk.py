"""Settings while the supervisor runs: taken in standby at standstill, else answered with a reason, and never half."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import Engagement
from onboard_vla.core.settings import SettingsRequest
from onboard_vla.safety.config import SIMULATION_PROFILE, SupervisorConfig
from onboard_vla.safety.config_file import config_hash, write_config
from onboard_vla.safety.ladder_state import LadderState
from onboard_vla.safety.settings_desk import LONGEST, SettingsDesk
from onboard_vla.safety.supervisor import Supervisor

from .driving_range import make_ego, make_thresholds

PRESENT = SupervisorConfig(profile=SIMULATION_PROFILE, thresholds=make_thresholds())
CAP = dataclasses.replace(PRESENT, fallback=dataclasses.replace(PRESENT.fallback, speed_cap_mps=7.0))
T = 1_000_000_000


@pytest.fixture
def supervisor():
    return Supervisor(PRESENT)


@pytest.fixture
def desk(supervisor):
    return SettingsDesk(supervisor, yaml.compose)


def ask(desk, document, stamp_ns=T, now_ns=None):
    return desk.answer(SettingsRequest(stamp_ns, document), Now(now_ns or stamp_ns, now_ns or stamp_ns))


def test_a_document_is_taken_in_standby_and_answered_with_the_new_hash(supervisor, desk):
    reply = ask(desk, write_config(CAP))
    assert (reply.accepted, reply.reasons, reply.request_stamp_ns) == (True, (), T)
    assert reply.config_hash == config_hash(CAP) == supervisor.config_hash
    assert supervisor.config == CAP
    assert supervisor.tick(Now(T, T)).config_hash == reply.config_hash


@pytest.mark.parametrize("engagement", [Engagement.ENGAGED, Engagement.DRIVER_OVERRIDE, Engagement.LATCHED])
def test_outside_standby_nothing_changes_and_nothing_is_read(supervisor, engagement):
    supervisor.state = LadderState(engagement=engagement)

    def unread(text):
        raise AssertionError("read although somebody is driven")

    reply = ask(SettingsDesk(supervisor, unread), write_config(CAP))
    assert (reply.accepted, reply.config_hash) == (False, config_hash(PRESENT))
    assert [reason.code for reason in reply.reasons] == ["CONFIG_CHANGE_REFUSED"]
    assert engagement.value in reply.reasons[0].detail
    assert supervisor.config == PRESENT


def test_in_standby_nothing_changes_while_the_vehicle_moves(supervisor, desk):
    supervisor.receive(make_ego(T, speed_mps=20.0), Now(T, T))
    reply = ask(desk, write_config(CAP))
    assert (reply.accepted, reply.config_hash) == (False, config_hash(PRESENT))
    assert (reply.reasons[0].measured, reply.reasons[0].limit) == (20.0, PRESENT.ladder.standstill_mps)


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("", "is empty"),
        ("schema: 1\nfallback: {speed_cap_mps: 7.0", "is no YAML"),
        ("schema: 1\nprofile: simulation\nmood: good", "mood is no setting"),
        ("schema: 1\nprofile: simulation\nfallback: {speed_cap_mps: .nan}", "speed_cap_mps"),
        ("schema: 1\nprofile: simulation\nfallback: {speed_cap_mps: -7.0}", "speed_cap_mps"),
        ("schema: 2\nprofile: simulation", "schema: expected 1"),
        ("schema: 1", "profile: differs from what is in effect"),
        ("schema: 1\nprofile: simulation\nthresholds: other.json", "they stay those of the process's start"),
        ("schema: 1\nprofile: simulation\ncamera_guard: {mean_min: 9.0}", "camera_guard: differs"),
        ("x" * (LONGEST + 1), "a document of settings is shorter"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name_and_changes_nothing(supervisor, desk, document, words):
    reply = ask(desk, document)
    assert (reply.accepted, reply.config_hash) == (False, config_hash(PRESENT))
    assert words in reply.reasons[0].detail
    assert supervisor.config == PRESENT


def test_each_request_counts_once_and_none_of_long_ago_or_of_the_future(desk):
    assert ask(desk, write_config(CAP)).accepted
    codes = [
        ask(desk, write_config(PRESENT), stamp, now).reasons[0].code
        for stamp, now in ((T, T + 1), (T + 1, T + 5 * T), (T + 9 * T, T))
    ]
    assert codes == ["COMMAND_REPEATED", "COMMAND_OLD", "COMMAND_FROM_FUTURE"]
    assert ask(desk, write_config(PRESENT), 3 * T).accepted


@pytest.mark.parametrize("step_s", [-0.05, -3.0, -3600.0, 3.0])
def test_after_a_step_of_the_data_clock_requests_count_as_before_it(supervisor, desk, step_s):
    later = 3600 * T
    assert ask(desk, write_config(CAP), later).accepted
    for k in range(1, 100):
        mono = later + k * T // 50
        now = Now(mono, mono + (round(step_s * T) if k > 50 else 0))
        supervisor.receive(make_ego(now.stamp_ns, speed_mps=0.0), now)
        supervisor.tick(now)
    assert desk.answer(SettingsRequest(now.stamp_ns, write_config(PRESENT)), now).reasons == ()
    assert desk.answer(SettingsRequest(now.stamp_ns, write_config(CAP)), now).reasons[0].code == "COMMAND_REPEATED"


def test_thresholds_stay_those_of_the_start(supervisor, desk):
    assert ask(desk, write_config(CAP)).accepted
    assert supervisor.config.thresholds == make_thresholds()
