"""Exit status 64: an option's value that cannot be is told from a verdict, whichever command has it."""

import pytest

from onboard_vla.app import cli

WRONG = {
    "faults": [
        ["--fault", "F99"],
        ["--part", "nope"],
        ["--shard", "9/8"],
        ["--soak", "banana"],
        ["--soak", "0s"],
        ["--quick", "--all"],
        ["--transport", "dds"],
    ],
    "demo": [
        ["--transport", "dds"],
        ["--profile", "moon"],
        ["--sensor", "psychic"],
        ["--planner", "expert"],
        ["--lockstep", "--planner", "nobody"],
        ["--lockstep", "--transport", "zmq"],
        ["--latency-ms", "5"],
        ["--bundle", "x", "--checkpoint", "y"],
    ],
    "evaluate": [
        ["--ablation", "nope"],
        ["--depth", "nope"],
        ["--sees", "nope"],
        ["--look", "nope"],
        ["--sensor", "nope"],
        ["--profile", "nope"],
        ["--seeds", "1,x"],
        ["--seeds", "1,1"],
        ["--planner", "nobody"],
        ["--planner", "expert", "--checkpoint", "x"],
    ],
    "measure": [["nothing"], ["sight", "--precision", "int3"], ["sight", "--profile", "nope"], ["signals", "sight"]],
    "roofline": [["x", "--cameras", "a"], ["x", "--picture", "big"]],
    "record": [["x", "--world", "7", "--pictures", "oil"], ["x", "--world", "7", "--profile", "nope"]],
    "replay": [["x", "--planner", "expert"]],
    "verify": [["x", "--lora-alpha", "1"], ["x", "--reference", "y"], ["x", "--scenes", "y"]],
    "compare": [["x", "--unjudged"]],
}


@pytest.mark.parametrize(
    "words", [[command, *words] for command, every in WRONG.items() for words in every], ids=" ".join
)
def test_a_wrong_value_is_one_line_and_64_before_anything_is_done(words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    assert cli.run(words) == 64, "1 would read as a verdict"
    told = capsys.readouterr().err
    assert told.startswith("onboard-vla: ")
    assert told.count("\n") == 1
    assert not list(tmp_path.rglob("*.*")), "nothing was done"


def test_a_file_that_is_not_there_is_an_error_and_no_wrong_argument(tmp_path):
    assert cli.run(["inspect", str(tmp_path / "no-bundle")]) == 1


@pytest.mark.parametrize("words", [["--nonsense"], ["--work", "w", "--stages", "nope"], ["--work", "w"]], ids=" ".join)
def test_training_refuses_wrong_options_as_the_other_commands_do(words, capsys):
    assert cli.run(["train", *words]) == 64
    assert "error: " in capsys.readouterr().err
