"""What is asked before the work about where results go: nothing is changed by asking, and nothing is replaced after."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import threading

import pytest

from onboard_vla.app import cli
from onboard_vla.app.output_places import is_stream, require_folder, require_writable
from onboard_vla.core.errors import ConfigurationError

NULL = os.makedev(1, 3)


@pytest.fixture
def device(tmp_path):
    """A null device of the test's own: never the machine's, which root could remove."""
    place = tmp_path / "null"
    try:
        os.mknod(place, 0o666 | stat.S_IFCHR, NULL)
        place.write_text("")
    except OSError as error:
        pytest.skip(f"no device can be made here: {error}")
    return place


@pytest.fixture
def pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def everything(folder):
    return {path: (path.lstat().st_mode, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


def test_asking_changes_nothing(tmp_path, pipe):
    (tmp_path / "old.json").write_text("{}", encoding="utf-8")
    (tmp_path / "empty.json").touch(mode=0o640)
    (tmp_path / "link").symlink_to("empty.json")
    (tmp_path / "ahead").symlink_to("not_yet.json")
    before = everything(tmp_path)
    for name in ("old.json", "empty.json", "link", "ahead", "pipe", "new.json", "new/and/newer.json"):
        require_writable("--json", tmp_path / name)
    assert everything(tmp_path).keys() == before.keys()
    assert everything(tmp_path) == before


def test_a_folder_is_made(tmp_path):
    require_folder("--out", tmp_path / "new" / "out")
    assert list((tmp_path / "new" / "out").iterdir()) == []


def test_a_device_is_still_there(device, tmp_path):
    require_writable("--html", device)
    (tmp_path / "link").symlink_to(device)
    require_writable("--html", tmp_path / "link")
    assert stat.S_ISCHR(device.lstat().st_mode)
    assert (tmp_path / "link").is_symlink()


def test_the_catalogue_goes_to_a_device_a_pipe_and_what_a_link_names(device, pipe, tmp_path, capsys):
    assert cli.run(["faults", "--list", "--json", str(device)]) == 0
    assert stat.S_ISCHR(device.lstat().st_mode)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text(encoding="utf-8")), daemon=True)
    reader.start()
    assert cli.run(["faults", "--list", "--json", str(pipe)]) == 0
    reader.join(timeout=10.0)
    assert json.loads(read[0])
    (tmp_path / "target.json").touch()
    for link, target in (("link", "target.json"), ("ahead", "not_yet.json")):
        (tmp_path / link).symlink_to(target)
        assert cli.run(["faults", "--list", "--json", str(tmp_path / link)]) == 0
        assert (tmp_path / link).is_symlink()
        assert (tmp_path / target).read_text(encoding="utf-8") == read[0]
    assert cli.run(["faults", "--list", "--json", str(tmp_path / "new" / "list.json")]) == 0
    assert (tmp_path / "new" / "list.json").read_text(encoding="utf-8") == read[0]


def test_standard_output_into_a_pipe_is_a_place(tmp_path):
    (tmp_path / "stdout").symlink_to("/proc/self/fd/1")  # as /dev/stdout is, which root could remove
    words = [sys.executable, "-m", "onboard_vla.app.cli", "faults", "--list", "--json", str(tmp_path / "stdout")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert json.loads(done.stdout)
    assert (tmp_path / "stdout").is_symlink()


def test_a_pipe_nobody_reads_yet_is_not_waited_for(pipe):
    asked = threading.Thread(target=require_writable, args=("--html", pipe), daemon=True)
    asked.start()
    asked.join(timeout=10.0)
    assert not asked.is_alive()


def test_what_cannot_be_written_is_named_with_its_reason(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lost").symlink_to("nowhere/file")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
    places = {
        "file/within": "Not a directory",
        "file/with/in": "Not a directory",
        "": "Is a directory",
        "loop": "Too many levels of symbolic links",
        "lost": "No such file or directory",
        "socket": "No such device or address",
        "x" * 300: "File name too long",
        f"new/{'x' * 300}": "File name too long",
    }
    for name, reason in places.items():
        with pytest.raises(ConfigurationError) as caught:
            require_writable("--html", tmp_path / name)
        assert str(caught.value) == f"--html {tmp_path / name}: cannot be written: {reason}"


def test_an_error_without_a_reason_of_the_system_says_its_own(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("underlying stream is not seekable")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(ConfigurationError, match="cannot be written: underlying stream is not seekable"):
        require_writable("--html", tmp_path / "file")


def test_what_is_no_file_is_a_stream(tmp_path, pipe):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("pipe")
    found = {name for name in ("file", "link", "pipe", "new", "") if is_stream(tmp_path / name)}
    assert found == {"pipe", "link"}
