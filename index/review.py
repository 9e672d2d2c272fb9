"""The command ``python -m index.review NAME.index``: which references are worth a person's look, and what to do."""

import csv
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from json import dumps
from pathlib import Path
from typing import Any

from eval.command import run
from eval.errors import InputError, first_few
from eval.files import MANIFEST, already_made, new_folder, real_path, write_json
from eval.findings import SAMPLE, THIN, Copies, Doubt, Findings, Misleading, Thin, find
from eval.vote import VOTERS
from index.references import references_of
from index.search import Index
from index.sheets import sheets

KIND = "review"

COLUMNS = {
    "doubts": ("row", "id", "label", "path", "elected", "share", "own_share", "score", "similarity", "own_similarity"),
    "copies": ("group", "row", "id", "label", "path", "similarity"),
    "misleading": ("row", "id", "label", "path", "misled"),
    "thin": ("label", "independent", "references"),
}
"""The columns of the table of each kind of findings."""

FILES = {MANIFEST, *(f"{kind}.{ending}" for kind in COLUMNS for ending in ("csv", "png"))}
"""What a folder of findings holds."""

MOST_COPIES = 10
"""Near copies of a group that are printed."""


def main(
    index: Path,
    *,
    k: int = VOTERS,
    near: float | None = None,
    thin: int = THIN,
    sample: int = SAMPLE,
    seed: int = 0,
    show: int = 5,
    out: Path | None = None,
    overwrite: bool = False,
    json: bool = False,
) -> Findings:
    """List the references that are worth a person's look, with the commands to act on them; nothing is changed.

    Labels that the nearest references contradict, the most doubtful first; near copies, those under several labels
    first; references that vote for others and never for one of their own label; classes of few references.

    Args:
        index: an index folder.
        k: how many of the nearest references vote for each; its own photo and group have no vote.
        near: the cosine from which on two references are near copies; by default half the usual distance between
            nearest ones. Those that look the same by their hashes are near copies anyway.
        thin: a class of fewer references is thin, photos of one group counted once.
        sample: how many references to look at, in whole classes that are drawn; 0 for all.
        seed: of that draw.
        show: how many findings of each kind to print.
        out: a folder for all findings as tables (.csv), and the first ones as pictures.
        overwrite: make the folder anew.
        json: print one JSON object with all findings.

    Returns:
        What was found.
    """
    if show < 0:
        raise InputError(f"show is {show}; it must be at least 0")
    opened = Index.open(index)
    options = {"k": k, "near": near, "thin": thin, "sample": sample, "seed": seed}
    made_from = {"index": str(real_path(index)), "generation": opened.generation, "created": opened.manifest.created}
    made = out is not None and already_made(out, KIND, made_from | options, overwrite, names=FILES)
    found = find(references_of(opened), k=k, near=near, thin=thin, sample=sample, seed=seed)
    counts, tables = counts_of(opened, found), tables_of(opened, found)
    print(dumps(counts | tables) if json else _text(opened, found, show, out))
    if made:
        print(f"{out} is made already", file=sys.stderr)
    elif out is not None:
        _write(out, tables, opened, found, {"kind": KIND, "made_from": made_from | options, **counts})
        print(f"written: {out}", file=sys.stderr)
    return found


def counts_of(index: Index, found: Findings) -> dict[str, Any]:
    """What must be known before any finding is read."""
    return {
        "references": index.count,
        "classes": len({*index.labels[index.kept]}),
        "looked_at": len(found.looked_at),
        "near": found.near,
        "lone": found.lone,
        "unused": found.unused,
    }


def tables_of(index: Index, found: Findings) -> dict[str, list[dict[str, Any]]]:
    """All findings, by kind; of near copies a line each."""

    def named(row: int) -> tuple[Any, ...]:
        return row, index.table["id"][row].as_py(), index.label(row), index.table["path"][row].as_py()

    def voted(one: Doubt) -> tuple[Any, ...]:
        return one.elected, one.share, one.own_share, one.score, one.nearest.similarity, one.own.similarity

    groups = enumerate(found.copies, 1)
    lines: dict[str, list[tuple[Any, ...]]] = {
        "doubts": [(*named(one.row), *voted(one)) for one in found.doubts],
        "copies": [(number, *named(row), group.similarity) for number, group in groups for row in group.rows],
        "misleading": [(*named(one.row), len(one.misled)) for one in found.misleading],
        "thin": [(one.label, one.independent, len(one.rows)) for one in found.thin],
    }
    return {kind: [dict(zip(COLUMNS[kind], line, strict=True)) for line in some] for kind, some in lines.items()}


def _write(
    out: Path, tables: dict[str, list[dict[str, Any]]], index: Index, found: Findings, manifest: dict[str, Any]
) -> None:
    """Write tables and pictures, all or nothing."""
    with new_folder(out) as folder:
        for kind, lines in tables.items():
            with (folder / f"{kind}.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, COLUMNS[kind])
                writer.writeheader()
                writer.writerows(lines)
        for kind, sheet in sheets(index, found).items():
            sheet.save(folder / f"{kind}.png")
        write_json(folder / MANIFEST, manifest)


def _text(index: Index, found: Findings, show: int, out: Path | None) -> str:
    """The first findings of each kind for people."""
    several = sum(len(group.labels) > 1 for group in found.copies)
    head = f"{index.folder}: {index.count} references"
    if len(found.looked_at) < index.count:
        head += f", of which {len(found.looked_at)}, in classes that were drawn, were looked at; --sample 0 for all"
    doubtful = f"Doubtful labels, the most doubtful first: {len(found.doubts)}"
    if found.lone:
        doubtful += f"; {found.lone} more alone in their class, of which nothing can be said"
    near = f"similarity {found.near:.3f} or more, or the same picture"
    copied = f"Near copies ({near}), of which one each is enough: {len(found.copies)}; {several} under several labels"
    misleading = f"References that only mislead, wrong labels among them: {len(found.misleading)}"
    if found.unused is not None:
        misleading += f"; {found.unused} more never vote"
    kinds: list[tuple[str, Sequence[Any], Callable[[Index, Any], Iterable[str]]]] = [
        (doubtful, found.doubts, _doubt),
        (copied, found.copies, _copies),
        (misleading, found.misleading, _misleading),
        (f"Thin classes, which need more photos: {len(found.thin)}", found.thin, _thin),
    ]
    parts = [head]
    for heading, findings, lines in kinds:
        told = [f"  {line}" for one in findings[:show] for line in lines(index, one)]
        more = [f"  {len(findings) - show} more: {out or '--out FOLDER'}"] if len(findings) > show else []
        parts.append("\n".join([heading, *told, *more]))
    return "\n\n".join(parts)


def _doubt(index: Index, one: Doubt) -> Iterator[str]:
    """A doubtful label for people."""
    yield (
        f"{_name(index, one.row)}: labelled {index.label(one.row)} (nearest {one.own.similarity:.3f}), neighbours say "
        f"{one.elected} (nearest {one.nearest.similarity:.3f}), {one.share:.0%} of the vote to {one.own_share:.0%}"
    )
    yield f"  {_command(index, 'relabel', one.row)} {shlex.join(_option('to', one.elected))}"


def _copies(index: Index, group: Copies) -> Iterator[str]:
    """A group of near copies for people."""
    yield f"{len(group.rows)} of {first_few(group.labels)}, similarity {group.similarity:.3f}"
    first, *others = group.rows[:MOST_COPIES]
    yield f"  # kept: {_plain(index.label(first))}, {_name(index, first)}"
    for row in others:
        yield f"  {_command(index, 'remove', row)}  # {_plain(index.label(row))}, {_name(index, row)}"
    if len(group.rows) > MOST_COPIES:
        yield f"  and {len(group.rows) - MOST_COPIES} more"


def _misleading(index: Index, one: Misleading) -> Iterator[str]:
    """A reference that only misleads for people."""
    labels = Counter(index.label(near.row) for near in one.misled).most_common()
    others = first_few([f"{label} {count}" for label, count in labels])
    votes = f"votes for {len(one.misled)} of other labels ({others})"
    yield f"{_name(index, one.row)}: labelled {index.label(one.row)}, {votes}"
    yield f"  {_command(index, 'remove', one.row)}"


def _thin(index: Index, one: Thin) -> Iterator[str]:
    """A thin class for people."""
    of = "" if one.independent == len(one.rows) else f" independent of {len(one.rows)}"
    yield f"{one.label}: {one.independent}{of}"
    yield f"  python -m index.add {shlex.quote(str(index.folder))} PHOTOS"


def _name(index: Index, row: int) -> str:
    """What people know a reference by, in one line."""
    return _plain(index.table["path"][row].as_py() or index.table["id"][row].as_py())


def _plain(text: str) -> str:
    """A text in one line, as it stands behind the ``#`` of a command that is to be pasted."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _command(index: Index, name: str, row: int) -> str:
    """The command that acts on one reference; where a photo may have several labels, on that with this one."""
    words = ["python", "-m", f"index.{name}", str(index.folder), *_option("id", index.table["id"][row].as_py())]
    return shlex.join([*words, *_option("label", index.label(row))] if index.manifest.shared_ids else words)


def _option(name: str, value: str) -> list[str]:
    """An option whose value may begin as an option does."""
    return [f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value]


if __name__ == "__main__":
    run(main)
