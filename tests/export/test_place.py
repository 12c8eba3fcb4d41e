"""A folder that nothing can be moved to is refused before the work; elsewhere every place is as good as before."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from onboard_vla.app import cli
from onboard_vla.core.errors import BundleError
from onboard_vla.export import bundle_writer, place
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.export.engine_build import build_engines
from onboard_vla.export.place import mount_points, obstacle

from ..runtime.fake_gpu import FakeGpu
from ..runtime.fake_tensorrt import VERSIONS, Module

NOBODY = 65534
TABLE = """24 30 0:22 / /proc rw,nosuid - proc proc rw
36 35 98:0 /a/b /mnt/my\\040out rw,noatime master:1 - ext3 /dev/root rw
"""


def test_a_place_that_is_free_or_a_folder_of_its_own_is_taken(tmp_path):
    (tmp_path / "older").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("new", "not/yet/there", "older", "file"):
        assert obstacle(tmp_path / name) is None


@pytest.mark.parametrize("name", [".", "..", "within/..", "/"])
def test_a_place_without_a_name_of_its_own_is_refused(tmp_path, monkeypatch, name):
    (tmp_path / "within").mkdir()
    monkeypatch.chdir(tmp_path / "within")
    assert "give a folder inside it" in obstacle(Path(name))


def test_the_folder_that_a_command_runs_in_is_refused_by_its_path_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert obstacle(tmp_path) == f"{tmp_path} is the folder that this runs in: give a folder inside it"


def test_a_link_is_refused(tmp_path):
    (tmp_path / "there").mkdir()
    for name, there in (("link", "there"), ("lost", "nowhere")):
        (tmp_path / name).symlink_to(tmp_path / there)
        assert "is a link: give the folder that it names" in obstacle(tmp_path / name)


def test_a_mount_of_another_device_is_refused():
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == Path("/dev").stat().st_dev:
        pytest.skip("nothing is mounted at /dev/shm")
    assert "is a mount point, which no folder can be moved to: give a folder inside it" in obstacle(shared)


def test_a_mount_of_the_same_device_is_known_by_the_systems_table(tmp_path, monkeypatch):
    (tmp_path / "volume").mkdir()
    monkeypatch.setattr(place, "mount_points", lambda: frozenset([tmp_path / "volume"]))
    assert "is a mount point" in obstacle(tmp_path / "volume")
    assert obstacle(tmp_path / "volume" / "inside") is None


def test_the_systems_table_is_read_with_its_blanks(tmp_path):
    (tmp_path / "mountinfo").write_text(TABLE)
    assert mount_points(tmp_path / "mountinfo") == {Path("/proc"), Path("/mnt/my out")}
    assert mount_points(tmp_path / "absent") == frozenset()
    if place.MOUNTS.exists():
        assert all(os.path.isabs(point) for point in mount_points())


@pytest.mark.parametrize("letters", [248, 300])
def test_a_name_that_is_too_long_is_refused_with_what_stands_beside_it(tmp_path, letters, capsys):
    out = tmp_path / ("x" * letters)
    assert obstacle(out) == f"{out} cannot be a place (File name too long): choose another place"
    assert cli.run(["export", str(tmp_path), "--out", str(out)]) == 1
    assert capsys.readouterr().err == f"onboard-vla: {obstacle(out)}\n"
    assert list(tmp_path.iterdir()) == []


@contextmanager
def as_a_user():
    """Rights as users have them, where root runs the tests."""
    root = os.geteuid() == 0
    if root:
        try:
            os.seteuid(NOBODY)
        except OSError as error:
            pytest.skip(f"root has to stay root here: {error}")
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_closed_folder_is_refused_and_a_place_in_one():
    with tempfile.TemporaryDirectory() as name:  # not tmp_path, which lies below a folder that is closed to others
        folder = Path(name)
        (folder / "closed").mkdir(mode=0o000)
        (folder / "kept").mkdir(mode=0o555)
        folder.chmod(0o755)
        with as_a_user():
            found = {out: obstacle(folder / out) for out in ("closed/within", "closed", "kept")}
    for out, said in found.items():
        assert said == f"{folder / out} cannot be a place (Permission denied): choose another place"


def test_export_and_engines_refuse_such_a_place_before_any_work(
    reference_checkpoint, fp32_bundle, tmp_path, monkeypatch, capsys
):
    volume = tmp_path / "volume"
    volume.mkdir()
    monkeypatch.setattr(place, "mount_points", lambda: frozenset([volume]))
    monkeypatch.setattr(bundle_writer, "Source", None)  # what the work begins with
    with pytest.raises(BundleError, match="is a mount point"):
        export_bundle(reference_checkpoint, volume)
    with pytest.raises(BundleError, match="is a mount point"):
        build_engines(Module(VERSIONS[1], gpu := FakeGpu()), fp32_bundle, volume, gpu)
    monkeypatch.chdir(volume)
    assert cli.run(["export", str(reference_checkpoint), "--out", "."]) == 1
    assert ". names no folder of its own: give a folder inside it" in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == [volume]
    assert not list(volume.iterdir())
