"""The launcher of `ros up` with nodes that are small programs."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

import pytest

from onboard_vla.app.processes import ProcessSpec
from onboard_vla.app.ros import launcher
from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.core.vehicle_gate import GATE_BRAKING_MPS2
from onboard_vla.ros_nodes.deployment import Deployment, NodeStart


class Nodes:
    """Nodes of the launcher as programs of a few lines."""

    def __init__(self, monkeypatch, folder):
        self.lines: list[str] = []
        self.news = threading.Condition()
        self.folder, self._monkeypatch = folder, monkeypatch
        self.others = lambda file, names: []

    def run(self, mode, **programs):
        starts = tuple(
            NodeStart(name, (), {}, name != "camera_replay", may_finish=name == "latency_probe") for name in programs
        )
        self._monkeypatch.setattr(launcher, "judged_starts", lambda wanted, namespace: starts)
        self._monkeypatch.setattr(launcher, "_spec", lambda start, file, logs: self._spec(start, programs[start.name]))
        self._monkeypatch.setattr(launcher, "running_already", self.others)
        return launcher.run_deployment(
            DeploymentFile(Deployment(mode, "/b"), f"pid{os.getpid()}", None), self.folder, self.say
        )

    def _spec(self, start, program):
        return ProcessSpec(
            start.name, (sys.executable, "-c", program), dict(os.environ), start.restart, start.may_finish
        )

    def say(self, line):
        with self.news:
            self.lines.append(line)
            self.news.notify_all()

    def wait_for(self, words):
        with self.news:
            assert self.news.wait_for(lambda: any(words in line for line in self.lines), 30.0), self.lines


@pytest.fixture
def nodes(monkeypatch, tmp_path):
    return Nodes(monkeypatch, tmp_path / "logs")


WAIT = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); signal.pause()"


def test_a_recording_that_was_played_ends_the_run_well(nodes):
    assert nodes.run("replay", safety_supervisor=WAIT, camera_replay="pass") == 0
    assert nodes.lines[-1] == "camera_replay: the recording has been played"


def test_a_node_that_was_started_wrongly_ends_a_simulation_and_its_line_is_shown(nodes):
    assert (
        nodes.run("simulation", safety_supervisor=WAIT, vla_planner="import sys; print('no bundle'); sys.exit(2)") == 1
    )
    assert "vla_planner: ended with status 2: no bundle" in nodes.lines
    assert any("is not started again" in line for line in nodes.lines)


NOT_CONFIGURED = """print('{"process": "vla_planner", "event": "started"}')
print('{"process": "vla_planner", "event": "not_configured", "reason": "/b: no manifest.json"}', flush=True)
"""


def test_a_planner_that_cannot_be_configured_ends_a_replay_and_its_reason_is_shown(nodes):
    assert nodes.run("replay", vla_planner=NOT_CONFIGURED + WAIT, camera_replay=WAIT) == 1
    assert nodes.lines[-1] == "vla_planner: runs, but does not work: /b: no manifest.json"


def test_the_newest_word_on_configuring_counts():
    bad, good = ('{"event": "not_configured", "reason": "r"}', '{"event": "configured"}')
    assert launcher.not_configured([bad]) == "r"
    assert launcher.not_configured([bad, good, "no JSON", "7"]) is None
    assert launcher.not_configured([good, bad, '{"event": "refused"}']) == "r"
    assert launcher.not_configured([]) is None
    broken = {"event": "transition_failed", "name": "on_configure", "reason": "Traceback:\n  x\nRuntimeError: r\n"}
    assert launcher.not_configured([good, json.dumps(broken)]) == "RuntimeError: r"
    assert launcher.not_configured([json.dumps(broken), good]) is None


def test_a_replays_end_says_what_came_of_it(nodes):
    program = """print('{"event": "heard", "total": 60, "plans": 7, "rejected": 2}')"""
    assert nodes.run("replay", safety_supervisor=WAIT, camera_replay=program) == 0
    played = "camera_replay: the recording has been played: 60 messages; heard 7 plans, 2 rejected"
    assert nodes.lines[-1] == played
    none = '{"event": "heard", "total": 60, "plans": 0, "rejected": 0}'
    assert launcher.heard_of([none]).endswith("heard 0 plans, 0 rejected: see the log of vla_planner")


@pytest.fixture
def interruptible():
    """Ctrl-C reaches this process even where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_on_a_vehicle_the_others_go_on_until_they_are_told_to_end(nodes, interruptible):
    ended: list[int] = []

    def interrupt():
        nodes.wait_for("is not started again")
        nodes.wait_for("safety_supervisor: started")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        ended.append(nodes.run("vehicle", safety_supervisor=WAIT, vla_planner="import sys; sys.exit(2)"))

    assert ended == []


WRONGLY_STARTED = "import sys; sys.exit(2)"


@pytest.mark.parametrize("others", [WAIT, WRONGLY_STARTED])
def test_on_a_vehicle_all_end_with_a_supervisor_that_ended_for_good(nodes, others):
    assert nodes.run("vehicle", safety_supervisor=WRONGLY_STARTED, camera_guard=others, vla_planner=others) == 1
    assert nodes.lines[-1].endswith(("has ended for good, and nobody else makes trajectories: all end", "for good"))


def test_on_a_vehicle_without_a_supervisor_of_its_own_the_run_ends_when_no_node_is_left(nodes):
    assert nodes.run("vehicle", camera_guard=WRONGLY_STARTED, vla_planner=WRONGLY_STARTED) == 1
    assert nodes.lines[-1] == "all nodes have ended for good"


def test_that_a_gate_still_stops_the_vehicle_is_said_before_all_end(nodes, monkeypatch):
    monkeypatch.setattr(launcher, "GATE_STOPS_WITHIN_S", 0.1)

    assert nodes.run("vehicle", safety_supervisor=WRONGLY_STARTED, vehicle_gate=WAIT) == 1
    assert nodes.lines[-2:] == [
        "vehicle_gate: has 0.1 s to stop the vehicle",
        "safety_supervisor has ended for good, and nobody else makes trajectories: all end",
    ]


def test_a_gate_keeps_its_time_to_stop_the_vehicle_after_its_supervisor():
    names, limit_ns = {"safety_supervisor", "vehicle_gate"}, round(launcher.GATE_STOPS_WITHIN_S * 1e9)

    assert launcher.GATE_STOPS_WITHIN_S * GATE_BRAKING_MPS2 > 50.0
    assert launcher.why_over(names, {"vehicle_gate": 5}, 10 * limit_ns) is None
    assert launcher.why_over(names, {"safety_supervisor": 5}, limit_ns) is None
    assert "all end" in launcher.why_over(names, {"safety_supervisor": 5}, limit_ns + 6)
    assert launcher.why_over(names, {"safety_supervisor": 5, "vehicle_gate": 6}, 7) == "all nodes have ended for good"
    assert "all end" in launcher.why_over({*names, "camera_guard"}, {"safety_supervisor": 5, "vehicle_gate": 6}, 7)


def test_on_a_vehicle_a_planner_that_cannot_be_configured_is_named_once_and_the_others_go_on(nodes, interruptible):
    def interrupt():
        nodes.wait_for("mend that, then configure and activate it")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        nodes.run("vehicle", safety_supervisor=WAIT, vla_planner=NOT_CONFIGURED + WAIT)

    assert sum("does not work: /b: no manifest.json" in line for line in nodes.lines) == 1


def test_who_dies_is_started_again(nodes):
    program = (
        "import os, pathlib; p = pathlib.Path(os.environ['MARK']); n = p.exists(); p.touch(); exit(2 if n else 70)"
    )
    nodes._monkeypatch.setenv("MARK", str(nodes.folder.parent / "mark"))

    assert nodes.run("simulation", camera_guard=program) == 1
    assert [line.split(", pid")[0] for line in nodes.lines if "started, pid" in line] == ["camera_guard: started"] * 2
    assert any(line.endswith("restart 1") for line in nodes.lines)


@pytest.mark.parametrize("mode", ["vehicle", "simulation"])
def test_a_probe_that_has_measured_its_seconds_is_not_started_again_and_the_others_go_on(nodes, interruptible, mode):
    def interrupt():
        nodes.wait_for("latency_probe: has finished")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        nodes.run(mode, safety_supervisor=WAIT, latency_probe="pass")

    assert sum("latency_probe: started" in line for line in nodes.lines) == 1


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left on device"), ValueError("closed")])
def test_on_a_vehicle_the_nodes_go_on_when_nothing_can_be_said_any_more(nodes, interruptible, monkeypatch, error):
    heard, say = nodes.lines, nodes.say

    def fail_after_the_start(line):
        say(line)
        if "ended with status 70" in line or "restart" in line:
            raise error

    def interrupt():
        nodes.wait_for("vla_planner: started, pid")
        nodes.wait_for("restart 2")
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(nodes, "say", fail_after_the_start)
    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        nodes.run("vehicle", safety_supervisor=WAIT, vla_planner="import sys; sys.exit(70)")

    assert not any("safety_supervisor: ended" in line for line in heard)


def test_the_logs_of_the_run_before_are_kept(nodes):
    for run in ("first", "second", "third"):
        assert nodes.run("simulation", vla_planner=f"print('{run}'); import sys; sys.exit(2)") == 1

    assert (nodes.folder / "vla_planner.log").read_text() == "third\n"
    assert (nodes.folder / "vla_planner.log.1").read_text() == "second\n"


def test_where_the_probe_writes_its_figures_is_said(nodes, interruptible):
    def interrupt():
        nodes.wait_for("latency_probe: measures, and writes /here/latency.json")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        nodes.run(
            "vehicle",
            latency_probe="""print('{"event": "measuring", "out": "/here/latency.json"}', flush=True)\n""" + WAIT,
        )


def test_a_start_without_an_answer_about_others_goes_on_and_says_so(nodes):
    def fails(file, names):
        raise OSError("no interpreter")

    nodes.others = fails
    assert nodes.run("replay", camera_replay="pass") == 0
    assert any("whether its nodes run already is not known: no interpreter" in line for line in nodes.lines)
