"""Labels by any of their spellings in Unicode: one keyboard makes "ä" one character, another "a" and its dots."""

import unicodedata
from collections.abc import Collection
from functools import cached_property


class Spellings:
    """Labels that are found however they are spelt.

    Args:
        labels: each once. None is changed: an index keeps what its references came with.
    """

    def __init__(self, labels: Collection[str]) -> None:
        self._labels = frozenset(labels)

    def find(self, text: str) -> str | None:
        """The label that is spelt just so, else in the composed form, else any of another form; None where none is."""
        composed = unicodedata.normalize("NFC", text)
        for form in (text, composed):
            if form in self._labels:
                return form
        return self._not_composed.get(composed)

    @cached_property
    def _not_composed(self) -> dict[str, str]:
        """The labels that are not in the composed form, by it."""
        composed = ((unicodedata.normalize("NFC", label), label) for label in sorted(self._labels))
        return {form: label for form, label in composed if form != label}
