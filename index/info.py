"""The command ``python -m index.info NAME.index``: what an index holds, where it is from, what has been done to it."""

from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.command import run
from eval.errors import counted
from index.calibrate import describe
from index.journal import in_words, read_journal
from index.kinds import describe as describe_search
from index.search import Index


def main(index: Path, *, json: bool = False, journal: int = 10) -> dict[str, Any]:
    """Print everything that an index says of itself.

    Args:
        index: an index folder.
        json: print one JSON object.
        journal: how many of the last changes to tell of.

    Returns:
        What is printed.
    """
    opened = Index.open(index)
    entries = read_journal(opened.folder, opened.manifest.journal)
    told = facts(opened) | {"journal": entries[-journal:] if journal > 0 else []}
    print(dumps(told) if json else _text(opened, told))
    return told


def facts(opened: Index) -> dict[str, Any]:
    """Everything that an index says of itself, but for its journal."""
    manifest, calibration = opened.manifest, opened.calibration
    sizes: dict[str, int] = {}
    for name, file in manifest.files.items():
        kind = name.partition("-")[0]
        sizes[kind] = sizes.get(kind, 0) + file.size
    counts = references_of_each(opened).tolist()
    return {
        "references": manifest.count,
        "classes": len(counts),
        "fewest_of_a_class": min(counts, default=0),
        "most_of_a_class": max(counts, default=0),
        "generation": manifest.generation,
        "created": manifest.created,
        "embedder": {"fingerprint": manifest.fingerprint, **opened.embedder.summary},
        "dimension": manifest.dimension,
        "search": asdict(manifest.search),
        "bytes": {**sizes, "in_all": sum(sizes.values())},
        "milvus": None if manifest.milvus is None else asdict(manifest.milvus),
        "segments": [segment.count for segment in manifest.segments],
        "deleted": len(manifest.deleted),
        "label_changes": len(manifest.label_changes),
        "images_root": manifest.images_root,
        "unreadable_photos": len(manifest.left_out),
        "map": manifest.map is not None,
        "calibration": None if calibration is None else manifest.calibration,
        "calibration_changed": None if calibration is None else calibration.changed(manifest),
    }


def references_of_each(index: Index) -> NDArray[np.int64]:
    """How many references each of an index's ``classes`` has."""
    labels, codes = index.classes
    return np.bincount(codes[codes >= 0], minlength=len(labels))


def _text(index: Index, told: dict[str, Any]) -> str:
    """The same for people."""
    embedder, sizes = told["embedder"], told["bytes"]
    rows = {
        "references": f"{told['references']} of {counted(told['classes'], 'class', 'classes')}, "
        f"{told['fewest_of_a_class']} to {told['most_of_a_class']} a class",
        "generation": f"{told['generation']}, of {told['created']}",
        "embedder": f"{embedder['fingerprint'][:16]}..., {embedder.get('backbone', 'unknown backbone')}, trained by "
        f"{embedder.get('loss', 'what is unknown') or 'nothing'}, dimension {told['dimension']}",
        "search": describe_search(index.manifest.search),
        "size": ", ".join(f"{name.replace('_', ' ')} {size / 1e6:.1f} MB" for name, size in sizes.items()),
        **({"vectors": "in Milvus at {address}, collection {name}".format(**told["milvus"])} if told["milvus"] else {}),
        "segments": f"{len(told['segments'])}; {told['deleted']} rows deleted, {told['label_changes']} relabelled",
        "photos": f"relative to {told['images_root']}; {told['unreadable_photos']} could not be read",
        "calibration": "none" if index.calibration is None else describe(index.calibration),
    }
    if index.calibration is not None:
        stale = ": stale, run index.calibrate" if index.calibration.is_stale(index.manifest) else ""
        rows["sure"] = f"labels of {index.calibration.sure:.0%} or more"
        rows["changed since"] = f"{told['calibration_changed']:.1%} of the references{stale}"
    lines = [f"{name:<14}{text}" for name, text in rows.items()]
    for entry in told["journal"]:
        what = ": ".join(filter(None, (entry["command"], in_words(entry))))
        lines.append(f"{entry['generation']:>6}  {entry['when']}  {entry['by']}  {what}")
    return "\n".join(lines)


if __name__ == "__main__":
    run(main)
