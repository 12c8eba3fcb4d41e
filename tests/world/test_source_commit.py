"""The commit that a report names is that of the code, or none."""

import subprocess

import pytest

from onboard_vla.world.source_commit import commit_of


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "ours.py").write_text("1")
    (tmp_path / "installed.py").write_text("1")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "ours.py")
    git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "-q", "-m", "first")
    return tmp_path


def git(folder, *arguments):
    done = subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_a_tracked_file_gives_the_commit_and_a_plus_when_it_was_changed(repository):
    head = git(repository, "rev-parse", "--short=12", "HEAD")

    assert commit_of(repository / "ours.py") == head
    (repository / "ours.py").write_text("2")
    assert commit_of(repository / "ours.py") == f"{head}+"


def test_an_installation_inside_a_foreign_repository_does_not_take_its_commit(repository):
    assert commit_of(repository / "installed.py") == "unknown"


def test_outside_a_repository_it_is_unknown(tmp_path):
    assert commit_of(tmp_path / "somewhere.py") == "unknown"
