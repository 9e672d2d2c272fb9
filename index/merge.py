"""The command ``python -m index.merge NAME.index OTHER.index``: the references of another index."""

from pathlib import Path

from eval.command import run
from eval.errors import InputError
from eval.files import real_path
from index.add import add
from index.duplicates import OnConflict
from index.journal import Change
from index.search import Index
from index.source import index_source


def main(
    index: Path,
    other: Path,
    *,
    on_conflict: OnConflict = "error",
    relabel: bool = False,
    recalibrate: bool = False,
    dry_run: bool = False,
) -> Change:
    """Add the references of another index that the same embedder made, with their thumbnails; the other one stays.

    Args:
        index: the index folder that grows.
        other: the index folder that is read.
        on_conflict: stop where a photo stands under another label; keep the first; skip the photo; or keep both.
        relabel: give references that are there under another label the other index's.
        recalibrate: measure anew what may be promised about answers.
        dry_run: say what would be done, and do nothing.

    Returns:
        What was done.
    """
    if real_path(index) == real_path(other):
        raise InputError(f"{index} cannot be merged with itself; name another index")
    opened, read = Index.open(index), Index.open(other)
    if read.fingerprint != opened.fingerprint:
        raise InputError(
            f"{other} was made by the embedder {read.fingerprint[:16]}, {index} by {opened.fingerprint[:16]}; give it "
            f"that first: python -m index.rebuild {other} --embedder {index / opened.manifest.embedder}"
        )
    source = index_source(opened, read, on_conflict)
    change = Change("merge", details={"other": str(other)})
    return add(
        opened, source, change, on_conflict=on_conflict, relabel=relabel, dry_run=dry_run, recalibrate=recalibrate
    )


if __name__ == "__main__":
    run(main)
