"""Fetch a known data set where torchvision does that, else say where it is to be had."""

import sys
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path

from embedder.data.catalog import READERS, read_catalog
from eval.command import run as run_command
from eval.errors import InputError, unknown

FETCHED = {
    "aircraft": ("FGVCAircraft", "fgvc-aircraft-2013b/data"),
    "cifar10": ("CIFAR10", "."),
    "flowers102": ("Flowers102", "flowers-102"),
}
"""Torchvision's name for a data set, and where in its folder the data set's root is then."""

OWN = {"drawn_birds", "folder", "huggingface", "table", "webdataset"}
"""Readers of what is nobody's data set in particular."""


def main(name: str, folder: Path) -> str:
    """Download a known data set, check that it is whole, and print what to call it.

    Torchvision fetches aircraft, cifar10 and flowers102. For the others it is told where they are to be had: their
    owners ask for a visit, or what is fetched lacks the lists.

    Args:
        name: of the data set.
        folder: where to put it; what is there already is not fetched again.
    """
    known = {one: READERS[one] for one in READERS if one not in OWN}
    if name not in known:
        raise unknown("data set to download", name, known)
    if name not in FETCHED:
        layout = import_module(known[name]).LAYOUT
        raise InputError(
            f"torchvision does not fetch {name}; it is laid out as {layout}. Unpack it, and name it {name}:ROOT"
        )
    from torchvision import datasets  # noqa: PLC0415 - slow to import, and nothing else needs it

    fetched, root = FETCHED[name]
    try:
        with redirect_stdout(sys.stderr):
            getattr(datasets, fetched)(str(folder), download=True)
    except RuntimeError as error:  # another checksum
        raise InputError(f"{name} has come damaged ({error}); delete it in {folder}, and try again") from None
    except OSError as error:
        raise InputError(f"{name} cannot be fetched into {folder} ({error}); try again later") from None
    named = f"{name}:{folder / root}"
    catalog = read_catalog(named)
    print(f"{len(catalog)} photos of {len(catalog.classes)} classes", file=sys.stderr)
    print(named)
    return named


if __name__ == "__main__":
    run_command(main)
