"""Readers of other packages, which say so in their entry points ``fieldmark.readers``.

What is installed counts and nothing else: a name in somebody's ``config.yaml`` must not import whatever module lies in
the current folder.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval.errors import InputError

GROUP = "fieldmark.readers"


def plugins() -> dict[str, Callable[[Path], Any]]:
    """What reads the photos at a place, by the reader's name; nothing is imported before it is called."""
    from importlib.metadata import EntryPoint, entry_points  # noqa: PLC0415 - for those who have a plugin

    def reader(entry: EntryPoint) -> Callable[[Path], Any]:
        def read(root: Path) -> Any:
            try:
                function = entry.load()
            except (ImportError, AttributeError, SyntaxError) as error:
                raise InputError(f"the reader {entry.name!r} ({entry.value}) cannot be loaded: {error}") from None
            return function(root)

        return read

    return {entry.name.replace("-", "_"): reader(entry) for entry in entry_points(group=GROUP)}
