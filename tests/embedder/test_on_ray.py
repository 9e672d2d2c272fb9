"""Embedding on a Ray cluster: one of two workers in this process's own, whose processes do as the tests tell them."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from embedder import Embedder, on_ray
from embedder.data.catalog import read_catalog
from embedder.embed import main
from embedder.in_parts import CatalogParts, Share, embed_in_parts
from embedder.on_ray import make_on_ray
from eval.embeddings import FILES, EmbeddingSet
from eval.errors import InputError
from eval.images import BadImage
from tests.embedder.hundred import write_hundred

PARTS = 4
SILENT = SimpleNamespace(update=lambda _: None)

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="ray is not installed")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A hundred photos, four of which cannot be read."""
    return write_hundred(tmp_path_factory.mktemp("photos") / "all")


@pytest.fixture(scope="module")
def orders(tmp_path_factory):
    """A folder by which the cluster's processes are told what to do, and tell what they have done."""
    return tmp_path_factory.mktemp("orders")


@pytest.fixture(autouse=True)
def no_orders(orders):
    for file in orders.iterdir():
        file.unlink()


@pytest.fixture(scope="module")
def cluster(orders):
    """Two workers."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    ray.init(
        "local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="CRITICAL",
        runtime_env={"worker_process_setup_hook": obeying(orders)},
    )
    yield
    ray.shutdown()


def obeying(orders):
    """What each process of the cluster begins with.

    ``die-N`` has the process that makes part N kill itself in the middle of it, as often as there is a line in the
    file; ``fail-N`` has it fail. With ``together`` none goes on before two processes have begun a part. Each notes the
    part and its own number in ``begun``.
    """

    def patch():
        # By value, for the cluster's processes cannot import the tests.
        import os
        import signal
        import time

        from embedder import on_ray
        from embedder.runtime import Embedder

        make, vectors = on_ray.make, Embedder.vectors

        def noted():
            return (orders / "begun").read_text().splitlines()

        def obedient(embedder, catalog, parts, share, progress):
            with (orders / "begun").open("a") as file:
                file.write(f"{share.rank} {os.getpid()}\n")
            while (orders / "together").exists() and len({line.split()[1] for line in noted()}) < 2:
                time.sleep(0.01)
            if (orders / f"fail-{share.rank}").exists():
                raise ZeroDivisionError("as it was told")
            deadly = orders / f"die-{share.rank}"
            if deadly.exists() and (lives := deadly.read_text().splitlines()):
                deadly.write_text("\n".join(lives[1:]))
                pieces = iter(range(1))

                def last(self, batch):
                    if next(pieces, None) is None:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return vectors(self, batch)

                Embedder.vectors = last
            make(embedder, catalog, parts, share, progress)

        on_ray.make = obedient

    return patch


@pytest.fixture
def embedder(run_folder):
    return Embedder.open(run_folder)


def parts_of(out, embedder, **options):
    return CatalogParts(out, 100, {"embedder": embedder.fingerprint}, size=32, **options)


def contents(folder):
    """What counts: Arrow may write the same table in other bytes."""
    vectors, _, manifest = ((folder / name).read_bytes() for name in FILES)
    return vectors, EmbeddingSet.load(folder).table, manifest


@pytest.fixture
def whole(embedder, photos, tmp_path):
    """What one process of this machine makes of the photos."""
    assert embed_in_parts(embedder, read_catalog(photos), parts_of(tmp_path / "whole", embedder))
    return tmp_path / "whole"


def begun(orders):
    """The parts that have been begun, and the process that has begun each."""
    return [tuple(map(int, line.split())) for line in (orders / "begun").read_text().splitlines()]


@needs_ray
def test_a_worker_that_is_killed_in_the_middle_loses_nothing(
    cluster, whole, embedder, photos, orders, tmp_path, capsys
):
    parts = parts_of(tmp_path / "vectors", embedder)
    (orders / "die-1").write_text("once\n")
    (orders / "together").touch()
    assert embed_in_parts(embedder, read_catalog(photos), parts, 2, make_on_ray)
    told = capsys.readouterr()
    assert (told.out, "100/100" in told.err) == ("", True)
    assert contents(parts.out) == contents(whole)
    assert not parts.folder.exists()
    numbers, processes = zip(*begun(orders), strict=True)
    assert sorted(numbers) == [0, 1, 1, 2, 3]  # no part but the one of the killed process is begun twice
    assert len({process for number, process in begun(orders) if number == 1}) == 2
    assert len({*processes}) >= 2
    assert len({*EmbeddingSet.load(parts.out).paths}) == 96


@needs_ray
def test_a_part_that_kills_every_worker_ends_the_work(cluster, embedder, photos, orders, tmp_path):
    parts = parts_of(tmp_path / "vectors", embedder)
    (orders / "die-1").write_text("always\n" * 100)
    with pytest.raises(InputError, match=r"photos 33 and following was killed 4 times, perhaps for want of memory"):
        embed_in_parts(embedder, read_catalog(photos), parts, 2, make_on_ray)
    assert [number for number, _ in begun(orders)].count(1) == on_ray.TRIES
    assert 1 in parts.missing(Share())


@needs_ray
def test_what_either_engine_has_done_the_other_does_not_do_again(cluster, whole, embedder, photos, orders, tmp_path):
    catalog = read_catalog(photos)
    parts = parts_of(tmp_path / "vectors", embedder)
    on_ray.make(embedder, catalog, parts, Share(0, 2), SILENT)
    (orders / "fail-3").touch()
    with pytest.raises(ZeroDivisionError, match="as it was told") as failed:
        embed_in_parts(embedder, catalog, parts, 2, make_on_ray)
    assert "in obedient" in failed.value.__notes__[0]  # where in the other process
    (orders / "fail-3").unlink()
    assert not {0, 2} & {number for number, _ in begun(orders)}
    done = {*range(PARTS)} - {*parts.missing(Share())}
    assert {0, 2} <= done
    (orders / "begun").unlink()
    assert embed_in_parts(embedder, catalog, parts, 2, make_on_ray)
    assert {number for number, _ in begun(orders)} == {*range(PARTS)} - done
    assert contents(parts.out) == contents(whole)


@needs_ray
@pytest.mark.skipif(sys.platform == "win32", reason="no such signals")
def test_ctrl_c_ends_it(cluster, embedder, photos, orders, tmp_path):
    (orders / "together").touch()  # which one part never is
    parts = replace(parts_of(tmp_path / "vectors", embedder), size=128)

    def interrupt():
        while not (orders / "begun").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        embed_in_parts(embedder, read_catalog(photos), parts, 2, make_on_ray)
    assert not parts.out.exists()


@needs_ray
def test_a_bad_photo_is_named_where_every_photo_counts(cluster, embedder, photos, tmp_path):
    parts = parts_of(tmp_path / "vectors", embedder, complete=True)
    with pytest.raises(BadImage, match=r"(07|40|99)\.png"):
        embed_in_parts(embedder, read_catalog(photos), parts, 2, make_on_ray)


@needs_ray
def test_another_embedder_under_the_same_name(cluster, embedder, run_folder, photos, tmp_path, monkeypatch):
    parts = parts_of(tmp_path / "vectors", embedder)
    monkeypatch.setattr(embedder, "fingerprint", "0" * 64)
    with pytest.raises(InputError, match=r"embedder\.onnx is another embedder on "):
        embed_in_parts(embedder, read_catalog(photos), parts, 2, make_on_ray)


@needs_ray
def test_a_machine_that_does_not_see_the_photos(cluster, embedder, photos, tmp_path):
    """Else it would leave them all out."""
    shutil.copytree(photos, tmp_path / "photos")
    catalog = read_catalog(tmp_path / "photos")
    (tmp_path / "photos").rename(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=r"does not see .*/photos; give an embedder, photos and --out in folders"):
        embed_in_parts(embedder, catalog, parts_of(tmp_path / "vectors", embedder), 2, make_on_ray)


@needs_ray
def test_a_machine_that_does_not_see_the_folder(cluster, embedder, photos, tmp_path, monkeypatch):
    parts = parts_of(tmp_path / "vectors", embedder)
    mkdir = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", lambda self, *_, **__: None if self == parts.folder else mkdir(self))
    with pytest.raises(InputError, match=r"does not see .*vectors\.parts; give"):
        embed_in_parts(embedder, read_catalog(photos), parts, 2, make_on_ray)


def test_parts_that_are_all_there_are_joined_without_a_cluster(whole, embedder, photos, tmp_path, monkeypatch):
    parts = parts_of(tmp_path / "vectors", embedder)
    with monkeypatch.context() as patched:
        patched.setattr(CatalogParts, "joined", lambda *_: False)
        embed_in_parts(embedder, read_catalog(photos), parts)
    monkeypatch.setattr(on_ray, "_connected", None)
    assert embed_in_parts(embedder, read_catalog(photos), parts, 2, make_on_ray)
    assert contents(parts.out) == contents(whole)


@pytest.mark.parametrize(
    ("machines", "jobs", "cores"),
    [([16], 1, 16), ([16], 3, 5), ([2], 2, 1), ([2], 4, 0.5), ([0, 16, 4, 0], 2, 2), ([1, 0], 1, 1)],
)
def test_jobs_share_the_cores_of_the_smallest_machine(machines, jobs, cores):
    class Ray:
        @staticmethod
        def nodes():
            here = [{"Alive": True, "Resources": {"CPU": float(one)} if one else {}} for one in machines]
            return [*here, {"Alive": False, "Resources": {"CPU": 1.0}}]

    assert on_ray._cores_of_a_job(Ray, jobs) == cores


def test_a_cluster_without_cores():
    with pytest.raises(InputError, match="no machine of the Ray cluster has cores"):
        on_ray._cores_of_a_job(type("Ray", (), {"nodes": staticmethod(list)}), 1)


def test_ray_that_is_not_installed(run_folder, photos, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "ray" else find(name, *more))
    with pytest.raises(InputError, match=r"pip install 'fieldmark\[ray\]'"):
        main(run_folder, str(photos), out=tmp_path / "vectors", engine="ray")


def test_ray_and_torchrun_do_not_go_together(run_folder, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InputError, match="--engine ray shares the work out itself"):
        main(run_folder, str(photos), out=tmp_path / "vectors", engine="ray")


@needs_ray
def test_the_command(run_folder, photos, tmp_path):
    """On a cluster that it begins and ends itself, in another folder, with names relative to that."""
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "photos").symlink_to(photos)

    def run(engine, out, *more):
        line = [sys.executable, "-m", "embedder.embed", "run", "photos", "--out", out, "--engine", engine, *more]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        return subprocess.run(line, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    done = run("ray", "by-ray", "--jobs", "2")
    assert (done.returncode, done.stdout) == (0, "by-ray\n"), done.stderr
    assert "100/100" in done.stderr
    assert "left out, because they cannot be read: 4" in done.stderr
    assert "ray" not in done.stderr.replace("by-ray", "").lower()
    assert run("local", "by-itself").returncode == 0
    assert contents(tmp_path / "by-ray") == contents(tmp_path / "by-itself")
    bad = run("ray", "none", "--on-bad-image", "error")
    assert (bad.returncode, bad.stdout) == (2, "")
    *bar, reason = bad.stderr.splitlines()
    assert re.match(r"error: .*07\.png: is not an image that can be read", reason)
    assert all("photo/s]" in line for line in bar if line)
