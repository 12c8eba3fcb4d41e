"""Words of the core as the numbered constants of our messages, in which 0 always means that nobody set the field."""

from __future__ import annotations

from typing import Any

from onboard_vla.core.errors import WireError


class Words:
    """The constants `<PREFIX>_<WORD>` of a message class, for one of its fields.

    Args:
        message: the generated class.
        field: the field; the prefix is its name in capitals.
        among: the words that the core knows.
        unset: what 0 stands for; None where 0 is refused.
    """

    def __init__(self, message: type[Any], field: str, among: tuple[str, ...], unset: str | None = None) -> None:
        self._where = f"{message.__name__}.{field}"
        names = {word: f"{field}_{word}".upper().replace(" ", "_") for word in among}
        self._number = {word: int(getattr(message, name)) for word, name in names.items()}
        if unset is not None:
            self._number[unset] = 0
        self._word = {number: word for word, number in self._number.items()}

    def number(self, word: str) -> int:
        """The constant of a word.

        Raises:
            WireError: the core does not know the word.
        """
        if word not in self._number:
            raise WireError(f"{self._where}: expected one of {', '.join(self._number)}, found {word!r}")
        return self._number[word]

    def word(self, number: int) -> str:
        """The word of a constant.

        Raises:
            WireError: not set, or a number that this version does not know.
        """
        if number not in self._word:
            known = ", ".join(f"{number} ({word or 'unknown'})" for word, number in self._number.items())
            raise WireError(f"{self._where}: expected one of {known}, found {number}")
        return self._word[number]
