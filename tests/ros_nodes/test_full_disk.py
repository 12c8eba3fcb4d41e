"""Recordings on a disk that is full before they end."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rosbags", reason="needs rosbags (extra `bags`)")

from onboard_vla.ros_nodes.bag import BagReader

ON_SMALL_DISK = """
mount -t tmpfs -o size="$0"m none disk || exit 9
"$@"; status=$?
cp -r disk/. left; exit $status
"""
PICTURE_BYTES = 3840 * 2160 * 3
WRITES = """
import os, sys
from pathlib import Path
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.ros_nodes.bag import BagWriter
if "unreserved" in sys.argv:
    def posix_fallocate(*_):
        raise OSError(95, "Operation not supported")
    os.posix_fallocate = posix_fallocate
writer = BagWriter(Path("disk/bag"))
writer.connect("/a", "std_msgs/msg/UInt8MultiArray", reliable=True, latched=False, depth=1)
try:
    for number, size in enumerate(int(size) for size in sys.argv[1].split(",")):
        writer.write("/a", os.urandom(size), 1000 + number)
except EnvironmentLacksError as error:
    print(error, file=sys.stderr)
# As the live recorder ends.
if any(writer.counts.values()):
    writer.close()
else:
    writer.discard()
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes messages of these sizes on a disk of so many MiB; returns what was said of it."""
    monkeypatch.chdir(tmp_path)
    for name in ("disk", "left"):
        (tmp_path / name).mkdir()
    unshare = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ON_SMALL_DISK)
    if shutil.which("unshare") is None or subprocess.run([*unshare, "1", "true"], check=False).returncode:
        pytest.skip("this system lets users mount no disk of their own")

    def write(mib, sizes, *more):
        command = [*unshare, str(mib), sys.executable, "-c", WRITES, ",".join(map(str, sizes)), *more]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=60, env=os.environ | {"PYTHONWARNINGS": ""}
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    return write


@pytest.mark.parametrize(
    "sizes",
    [[PICTURE_BYTES] * 20, [1000] * 20 + [PICTURE_BYTES] * 20, [1_000_000] * 30 + [2 * PICTURE_BYTES], [50_000] * 9000],
    ids=["big", "small, then big", "bigger than what is left", "small"],
)
def test_what_was_written_can_be_read_however_big_messages_are(write, sizes):
    said = write(120, sizes)

    found = re.search(r"disk/bag: the disk is full; the recording can be read, .* after (\d+) messages", said)
    assert found, said
    with BagReader(Path("left/bag")) as reader:
        assert sum(1 for _ in reader.messages()) == int(found[1]) >= 1


def test_a_disk_without_room_for_the_first_message_leaves_nothing_and_says_how_much_is_needed(write, tmp_path):
    said = write(40, [PICTURE_BYTES] * 2)

    assert (
        "disk/bag: a recording of messages of 24.9 MB needs 74 MiB of its disk to be free for them and its index"
        in said
    )
    assert "it held nothing and was removed" in said
    assert said.count("\n") == 1
    assert list((tmp_path / "left").iterdir()) == []


def test_what_could_not_be_closed_stays_for_the_command_that_repairs_it(write, tmp_path):
    said = write(20, [PICTURE_BYTES], "unreserved")

    assert "`mcap recover disk/bag/bag.mcap -o whole.mcap`" in said
    assert (tmp_path / "left" / "bag" / "bag.mcap").is_file()
