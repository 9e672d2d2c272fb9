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
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, redirect_stdout
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from embedder.data.catalog import Catalog
from embedder.in_parts import CatalogParts, Share, make
from embedder.prefetch import Progress
from embedder.runtime import Embedder
from eval.cores import available_cores
from eval.errors import InputError
from eval.stages import stage

TRIES = 4
"""How often a part is begun whose process is lost each time. Ray would go on for ever with what kills its processes."""

Batch = dict[str, Any]


def make_on_ray(embedder: Embedder, catalog: Catalog, parts: CatalogParts, jobs: int, progress: Progress) -> None:
    """Make the missing parts on the cluster that RAY_ADDRESS names, or else on this machine.

    Args:
        embedder: on the CPU; its file is opened by every process, under the same name.
        catalog: the photos; each process holds the whole list.
        parts: what is to be made, in a folder that all machines see.
        jobs: processes that share the cores of a machine.
        progress: is told of every part that is made.

    Raises:
        BadImage: a photo cannot be read, and ``parts.complete``.
        InputError: Ray is not installed, no cluster answers, a machine does not see the folders, or a part is given up.
    """
    if not (missing := parts.missing(Share())):
        return
    parts = replace(parts, out=parts.out.absolute())
    parts.folder.mkdir(parents=True, exist_ok=True)
    with _connected() as ray:
        cores = _cores_of_a_job(ray, jobs)
        tries = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Tries).remote()
        work = (embedder.path.absolute(), embedder.fingerprint, max(1, int(cores)), ray.put(catalog), parts, tries)
        tasks = ray.data.from_items([{"part": number} for number in missing], override_num_blocks=len(missing))
        done = tasks.map_batches(_made, batch_size=1, fn_args=work, num_cpus=cores)
        with stage("wait for Ray"), closing(iter(done.iter_rows())) as rows:
            for row in rows:
                if row["failure"]:
                    raise pickle.loads(row["failure"])  # of our own processes
                progress.update(len(parts.rows(row["part"])))


def _made(
    batch: Batch, file: Path, fingerprint: str, cores: int, catalog: Any, parts: CatalogParts, tries: Any
) -> Batch:
    """Make one part in a process of the cluster; what it fails by is a result, for Ray would wrap and print it."""
    import ray  # noqa: PLC0415 - an extra

    os.environ["CUDA_VISIBLE_DEVICES"] = ""  # Ray was asked for no GPU, so others may have it
    (number,) = batch["part"].tolist()
    share, failure = Share(number, len(parts.paths)), b""
    try:
        embedder, photos = _opened(file, fingerprint, cores, catalog, parts.folder)
        if ray.get(tries.begin.remote(number)) > TRIES and parts.missing(share):
            raise InputError(
                f"the process that embeds photos {number * parts.size + 1} and following was killed {TRIES} times, "
                "perhaps for want of memory; what is done is kept, so give the command again, with fewer jobs"
            )
        make(embedder, photos, parts, share, tqdm(total=len(parts.rows(number)), disable=True))
    except Exception as error:
        error.add_note(f"on {platform.node()}:\n{traceback.format_exc()}")
        failure = pickle.dumps(error)
    return {"part": batch["part"], "failure": np.array([failure], object)}


@lru_cache(maxsize=1)
def _opened(file: Path, fingerprint: str, cores: int, catalog: Any, folder: Path) -> tuple[Embedder, Catalog]:
    """The embedder and the photos of all tasks that this process does.

    Raises:
        InputError: this machine does not see what the others see.
    """
    import ray  # noqa: PLC0415 - an extra

    photos = ray.get(catalog)
    for path in (file, photos.root, folder):
        if not path.exists():
            raise InputError(
                f"{platform.node()} does not see {path}; give an embedder, photos and --out in folders that all "
                "machines of the cluster share"
            )
    embedder = Embedder.open(file, cores)
    if embedder.fingerprint != fingerprint:
        raise InputError(f"{file} is another embedder on {platform.node()}; give all machines the same one")
    return embedder, photos


class _Tries:
    """How often each part has been begun, counted in one process for all others."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, part: int) -> int:
        """Count another time."""
        self._begun[part] += 1
        return self._begun[part]


def _cores_of_a_job(ray: ModuleType, jobs: int) -> float:
    """What a job has of the smallest machine's cores: whole ones, as Ray wants it, or less than one.

    Raises:
        InputError: the cluster has no cores.
    """
    machines = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    if not any(machines):
        raise InputError("no machine of the Ray cluster has cores to work with; start one")
    cores = min(filter(None, machines))
    return cores / jobs if cores < jobs else cores // jobs


@contextmanager
def _connected() -> Iterator[ModuleType]:
    """Ray with a cluster, which is left in the end, or ended where this has begun it.

    Ray tells nobody of it, and says nothing: its errors are raised, and what else it says is for its own developers.
    """
    if importlib.util.find_spec("ray") is None:
        raise InputError("--engine ray takes a package that is not installed: pip install 'fieldmark[ray]'")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray  # noqa: PLC0415 - an extra
    import ray.data  # noqa: PLC0415 - an extra

    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    ray.data.DataContext.get_current().enable_progress_bars = False
    address, begun = os.environ.get("RAY_ADDRESS"), ray.is_initialized()
    ours: dict[str, Any] = {} if address else {"num_cpus": available_cores(), "include_dashboard": False}
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):  # a thread of Ray prints there
        try:
            if not begun:
                _begin(ray, address, ours)
            yield ray
        except ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"Ray has given up ({reason}); what is done is kept, so give the command again") from None
        finally:
            if not begun:
                ray.shutdown()


def _begin(ray: ModuleType, address: str | None, ours: dict[str, Any]) -> None:
    """Connect to a cluster, or begin one on this machine."""
    try:
        ray.init(address or "local", log_to_driver=False, logging_level=logging.CRITICAL, **ours)
    except ConnectionError as error:
        raise InputError(
            f"no Ray cluster answers at {address} ({error}); see that it runs, or unset RAY_ADDRESS"
        ) from None
