"""Parts of a catalog are made on a Ray cluster (``ray.data``), whose machines see the same folders.

Each part is a task that one of the cluster's processes does, into the folder that all engines keep their parts in. So
no vector passes through Ray, and a task that is done once more, because its process or machine was lost, finds the part
or makes it again: nothing is twice, and nothing is lost.
"""

import importlib.util
import logging
import os
import pickle
import platform
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from embedder.data.catalog import Catalog
from embedder.parts import Parts, Share, make
from embedder.prefetch import Progress
from embedder.runtime import Embedder
from eval.errors import InputError
from eval.stages import stage

RETRIES = 3
"""How often a part is begun again whose process was lost: by then it is the part that kills it."""

Batch = dict[str, Any]


def make_on_ray(embedder: Embedder, catalog: Catalog, parts: Parts, jobs: int, progress: Progress) -> None:
    """Make the missing parts on the cluster that RAY_ADDRESS names, or else on this machine.

    Args:
        embedder: on the CPU; its file is opened by every process, under the same name.
        catalog: the photos; each process holds their list, and no others than its own are opened by it.
        parts: what is to be made, in a folder that all machines see.
        jobs: processes that share the cores of a machine.
        progress: is told of every part that is made.

    Raises:
        BadImage: a photo cannot be read, and ``parts.complete``.
        InputError: Ray is not installed, no cluster answers, a machine does not see the folders, or a part was given up.
    """
    if not (missing := parts.missing(Share())):
        return
    parts = replace(parts, out=parts.out.absolute())
    parts.folder.mkdir(parents=True, exist_ok=True)
    with _connected() as ray:
        cores = _cores_of_a_job(ray, jobs)
        work = (embedder.path.absolute(), embedder.fingerprint, max(1, int(cores)), ray.put(catalog), parts)
        tasks = ray.data.from_items([{"part": number} for number in missing], override_num_blocks=len(missing))
        done = tasks.map_batches(_made, batch_size=1, fn_args=work, num_cpus=cores, max_retries=RETRIES)
        with stage("wait for Ray"):
            for row in done.iter_rows():
                if row["failure"]:
                    raise pickle.loads(row["failure"])  # of our own processes
                progress.update(len(parts.rows(row["part"])))


def _made(batch: Batch, file: Path, fingerprint: str, cores: int, catalog: Any, parts: Parts) -> Batch:
    """Make one part in a process of the cluster; what it fails by is a result, for Ray would wrap and print it."""
    (number,) = batch["part"].tolist()
    failure = b""
    try:
        if not parts.folder.is_dir():
            raise InputError(
                f"{platform.node()} does not see {parts.folder}; give an embedder, photos and --out in folders that all "
                "machines of the cluster share"
            )
        embedder, photos = _opened(file, cores, catalog)
        if embedder.fingerprint != fingerprint:
            raise InputError(f"{file} is another embedder on {platform.node()}; let all machines have the same one")
        make(embedder, photos, parts, Share(number, len(parts.paths)), _Silent())
    except Exception as error:
        error.add_note(f"on {platform.node()}:\n{traceback.format_exc()}")
        failure = pickle.dumps(error)
    return {"part": batch["part"], "failure": np.array([failure], object)}


@cache
def _opened(file: Path, cores: int, catalog: Any) -> tuple[Embedder, Catalog]:
    """The embedder and the photos of all tasks that this process does."""
    import ray  # noqa: PLC0415 - an extra

    return Embedder.open(file, cores), ray.get(catalog)


class _Silent:
    """Progress that nobody is told."""

    def update(self, photos: int) -> None:
        """Nothing."""


def _cores_of_a_job(ray: ModuleType, jobs: int) -> float:
    """Cores of the smallest machine's jobs: whole ones as Ray wants it, or less than one."""
    cores = min(node["Resources"]["CPU"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU"))
    return cores / jobs if cores < jobs else cores // jobs


@contextmanager
def _connected() -> Iterator[ModuleType]:
    """Ray with a cluster, which it leaves again, or ends if it is its own; it says nothing and tells nobody."""
    if importlib.util.find_spec("ray") is None:
        raise InputError("--engine ray takes a package that is not installed: pip install 'fieldmark[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray  # noqa: PLC0415 - an extra
    import ray.data  # noqa: PLC0415 - an extra

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False
    ours = not ray.is_initialized()
    try:
        if ours:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
        yield ray
    finally:
        if ours:
            ray.shutdown()
