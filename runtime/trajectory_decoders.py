"""From a prompt to a trajectory: one small interface for decoders of every kind.

Tokens: an answer's action tokens through the codebook, the form that plans are made with. Continuous: a head on the
hidden state at the first action, one pass in all (as in OpenVLA-OFT: Kim et al. 2025, arXiv:2502.19645). A decoder that
refines (diffusion, flow matching, masked diffusion) is the same to its caller: how often it goes through the model
shows in `passes`. Only the token decoder gives the uncertainty signals that a `Plan` needs, so the others are for
evaluation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import BundleError
from onboard_vla.core.plan import FAST
from onboard_vla.kernels.actions import codebook_table, compose
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.runtime.answer_sequence import AnswerSequence, PromptInput
from onboard_vla.runtime.decoding import GreedyDecoder
from onboard_vla.runtime.language_model import LanguageModel
from onboard_vla.runtime.prompt import AnswerIds

HEAD_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Trajectory:
    """`poses`: (T, 3) float64: x, y in metres, heading in rad, ego frame. `passes`: of the language model."""

    poses: NDArray[np.float64]
    passes: int


class TrajectoryDecoder(Protocol):
    """Turns a prompt into a trajectory."""

    def trajectory(self, prompt: PromptInput) -> Trajectory:
        """Decode.

        Raises:
            DecodeError: the model's answer is not valid.
            EngineError: an execution failed.
        """


class TokenTrajectory:
    """Action tokens of the fast answer, through the codebook, composed as a plan's are."""

    def __init__(
        self, decoder: GreedyDecoder, model: LanguageModel, fine_deltas: NDArray[np.float64], kernels: KernelForm
    ) -> None:
        """`fine_deltas`: see `Codebook.fine_deltas`. `kernels`: what composes."""
        self._decoder, self._model, self._kernels = decoder, model, kernels
        self._codebook = codebook_table(fine_deltas)
        kernels.keep(self._codebook)

    def trajectory(self, prompt: PromptInput) -> Trajectory:
        """See `TrajectoryDecoder.trajectory`."""
        before = self._model.prefills + self._model.decodes
        tokens = np.array([self._decoder.decode(prompt, FAST).tokens], np.int32)
        poses = compose(self._kernels, tokens, self._codebook).poses[0]
        return Trajectory(poses.astype(np.float64), self._model.prefills + self._model.decodes - before)


class ContinuousTrajectory:
    """A regression head on the hidden state behind the fast prefix: one pass."""

    def __init__(self, head: ContinuousHead, model: LanguageModel, embeddings: NDArray[Any], answer: AnswerIds) -> None:
        """`embeddings`: (V, D), tied to the model's head."""
        self._head, self._model, self._answer = head, model, answer
        self._sequence = AnswerSequence(model, embeddings, 1.0)
        self._rows = np.empty((1, model.vocabulary_size), np.float32)

    def trajectory(self, prompt: PromptInput) -> Trajectory:
        """See `TrajectoryDecoder.trajectory`."""
        forced = self._answer.fast_prefix
        before = self._model.prefills + self._model.decodes
        self._sequence.begin(prompt, forced, (), (len(forced) - 1,), self._rows)
        self._sequence.expect_finite(self._rows[0], "the first action")
        return Trajectory(self._head(self._rows[0]), self._model.prefills + self._model.decodes - before)


class ContinuousHead:
    """A perceptron with one hidden layer from the language model's last hidden state to poses.

    The graphs give logits, not hidden states. With tied embeddings E (V, D) of full rank the logits E h determine h:
    h = pinv(E) logits.
    """

    def __init__(self, path: Path, embeddings: NDArray[Any]) -> None:
        """Read a head from .npz and bind it to the embeddings it was trained with.

        Raises:
            BundleError: the file cannot be read, has another format, or belongs to other embeddings.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                parts = {name: archive[name] for name in archive.files}
            found, belongs = int(parts["format"]), str(parts["embeddings_sha256"])
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise BundleError(f"{path}: cannot be read as a continuous head: {error}") from None
        if found != HEAD_FORMAT:
            raise BundleError(f"{path}: continuous head of format {found}, expected {HEAD_FORMAT}")
        if belongs != (own := embeddings_sha256(embeddings)):
            raise BundleError(
                f"{path}: trained with embeddings {belongs[:12]}, the bundle has {own[:12]}; train it anew"
            )
        self._first, self._first_bias, self._second, self._second_bias = (
            parts[name].astype(np.float64) for name in ("first", "first_bias", "second", "second_bias")
        )
        self._from_logits = np.linalg.pinv(embeddings.astype(np.float64))

    def __call__(self, logits: NDArray[np.float32]) -> NDArray[np.float64]:
        """Poses (T, 3) from raw logits (V,)."""
        return self.from_hidden(self._from_logits @ logits.astype(np.float64))

    def from_hidden(self, hidden: NDArray[np.float64]) -> NDArray[np.float64]:
        """Poses (T, 3) from a hidden state (D,), behind the final norm."""
        inner = hidden @ self._first + self._first_bias
        inner = inner / (1.0 + np.exp(-inner))
        return np.asarray((inner @ self._second + self._second_bias).reshape(-1, 3))


def embeddings_sha256(embeddings: NDArray[Any]) -> str:
    """What binds a head to a checkpoint: sha256 of its embeddings (V, D) as float16."""
    return hashlib.sha256(np.ascontiguousarray(embeddings, np.float16).tobytes()).hexdigest()
