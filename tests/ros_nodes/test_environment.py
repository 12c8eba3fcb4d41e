"""ROS environment, domain ids and the cleaner of shared memory."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError
from onboard_vla.ros_nodes import environment
from onboard_vla.ros_nodes.environment import (
    FIRST_DOMAIN,
    LAST_DOMAIN,
    PROFILE_FILE,
    PROFILE_VARIABLES,
    give_back_domain_id,
    require_rclpy,
    ros_environment,
    unused_domain_id,
)
from onboard_vla.ros_nodes.shared_memory import free_stale_segments

NAMES = {"x": "http://www.eprosima.com"}


def test_environment_keeps_the_graph_on_this_machine_and_selects_the_profile(monkeypatch) -> None:
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)

    variables = ros_environment(42)

    assert variables["ROS_DOMAIN_ID"] == "42"
    assert variables["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert variables["FASTDDS_DEFAULT_PROFILES_FILE"] == str(PROFILE_FILE)


def test_a_profile_that_the_user_chose_stands_where_it_is_there(monkeypatch, tmp_path) -> None:
    mine = tmp_path / "mine.xml"
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(mine))

    with pytest.raises(ConfigurationError, match=f"FASTDDS_DEFAULT_PROFILES_FILE: expected a file .* none at {mine}"):
        ros_environment(1)
    mine.write_text("<profiles/>")
    assert ros_environment(1)["FASTDDS_DEFAULT_PROFILES_FILE"] == str(mine)


def test_profile_has_room_for_six_cameras_and_announces_itself_often() -> None:
    root = ET.parse(PROFILE_FILE).getroot()

    assert int(root.findtext(".//x:segment_size", namespaces=NAMES)) >= 64 * 2**20
    assert int(root.findtext(".//x:maxMessageSize", namespaces=NAMES)) >= 8 * 2**20
    assert root.findtext(".//x:initialAnnouncements/x:count", namespaces=NAMES) == "20"
    assert root.find(".//x:participant", NAMES).get("is_default_profile") == "true"


def test_domain_ids_differ_between_processes() -> None:
    program = "from onboard_vla.ros_nodes.environment import unused_domain_id as u; print(u(), flush=True); input()"
    other = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    theirs = int(other.stdout.readline())

    ours = {unused_domain_id() for _ in range(5)}

    other.communicate("\n", timeout=10)
    for number in ours:
        give_back_domain_id(number)
    assert theirs not in ours
    assert len(ours) == 5


def test_a_long_run_does_not_use_up_the_domain_ids() -> None:
    for _ in range(3 * (LAST_DOMAIN - FIRST_DOMAIN)):
        give_back_domain_id(unused_domain_id())
    give_back_domain_id(FIRST_DOMAIN)


def test_missing_rclpy_is_one_line_that_says_what_to_do(monkeypatch) -> None:
    monkeypatch.setattr(environment, "find_spec", lambda name: None)

    with pytest.raises(EnvironmentLacksError, match=r"pip install '\.\[ros\]' in a clone.*--transport zmq") as caught:
        require_rclpy()
    assert "\n" not in str(caught.value)


def test_only_segments_of_the_dead_are_freed(tmp_path) -> None:
    dead, alive = tmp_path / "fastdds_0123456789abcdef", tmp_path / "fastdds_fedcba9876543210"
    for segment in (dead, alive):
        segment.write_bytes(b"x" * 1000)
        segment.with_name(segment.name + "_el").touch()
    (tmp_path / "fastdds_port7000").write_bytes(b"p")
    (tmp_path / "fastdds_port7000_el").touch()
    holder = os.open(tmp_path / "fastdds_fedcba9876543210_el", os.O_RDWR)
    fcntl.flock(holder, fcntl.LOCK_EX)

    assert free_stale_segments(tmp_path) == 1000

    os.close(holder)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "fastdds_fedcba9876543210",
        "fastdds_fedcba9876543210_el",
        "fastdds_port7000",
        "fastdds_port7000_el",
    ]


def test_segments_that_others_keep_from_us_stay_and_hinder_nobody(tmp_path, monkeypatch) -> None:
    for number in (1, 2):
        (tmp_path / f"fastdds_{number:016x}").write_bytes(b"x" * 1000)
        (tmp_path / f"fastdds_{number:016x}_el").touch()
    unlink = Path.unlink

    def sticky(path: Path, missing_ok: bool = False) -> None:
        """As in /dev/shm, whose files only their owners remove."""
        if path.name.startswith(f"fastdds_{1:016x}"):
            raise PermissionError(path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", sticky)

    assert free_stale_segments(tmp_path) == 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"fastdds_{1:016x}", f"fastdds_{1:016x}_el"]


@pytest.mark.ros
def test_a_killed_node_leaves_memory_that_is_freed() -> None:
    program = (
        "import rclpy, os, signal; from onboard_vla.ros_nodes.environment import apply_ros_environment as a; a();"
        "from pathlib import Path; old = set(Path('/dev/shm').glob('fastdds_????????????????'));"
        "rclpy.init(); node = rclpy.create_node('x');"
        "new = set(Path('/dev/shm').glob('fastdds_????????????????')) - old;"
        # Its own: another node may have been started beside it.
        "mapped = Path('/proc/self/maps').read_text();"
        "print(*(path for path in new if f'{path}\\n' in mapped), flush=True);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", program], timeout=30, check=False, capture_output=True, text=True)
    segments = [Path(word) for word in ended.stdout.split()]

    free_stale_segments()

    assert segments
    assert not any(segment.exists() for segment in segments)


@pytest.mark.parametrize(
    ("distribution", "name"),
    [("humble", "FASTRTPS"), ("jazzy", "FASTRTPS"), ("kilted", "FASTDDS"), ("rolling", "FASTDDS")],
)
def test_the_profile_is_given_under_the_name_that_the_distributions_fast_dds_reads(monkeypatch, distribution, name):
    for variable in PROFILE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("ROS_DISTRO", distribution)

    assert [v for v in PROFILE_VARIABLES if v in ros_environment(7)] == [f"{name}_DEFAULT_PROFILES_FILE"]


def test_who_reads_the_profile_learns_every_variable_that_selects_it() -> None:
    text = PROFILE_FILE.read_text()

    assert [variable for variable in PROFILE_VARIABLES if variable not in text] == []
