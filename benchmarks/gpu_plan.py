"""A plan on a GPU: AutoVLA-3B's real dimensions on ONNX Runtime CUDA, beside `transformers` and the memory's floor.

    python benchmarks/gpu_plan.py                 # a table, and the report in docs/measurements/gpu_plan.json
    python benchmarks/gpu_plan.py --dry-run       # the same path on the processor, tiny; no report
    python benchmarks/gpu_plan.py --folder F --cameras 3 --seconds 500    # in parts: F and the report are gone on with

**No GPU has run this yet.** Protocol: weights are random, distinct in every layer; the checkpoint is made and exported
here, in half precision, once, with six cameras of which three may be left out; pictures are noise of twice the model's
size. A plan every 0.5 s of pictures (half of the frame pairs were seen before). Everybody is made to say the same
random answer, token by token: no guesses ahead. Slow answers have `--reasoning` tokens of text. Medians over `--plans`
after two that are not counted; ours from pictures to the finished plan, the peer's from pictures at the model's size to
the last token of the whole answer, and with the fast prefix given. A decode pass's floor is the time that the bytes of
its weights and cache take at the copying rate measured on the device; other stages' floors come from graphs' counts, as
in `onboard-vla roofline`.

It needs this package installed where nvcc is, for the kernels (`pip install --no-build-isolation -e .`), with its
extras `export` and `gpu`, torch and, for peers, transformers; 20 GB of disk and 20 GB of memory. Whatever is missing is
said in one line with status 3 before any work. The report is written anew after every part, so that what was measured
remains when the rest fails or a limit ends it; a part that failed is named in it. Aims missed are status 1 (not in a
dry run).
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
from pathlib import Path

from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.kernels.launch_driver import DriverDevice

MISSED, NO_GPU = 1, 3
"""Exit statuses."""
NEEDED = ("jsonschema", "ml_dtypes", "onnx", "onnxruntime", "safetensors", "simplejpeg", "tokenizers")
REPORT = Path(__file__).parents[1] / "docs" / "measurements" / "gpu_plan.json"


def main() -> int:
    """See what there is, then make, export, plan, compare, print."""
    arguments = options()
    try:
        device = None if arguments.dry_run else DriverDevice()
        require(arguments)
    except EnvironmentLacksError as error:
        sys.stderr.write(f"gpu_plan: {error}\n")
        return NO_GPU
    import gpu_plan_parts as parts
    import gpu_plan_run

    report = gpu_plan_run.run(arguments, device)
    if arguments.json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        parts.print_table(report)
    return MISSED if not arguments.dry_run and not all(row["within_aims"] for row in report["rows"]) else 0


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="on the processor, with a tiny checkpoint")
    parser.add_argument("--cameras", default="3,6", help="comma-separated counts, at most 6")
    parser.add_argument("--plans", type=int, default=10)
    parser.add_argument("--reasoning", type=int, default=100, help="tokens of a slow answer's text")
    parser.add_argument("--peers", default="eager,compiled", help="of transformers, comma-separated; empty for none")
    parser.add_argument("--folder", type=Path, help="keeps checkpoint and bundle, or has them; else a temporary one")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="after so many no further part is begun")
    parser.add_argument("--out", type=Path, help=f"the report; {REPORT.name} in docs/measurements if not given")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    if arguments.out is None and not arguments.dry_run:
        arguments.out = REPORT
    return arguments


def require(arguments: argparse.Namespace) -> None:
    """Refuse before minutes of work what could not end.

    Raises:
        EnvironmentLacksError: a package is missing, or one that cannot use the GPU is installed.
    """
    wanted = [
        *NEEDED,
        *(() if arguments.dry_run else ("torch",)),
        *(("torch", "transformers") if arguments.peers else ()),
    ]
    if missing := [name for name in dict.fromkeys(wanted) if importlib.util.find_spec(name) is None]:
        raise EnvironmentLacksError(f"packages are missing: {', '.join(missing)}; pip install {' '.join(missing)}")
    if arguments.dry_run:
        return
    from onboard_vla.runtime.onnx_cuda_engine import require_provider

    require_provider(importlib.import_module("onnxruntime"))
    if not importlib.import_module("torch").cuda.is_available():
        raise EnvironmentLacksError("torch does not see the GPU: install a torch that is built for CUDA")


if __name__ == "__main__":
    sys.exit(main())
