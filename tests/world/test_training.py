"""The training's own parts: the fast forward against transformers, labels, pictures, and the whole command in small."""

import dataclasses

import numpy as np
import pytest

from onboard_vla.core.codebook import Codebook
from onboard_vla.core.prompt import PromptTemplate

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from onboard_vla.world import train, train_stages  # noqa: E402
from onboard_vla.world.dataset_store import Frames  # noqa: E402
from onboard_vla.world.model_assets import CAMERAS, write_assets  # noqa: E402
from onboard_vla.world.model_build import build_model  # noqa: E402
from onboard_vla.world.model_tokenizer import save_tokenizer  # noqa: E402
from onboard_vla.world.train_codebook import build_codebook, sample_trajectories  # noqa: E402
from onboard_vla.world.train_decode import decode_fast  # noqa: E402
from onboard_vla.world.train_layout import ACTION, FORK, Layout  # noqa: E402
from onboard_vla.world.train_learner import Learner, Schedule  # noqa: E402
from onboard_vla.world.train_losses import ActionTargets, action_loss  # noqa: E402
from onboard_vla.world.train_plan import Workplace  # noqa: E402
from onboard_vla.world.train_samples import Samples, batches  # noqa: E402
from onboard_vla.world.train_stages import softness  # noqa: E402

ROWS = 8


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return build_codebook(0, tokens=256, motions=3000)


@pytest.fixture(scope="module")
def samples(codebook: Codebook, tmp_path_factory) -> Samples:
    folder = tmp_path_factory.mktemp("assets")
    tokenizer = save_tokenizer(folder)
    write_assets(folder)
    layout = Layout(PromptTemplate.load(folder / "prompt.json"), tokenizer)
    rng = np.random.default_rng(0)
    table = {
        "front": rng.integers(0, 256, (ROWS, 112, 168, 3), dtype=np.uint8),
        "sides": rng.integers(0, 256, (ROWS, 5, 56, 56, 3), dtype=np.uint8),
        "poses": sample_trajectories(8.0, ROWS, rng).astype(np.float32),
        "speed": np.linspace(0, 30, ROWS, dtype=np.float32),
        "command": np.arange(ROWS, dtype=np.int8) % 3,
        "demanding": np.arange(ROWS) % 2 == 0,
        "auxiliary": rng.normal(size=(ROWS, 9)).astype(np.float32),
        "reasoning": np.full(ROWS, "left curve. lead vehicle at 12 m. follow: bear left, slow down."),
    }
    frames = Frames(table, np.zeros(ROWS, np.int32), np.full(ROWS, "quiet_road"), np.arange(3, ROWS))
    made = Samples(frames, codebook, layout)
    made.tokenizer = tokenizer
    return made


@pytest.fixture(scope="module")
def learner(samples: Samples) -> Learner:
    model = build_model(samples.tokenizer, 0)
    made = Learner(model, samples, ActionTargets.of(samples.codebook, samples.layout.first_action), blind=False)
    made.precise = True
    return made


def transformers_inputs(samples: Samples, row: int) -> dict:
    """Pixels in transformers' order, cut here a second time and in another way."""
    mean, std = np.array(CAMERAS["mean"], np.float32), np.array(CAMERAS["std"], np.float32)
    at, table = samples.rows[row], samples.frames.table
    pixels, grids = [], []
    videos = [table["front"][at - 3 : at + 1], *(table["sides"][at - 3 : at + 1, c] for c in range(5))]
    for video in videos:
        values = ((video.astype(np.float32) / 255 - mean) / std).transpose(0, 3, 1, 2)
        times, channels, height, width = values.shape
        grid = (times // 2, height // 14, width // 14)
        cut = values.reshape(grid[0], 2, channels, grid[1] // 2, 2, 14, grid[2] // 2, 2, 14)
        pixels.append(cut.transpose(0, 3, 6, 4, 7, 2, 1, 5, 8).reshape(-1, channels * 2 * 14 * 14))
        grids.append(grid)
    return {"pixel_values_videos": torch.from_numpy(np.concatenate(pixels)), "video_grid_thw": torch.tensor(grids)}


def kinds_of(ids, samples: Samples):
    return torch.where(ids == samples.layout.video_id, 2, 0).int()


@torch.no_grad()
def test_fast_forward_equals_transformers(learner: Learner, samples: Samples) -> None:
    batch = samples.batch(np.arange(4), None)
    logits, _ = learner.forward(batch.ids, learner.visual_tokens(batch, deep=True))
    logits = logits.view(4, -1, logits.shape[-1])
    for row in range(4):
        ids = batch.ids[row : row + 1]
        extra = transformers_inputs(samples, row)
        reference = learner.model(input_ids=ids, mm_token_type_ids=kinds_of(ids, samples), **extra).logits[0]
        reference = reference[samples.layout.prompt_length - 1 : -1]
        assert (logits[row] - reference).abs().max() < 2e-5


def test_blind_model_differs_from_the_seeing_one_in_its_pictures_alone(learner: Learner, samples: Samples) -> None:
    targets = ActionTargets.of(samples.codebook, samples.layout.first_action)
    blind = Learner(learner.model, samples, targets, blind=True)
    blind.precise = True
    batch = samples.batch(np.arange(4), None)
    grey = dataclasses.replace(batch, front=torch.full_like(batch.front, 128), sides=torch.full_like(batch.sides, 128))
    others = dataclasses.replace(batch, front=batch.front.flip(0), sides=batch.sides.flip(0))
    with torch.no_grad():
        seen = learner.visual_tokens(batch, deep=True)
        unseen = blind.visual_tokens(batch, deep=True)
        assert unseen.shape == seen.shape
        assert torch.equal(unseen, blind.visual_tokens(others, deep=True))
        assert (seen - learner.visual_tokens(others, deep=True)).abs().max() > 1e-3
        expected, _ = learner.forward(batch.ids, learner.visual_tokens(grey, deep=True))
        found, _ = blind.forward(batch.ids, unseen)
    assert (found - expected).abs().max() < 2e-5


@torch.no_grad()
def test_cached_decoding_equals_transformers_generate(learner: Learner, samples: Samples) -> None:
    layout = samples.layout
    fast = layout.fast(np.zeros(10, np.int64))
    prefix = torch.from_numpy(fast.ids[: int(np.flatnonzero(fast.kinds == ACTION)[0])])[None]
    decoded = decode_fast(learner, samples.batch(np.arange(2), None))
    only_actions = list(range(layout.first_action, layout.first_action + samples.codebook.size))
    for row in range(2):
        ids = torch.cat(
            [
                torch.from_numpy(layout.prompt_ids(round(float(samples.speed[row]), 1), int(samples.command[row])))[
                    None
                ],
                prefix,
            ],
            1,
        )
        found = learner.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=kinds_of(ids, samples),
            max_new_tokens=10,
            do_sample=False,
            prefix_allowed_tokens_fn=lambda *_: only_actions,
            **transformers_inputs(samples, row),
        )
        assert (found[0, ids.shape[1] :].numpy() - layout.first_action).tolist() == decoded.actions[row].tolist()


def test_labels_are_the_expert_s_plan_in_tokens(samples: Samples) -> None:
    batch = samples.batch(np.arange(2), None)
    for row in range(2):
        actions = batch.ids[row][batch.kinds[row] == ACTION].numpy() - samples.layout.first_action
        decoded = samples.codebook.decode(actions)[0]
        assert np.hypot(*(decoded - samples.poses[row])[:, :2].T).mean() < 0.5
        slow = batch.ids[row][batch.kinds[row] == FORK].item() == samples.layout.fork_ids[1]
        assert slow == samples.demanding[row]


def test_hard_labels_are_the_limit_of_soft_ones(samples: Samples) -> None:
    batch = samples.batch(np.arange(2), None)
    targets = ActionTargets.of(samples.codebook, samples.layout.first_action)
    logits = torch.randn(
        20, samples.layout.first_action + samples.codebook.size, generator=torch.Generator().manual_seed(0)
    )
    hard = action_loss(logits, samples, batch, targets, 0.0)
    assert action_loss(logits, samples, batch, targets, 1e-4).item() == pytest.approx(hard.item(), rel=1e-4)
    schedule = Schedule(steps=100, batch=4, rate=1e-3, vision_rate=1e-3)
    assert softness(0, schedule) > softness(50, schedule) > 0 == softness(99, schedule)


def test_interrupted_batches_go_on_where_they_stopped() -> None:
    whole = [b.tolist() for b in batches(10, 4, 6, seed=3)]
    assert [b.tolist() for b in batches(10, 4, 6, seed=3, start=4)] == whole[4:]
    assert all(len(set(b)) == 4 for b in whole)


@pytest.mark.parametrize("stage", ["vision", "whole"])
def test_a_stage_that_was_interrupted_ends_with_the_weights_of_one_that_was_not(
    stage, samples: Samples, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(train_stages, "SAVE_EVERY", 2)
    schedule = Schedule(steps=5, batch=4, rate=1e-3, vision_rate=1e-3, warmup=1)

    def trained(folder, seed: int, stop_after: int | None = None) -> dict:
        model = build_model(samples.tokenizer, seed)
        targets = ActionTargets.of(samples.codebook, samples.layout.first_action)
        learner, place = Learner(model, samples, targets, blind=False), Workplace(folder)
        folder.mkdir(exist_ok=True)
        done = []

        def report(share: float, _words: str) -> None:
            done.append(share)
            if len(done) == stop_after:
                raise KeyboardInterrupt

        if stage == "vision":
            train_stages.train_vision(learner, schedule, place, 3, report)
        else:
            train_stages.train_whole(learner, schedule, place, "whole", 3, report, None)
        return {"steps": len(done), **{name: value.clone() for name, value in model.state_dict().items()}}

    whole = trained(tmp_path / "whole", 0)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "halves", 0, stop_after=4)
    # The second half begins with other weights than the first did: all that counts comes from the file.
    rest = trained(tmp_path / "halves", 9)
    assert (whole.pop("steps"), rest.pop("steps")) == (5, 3)
    assert all(torch.equal(whole[name], rest[name]) for name in whole)
    start = build_model(samples.tokenizer, 0).state_dict()
    assert any(not torch.equal(whole[name], start[name]) for name in whole)


@pytest.mark.timeout(600)  # about 20 s of work; a busy machine stretches it
def test_smoke_run_writes_a_checkpoint_and_resumes(tmp_path) -> None:
    arguments = ["--smoke", "--work", str(tmp_path / "work"), "--out", str(tmp_path / "out")]
    assert train.main(arguments) == 0
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"model.safetensors", "codebook.npz", "prompt.json", "cameras.json", "card.json", "CARD.md"} <= names
    assert "golden_scenes.npz" in names
    assert (tmp_path / "work" / "calibration_scenes.npz").is_file()
    weights = (tmp_path / "out" / "model.safetensors").read_bytes()
    control = (tmp_path / "work" / "blind_checkpoint" / "model.safetensors").read_bytes()
    assert len(control) == len(weights)
    assert control != weights
    assert train.main(arguments) == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == weights


@pytest.mark.parametrize(("stage", "told"), [("fly", "unknown 'fly'"), ("card", "--out")])
def test_bad_options_are_wrong_arguments(capsys, tmp_path, stage, told) -> None:
    with pytest.raises(SystemExit) as stopped:
        train.main(["--work", str(tmp_path), "--stages", stage])
    assert stopped.value.code == 2, "as argparse ends; `onboard-vla train` makes 64 of it"
    assert told in capsys.readouterr().err
