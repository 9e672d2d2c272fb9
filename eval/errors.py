"""A mistake of the user, told in one sentence."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

MOST_LISTED, MOST_COMPARED = 100, 10_000
"""Names in one message, and names among which the nearest is looked for."""


class InputError(ValueError):
    """What was wrong, which value, and what to do about it.

    The commands print it as one line and exit with status 2; any other exception is a bug and keeps its traceback.
    """


class AlreadySaid(InputError):  # noqa: N818 (it is the mistake that has been said)
    """A mistake that another process of the same command has told of; the commands end by it, and say nothing."""


def first_line(text: str) -> str:
    """The first line of an error of others, who write many."""
    return text.strip().split("\n", maxsplit=1)[0]


def first_few(names: Sequence[str], most: int = 3) -> str:
    """The first names of many, for a message."""
    return f"{', '.join(names[:most])}{', ...' if len(names) > most else ''}"


def counted(count: int, one: str, many: str) -> str:
    """A number with its noun: 1 class, 2 classes."""
    return f"{count} {one if count == 1 else many}"


def close_names(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """The names that one may have been meant for, the nearest first; none where there are too many to compare."""
    known = list(known)
    return get_close_matches(name, known, n=most, cutoff=0.5) if len(known) <= MOST_COMPARED else []


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a name that does not exist, with the nearest one that does.

    Args:
        kind: what the name names, such as ``"loss"``.
        name: the name as the user wrote it.
        known: every name that would have been right.
    """
    known = sorted(known)
    nearest = close_names(name, known)
    more = len(known) - MOST_LISTED
    all_of_them = ", ".join(known[:MOST_LISTED]) + (f" and {more} more" if more > 0 else "")
    advice = f"did you mean {nearest[0]!r}?" if nearest else f"known: {all_of_them}"
    return InputError(f"unknown {kind} {name!r}; {advice}")
