"""Make the reference checkpoint: codebook, episodes, training, measured card."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.heap import M_MMAP_MAX, M_TOP_PAD, M_TRIM_THRESHOLD, set_malloc

if TYPE_CHECKING:
    from onboard_vla.world.train_plan import Workplace
    from onboard_vla.world.train_stages import Report

TOP_PAD_BYTES = 1 << 28
STAGES = ("codebook", "data", "vision", "whole", "drive", "finish", "blind", "card")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the stages asked for; exit status 0 when the checkpoint is written."""
    parser = argparse.ArgumentParser(prog="python -m onboard_vla.world.train", description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder for episodes and progress (about 5 GB)")
    parser.add_argument("--out", type=Path, help="checkpoint folder to write; needed by the stage 'card'")
    parser.add_argument("--stages", default=",".join(STAGES), help=f"which of {','.join(STAGES)} to run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that record episodes")
    parser.add_argument(
        "--threads", type=int, default=1, help="threads of the training (1 is best on a shared machine)"
    )
    parser.add_argument("--smoke", action="store_true", help="seconds instead of hours: shows that everything runs")
    options = parser.parse_args(arguments)
    stages = options.stages.split(",")
    if unknown := set(stages) - set(STAGES):
        parser.error(f"--stages: unknown {sorted(unknown)[0]!r}, expected some of {', '.join(STAGES)}")
    if "card" in stages and options.out is None:
        parser.error("--out: the stage 'card' needs the checkpoint folder to write")
    try:
        run(stages, options)
    except OnboardVlaError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


def keep_big_tensors() -> None:
    """Let the C library keep freed memory: else glibc gives big tensors back to the system after every step.

    That costs half the training's speed. For the whole process, which keeps what it once took; nothing without glibc.
    """
    set_malloc({M_MMAP_MAX: 0, M_TRIM_THRESHOLD: -1, M_TOP_PAD: TOP_PAD_BYTES})


def run(stages: Sequence[str], options: argparse.Namespace) -> None:
    """Run `stages` in their order."""
    import torch

    from onboard_vla.core.codebook import Codebook
    from onboard_vla.world import train_stages as work
    from onboard_vla.world.card import write_checkpoint
    from onboard_vla.world.train_plan import FULL, SMOKE, Workplace
    from onboard_vla.world.train_samples import Samples

    torch.set_num_threads(options.threads)
    plan, place, seed = (SMOKE if options.smoke else FULL), Workplace(options.work), options.seed
    place.folder.mkdir(parents=True, exist_ok=True)
    if not place.codebook.exists():
        with _stage(place, "codebook") as report:
            work.make_codebook(plan, place, seed, report)
    codebook = Codebook.load(place.codebook)
    tokenizer, layout = work.make_assets(place)
    if "data" in stages:
        with _stage(place, "data") as report:
            work.record(plan, place, options.workers, report)
    if not set(stages) - {"codebook", "data"}:
        return
    checked = Samples(work.load(plan, place, validation=True), codebook, layout)
    recorded = samples = Samples(work.load(plan, place, validation=False), codebook, layout)
    learner = work.make_learner(place, tokenizer, samples, seed, blind=False)
    watch = work.Watch(learner, checked, plan, place, seed)
    if "vision" in stages:
        with _stage(place, "vision") as report:
            work.train_vision(learner, plan.vision, place, seed, report)
    if "whole" in stages:
        work.restore(learner, place, "vision")
        with _stage(place, "whole") as report:
            work.train_whole(learner, plan.whole, place, "whole", seed, report, watch)
    if "drive" in stages:
        work.restore(learner, place, "whole")
        with _stage(place, "drive") as report:
            work.record_drives(learner, plan, place, report)
    if {"finish", "blind", "card"} & set(stages):
        samples = Samples(work.load(plan, place, validation=False, drives=True), codebook, layout)
        learner.samples = samples
    if "finish" in stages:
        work.restore(learner, place, "whole")
        with _stage(place, "finish") as report:
            work.train_whole(learner, plan.finish, place, "finish", seed + 1, report, watch)
    blind = work.make_learner(place, tokenizer, recorded, seed, blind=True)
    if "blind" in stages:
        with _stage(place, "blind") as report:
            work.train_whole(blind, plan.whole, place, "blind", seed, report, None)
            blind.samples = samples
            work.train_whole(blind, plan.finish, place, "blind_finish", seed + 1, report, None)
        work.export(blind, place, place.blind_checkpoint)
    if "card" in stages:
        work.restore(learner, place, "finish")
        work.restore(blind, place, "blind_finish")
        with _stage(place, "card") as report:
            write_checkpoint(plan, place, options.out, learner, blind, checked, seed, report)


@contextmanager
def _stage(place: Workplace, title: str) -> Iterator[Report]:
    """A progress bar with the time left; the stage's wall time is added to the run's account."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from onboard_vla.world.source_commit import commit

    columns = (
        TextColumn("{task.description:9}"),
        BarColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[text]}"),
    )
    started = time.monotonic()
    with Progress(*columns) as bar:
        task = bar.add_task(title, total=1.0, text="")
        yield lambda done, text: bar.update(task, completed=done, text=text)
    place.spent(title, time.monotonic() - started, commit())


if __name__ == "__main__":
    keep_big_tensors()
    sys.exit(main())
