"""Live recordings that are ended by what happens on a vehicle: a lost connection, a kill, a full disk."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
pytest.importorskip("rosbags", reason="needs rosbags (extra `bags`)")

from std_msgs.msg import UInt8MultiArray

from onboard_vla.app.cli import run
from onboard_vla.app.recording.commands import _told_to_end
from onboard_vla.ros_nodes.bag import BagReader
from onboard_vla.ros_nodes.environment import give_back_domain_id, ros_environment, unused_domain_id

from ...ros_nodes.nodes import Client

pytestmark = [pytest.mark.ros, pytest.mark.timeout(200)]
LIMIT_S = 90.0
TOPIC = "/big"
BYTES = 300_000
PERIOD_S = 0.02
SMALL_DISK = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
ON_SMALL_DISK = """
mount -t tmpfs -o size=24m none "$0" || exit 9
out=$1; shift
"$@"; status=$?
rm -f "$0"/filler; cp -r "$0"/. "$out"; exit $status
"""


@pytest.fixture
def environment(monkeypatch):
    domain = unused_domain_id()
    variables = ros_environment(domain)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    yield {k: v for k, v in os.environ.items() if k != "_ROS_WHEELS_BOOTSTRAP_COMPLETE"} | {"COLUMNS": "400"}
    give_back_domain_id(domain)


@pytest.fixture
def talker(environment):
    """Sends big messages until the test ends."""
    client = Client(int(environment["ROS_DOMAIN_ID"]))
    publisher, ending = client.node.create_publisher(UInt8MultiArray, TOPIC, 10), threading.Event()
    message = UInt8MultiArray(data=os.urandom(BYTES))

    def talk():
        while not ending.wait(PERIOD_S):
            publisher.publish(message)

    thread = threading.Thread(target=talk)
    thread.start()
    yield client
    ending.set()
    thread.join()
    client.close()


def record(bag, *more):
    return [sys.executable, "-m", "onboard_vla.app.cli", "record", str(bag), *more]


def grown(bag, process, size=3_000_000):
    """Waits until the recording has chunks on the disk."""
    clock = threading.Event()
    for _ in range(int(LIMIT_S / 0.05)):
        files = list(bag.glob("*.mcap"))
        if files and files[0].stat().st_size > size:
            return files[0]
        assert process.poll() is None, process.stderr.read()
        clock.wait(0.05)
    raise AssertionError("nothing was recorded")


def as_in_the_background():
    """What a shell without job control does to `command &`; the terminal's SIGHUP is not ignored, whoever tests."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def recording(environment, talker, tmp_path):
    """A recording under way that was started in the background, with chunks on the disk."""
    process = subprocess.Popen(
        record(tmp_path / "bag", "--also", TOPIC),
        preexec_fn=as_in_the_background,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    grown(tmp_path / "bag", process)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_recording_whose_terminal_is_lost_or_that_is_told_to_end_is_closed(recording, tmp_path, number):
    recording.send_signal(number)
    recording.stdout.close()

    assert recording.wait(LIMIT_S) == 0
    with BagReader(tmp_path / "bag") as reader:
        assert sum(1 for told in reader.messages() if told.topic == TOPIC) >= 10


def test_a_simulated_drive_that_is_told_to_end_is_closed_as_far_as_it_came(environment, tmp_path):
    drive = ("--world", "7", "--planner", "constant_velocity", "--seconds", "600")
    process = subprocess.Popen(
        record(tmp_path / "bag", *drive), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        grown(tmp_path / "bag", process, 100_000)
        process.terminate()

        assert process.wait(LIMIT_S) == 130
    finally:
        process.kill()
        process.communicate()
    with BagReader(tmp_path / "bag") as reader:
        assert sum(1 for _ in reader.messages()) >= 10


@pytest.mark.parametrize(
    ("number", "ends"), [(signal.SIGINT, True), (signal.SIGTERM, True), (signal.SIGHUP, False)], ids=str
)
def test_of_signals_that_are_ignored_at_the_start_nohups_alone_stays_so(number, ends):
    before = {one: signal.signal(one, signal.SIG_IGN) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        told = _told_to_end()
        signal.raise_signal(number)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)

    assert told.is_set() is ends


def test_a_killed_recording_is_refused_with_what_repairs_it_and_nothing_more_was_left(recording, tmp_path, capsys):
    recording.kill()
    recording.wait()
    (file,) = (tmp_path / "bag").iterdir()

    for named in (tmp_path / "bag", file):
        assert run(["snapshot", str(named)]) == 1
        said = capsys.readouterr().err
        assert f"`mcap recover {file} -o whole.mcap`" in said
        assert "was not closed" in said
        assert said.count("\n") == 1


def test_a_full_disk_ends_a_recording_that_can_be_read(environment, talker, tmp_path):
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    out.mkdir()
    tried = subprocess.run([*SMALL_DISK, ON_SMALL_DISK, disk, out, "true"], check=False) if _unshare() else None
    if tried is None or tried.returncode:
        pytest.skip("this system lets users mount no disk of their own")
    command = [*SMALL_DISK, ON_SMALL_DISK, disk, out, *record(disk / "bag", "--also", TOPIC, "--seconds", "60")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=LIMIT_S)

    assert done.returncode == 1, done.stderr
    found = re.search(r"(\S+): the disk is full; .* closed after (\d+) messages", done.stderr)
    assert found, done.stderr
    assert found[1] == str(disk / "bag")
    assert done.stderr.count("\n") == 1
    assert TOPIC in done.stdout
    with BagReader(out / "bag") as reader:
        assert sum(1 for _ in reader.messages()) == int(found[2]) >= 20


def test_a_disk_without_room_for_a_recordings_index_is_refused_and_nothing_is_left(environment, tmp_path):
    disk, out = tmp_path / "disk", tmp_path / "out"
    disk.mkdir()
    out.mkdir()
    if not _unshare() or subprocess.run([*SMALL_DISK, ON_SMALL_DISK, disk, out, "true"], check=False).returncode:
        pytest.skip("this system lets users mount no disk of their own")
    fill = ("sh", "-c", 'dd if=/dev/zero of="$0"/filler bs=1M count=20 2>/dev/null; "$@"', disk)
    command = [*SMALL_DISK, ON_SMALL_DISK, disk, out, *fill, *record(disk / "bag", "--seconds", "1")]
    done = subprocess.run(command, env=environment, check=False, capture_output=True, text=True, timeout=LIMIT_S)

    assert done.returncode == 1
    assert "MiB of its disk to be free" in done.stderr
    assert list(out.iterdir()) == []


def test_a_recording_of_nothing_leaves_nothing_that_stands_in_the_way(environment, tmp_path):
    for _ in range(2):
        done = subprocess.run(
            record(tmp_path / "bag", "--seconds", "0.5"), env=environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 1
        assert "holds nothing: no topic of the graph" in done.stderr
        assert not (tmp_path / "bag").exists()


def _unshare():
    return shutil.which("unshare") is not None
