"""A file that is replaced at once, and places that must not be replaced: devices, pipes, links."""

from __future__ import annotations

import os
import stat
import threading

from onboard_vla.core.whole_file import write_whole


def test_an_older_file_is_replaced_at_once(tmp_path):
    (tmp_path / "file").write_text("older")
    with (tmp_path / "file").open() as reading:
        write_whole(tmp_path / "file", "newer")
        assert reading.read() == "older"
    assert (tmp_path / "file").read_text() == "newer"
    write_whole(tmp_path / "new" / "file", "first")
    assert (tmp_path / "new" / "file").read_text() == "first"
    assert {path.name for path in tmp_path.rglob("*")} == {"file", "new"}


def test_a_link_stays_and_what_it_names_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to("there/file")
    for text in ("first", "second"):
        write_whole(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "there" / "file").read_text() == text
    assert {path.name for path in tmp_path.rglob("*")} == {"link", "there", "file"}


def test_a_pipe_stays_and_is_written_to(tmp_path):
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to("pipe")
    for place in (pipe, tmp_path / "link"):
        reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
        reader.start()
        write_whole(place, "said")
        reader.join(timeout=10.0)
        assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert read == ["said", "said"]
    assert (tmp_path / "link").is_symlink()
