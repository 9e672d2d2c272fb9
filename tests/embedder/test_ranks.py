"""Several processes train as one: the same weights, the same validation, and an end with a reason."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from embedder import checkpoint
from embedder.augment.mixing import Mixed, PhotoMixing
from embedder.config import Config, LossSettings, MixSettings, TrainSettings
from embedder.data.loading import make_loader
from embedder.data.photos import EpochBatches
from embedder.ranks import bounds, join
from embedder.train import fit
from embedder.trainer import Trainer
from tests.embedder.rank_worker import do, first_gradients, gradients_of

HERE = Path(__file__).parent
LOSSES = {
    "triplet": LossSettings("triplet", miner="semi-hard"),
    "arcface": LossSettings("arcface"),
    "proxy-anchor": LossSettings("proxy-anchor"),
    "memory": LossSettings("contrastive", memory=27, memory_start=0),
    "partial-fc": LossSettings("arcface", partial_fc=1.0),
}


MIXES = {
    "cutmix": MixSettings("cutmix", share=1.0, since=0.0),
    "snapmix": MixSettings("snapmix", share=1.0, since=0.0),
    "vectors": MixSettings(vectors=True, since=0.0),
}

CHUNKS = (2, 4)
"""Of the shares of 4 and 5 photos: into several chunks each, and only one of them into two."""


def begin(jobs: list[dict[str, Any]], folder: Path, count: int = 2) -> subprocess.Popen[str]:
    """Begin the jobs in some processes."""
    (folder / "jobs.json").write_text(json.dumps(jobs))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    command += [str(HERE / "rank_worker.py"), str(folder / "jobs.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parents[1])}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment)


def torchrun(jobs: list[dict[str, Any]], folder: Path, count: int = 2) -> tuple[int, str]:
    """Do the jobs in some processes; the exit status and what was said."""
    process = begin(jobs, folder, count)
    said = process.communicate(timeout=300)[1]
    return process.returncode, said


@pytest.fixture(scope="module")
def base(config: Config) -> Config:
    """About 50 steps in float64 without dropout, of batches that two processes cannot halve."""
    train = replace(config.train, epochs=13, batch_size=9, photos_per_class=3, ema=0.0, precision="64")
    return replace(config, model=replace(config.model, dropout=0.0), train=train)


def mixing(base: Config, mix: MixSettings) -> Config:
    """In float32, of photos in which the network has several places to look at."""
    train, data = replace(base.train, precision="32"), replace(base.data, size=64)
    return replace(base, loss=LOSSES["proxy-anchor"], mix=mix, train=train, data=data)


def with_unused(base: Config) -> Config:
    """One epoch of a network with weights that no feature map needs."""
    mobile = replace(base.model, backbone="timm:mobilenetv3_small_050")
    return replace(base, model=mobile, train=replace(base.train, epochs=1, precision="32"))


@pytest.fixture(scope="module")
def single(base: Config, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What one process gives with each loss."""
    folder = tmp_path_factory.mktemp("single")
    for name, loss in LOSSES.items():
        do({"config": asdict(replace(base, loss=loss)), "run": str(folder / name)})
    return {name: folder / name for name in LOSSES}


@pytest.fixture(scope="module")
def double(base: Config, single: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes give: with each loss, in chunks, stopped and gone on with; and first gradients in float32."""
    folder = tmp_path_factory.mktemp("double")
    jobs: list[dict[str, Any]] = []
    for name, loss in LOSSES.items():
        config = replace(base, loss=loss)
        short = replace(config, train=replace(config.train, precision="32"))
        jobs.append({"config": asdict(config), "run": str(folder / name)})
        jobs.append({"config": asdict(short), "run": str(folder / "none"), "gradients": str(folder / f"{name}")})
    for name, mix in MIXES.items():
        mixed = asdict(mixing(base, mix))
        jobs.append({"config": mixed, "run": str(folder / "none"), "gradients": str(folder / name)})
    arcface, partial = (replace(base, loss=LOSSES[name]) for name in ("arcface", "partial-fc"))
    for size in CHUNKS:
        chunked = replace(arcface, train=replace(base.train, chunk_size=size))
        jobs.append({"config": asdict(chunked), "run": str(folder / f"chunks-of-{size}")})
    jobs.append({"config": asdict(with_unused(base)), "run": str(folder / "unused")})
    fate = {"rank": 1, "step": 6, "what": "be asked to stop"}
    jobs.append({"config": asdict(partial), "run": str(folder / "stopped"), "fate": fate})
    status, said = torchrun(jobs, folder)
    assert status == 0, said[-3000:]
    return folder


def assert_close(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name, values in one.items():
        assert torch.allclose(values, other[name], rtol=0, atol=tolerance), name


def weights(run: Path) -> dict[str, torch.Tensor]:
    state = checkpoint.load(run / "last.ckpt")
    assert state["step"] >= 50
    parts = {f"part{number}": part["weight"] for number, part in enumerate(state["partial_fc"])}
    tensors = {**state["network"], **state["loss"], **parts}
    return {name: value for name, value in tensors.items() if value.is_floating_point()}


@pytest.mark.parametrize("name", LOSSES)
def test_two_processes_give_the_weights_of_one(single: dict[str, Path], double: Path, name: str) -> None:
    assert_close(weights(single[name]), weights(double / name), 1e-6)
    assert all(value.dtype == torch.float64 for value in weights(double / name).values())


@pytest.mark.parametrize("name", LOSSES)
def test_the_first_gradients_are_those_of_one(base: Config, double: Path, tmp_path: Path, name: str) -> None:
    short = replace(base, loss=LOSSES[name], train=replace(base.train, precision="32"))
    expected = first_gradients(short, tmp_path)
    found = [torch.load(double / f"{name}-{rank}.pt") for rank in range(2)]
    if name == "partial-fc":  # each rank has those of its own classes, rank after rank
        sparse = next(key for key, gradient in expected.items() if gradient.is_sparse)
        expected[sparse] = expected[sparse].to_dense()
        whole = torch.cat([gradients[sparse].to_dense() for gradients in found])
        found = [{**gradients, sparse: whole} for gradients in found]
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert largest > 1e-2
    for gradients in found:
        assert_close(expected, gradients, 1e-5 * max(1.0, largest))


@pytest.mark.parametrize("name", MIXES)
def test_what_two_processes_mix_has_the_gradients_of_one_batch(
    base: Config, double: Path, tmp_path: Path, name: str
) -> None:
    """Each photo's partner is of the same process."""
    run = Trainer(mixing(base, MIXES[name]), tmp_path)
    images, labels, _ = next(make_loader(run.data.views, EpochBatches(run.sampler, 0, 1, run.ranks)))
    total, places = len(images), run.gradients.places
    shares = [slice(*bounds(total, rank, 2)) for rank in range(2)]
    mixings = [PhotoMixing(run.config.mix, run.steps, run.config.seed, rank) for rank in range(2)]
    parts = [mix(0, images[own], labels[own], places) for mix, own in zip(mixings, shares, strict=True)]
    labels_of = [mixed for _, mixed in parts if mixed is not None]
    mixed = Mixed(*map(torch.cat, zip(*labels_of, strict=True))) if labels_of else None
    assert (mixed is None) == (name == "vectors")
    run.network.train()
    run.gradients.add(0, torch.cat([views for views, _ in parts]), labels, total, mixed, run.mixing.between_weight(0))
    expected = gradients_of(run)
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert largest > 1e-2
    for rank in range(2):
        assert_close(expected, torch.load(double / f"{name}-{rank}.pt"), 1e-5 * max(1.0, largest))


@pytest.mark.parametrize("size", CHUNKS)
def test_chunks_on_two_processes_give_the_weights_of_one(single: dict[str, Path], double: Path, size: int) -> None:
    assert_close(weights(single["arcface"]), weights(double / f"chunks-of-{size}"), 1e-6)


def test_a_backbone_with_weights_that_are_not_needed_trains(base: Config, double: Path, tmp_path: Path) -> None:
    """And one process trains the same weights, so that it can go on."""
    state = checkpoint.load(double / "unused" / "last.ckpt")
    assert state["step"] == 4
    one = Trainer(with_unused(base), tmp_path / "one").optimizer
    one.take_up(state)
    assert [*map(len, state["optimizer"]["state"].values())] == [*map(len, one.state()["optimizer"]["state"].values())]


def test_validation_is_shared_and_nothing_is_counted_twice(single: dict[str, Path], double: Path) -> None:
    """Of 12 photos each process embeds 6; the scores are those of one."""
    logs = [[*csv.DictReader((run / "log.csv").open())] for run in (single["arcface"], double / "arcface")]
    assert len(logs[0]) == len(logs[1])
    for one, other in zip(*logs, strict=True):
        for name in one.keys() - {"seconds", "images_per_second"}:
            assert float(one[name] or 0) == pytest.approx(float(other[name] or 0), abs=1e-5), name
    assert float(logs[0][0]["queries"]) == 12


def test_a_run_of_two_is_gone_on_with_by_one(base: Config, single: dict[str, Path], double: Path) -> None:
    """One of the two was asked to stop, and both did, at the same step."""
    state = checkpoint.load(double / "stopped" / "last.ckpt")
    assert state["step"] == 7
    fit(replace(base, loss=LOSSES["partial-fc"]), double / "stopped")
    assert_close(weights(single["partial-fc"]), weights(double / "stopped"), 1e-6)


def test_parts_of_no_photos(base: Config, tmp_path: Path) -> None:
    """Of two photos, one of three processes has none; what is seen of parts, and closer, is what one process sees."""
    parts = replace(
        base,
        data=replace(base.data, size=64, test_size=128),
        augment=replace(base.augment, attended_crop=0.3, attended_drop=0.3),
        model=replace(base.model, parts=3, look="first", smaller=True),
        loss=LossSettings("arcface", part_centre=1.0),
        train=replace(base.train, epochs=1, batch_size=2, photos_per_class=1),
    )
    mixed = replace(parts, loss=LossSettings("arcface"), mix=MixSettings("snapmix", since=0.0))
    jobs = [{"config": asdict(one), "run": str(tmp_path / name)} for name, one in (("three", parts), ("mixed", mixed))]
    status, said = torchrun(jobs, tmp_path, count=3)
    assert status == 0, said[-3000:]
    do({"config": asdict(parts), "run": str(tmp_path / "one")})
    one, three = (checkpoint.load(tmp_path / name / "last.ckpt") for name in ("one", "three"))
    assert_close(one["network"], three["network"], 1e-6)
    assert_close(one["centres"], three["centres"], 1e-6)
    assert one["centres"]["centres"].any()
    assert one["step"] == three["step"] > 10
    logs = [[*csv.DictReader((tmp_path / name / "log.csv").open())][-1] for name in ("one", "three")]
    assert float(logs[0]["part_centre"]) == pytest.approx(float(logs[1]["part_centre"]), abs=1e-5)


def test_a_rank_that_dies_ends_the_run(base: Config, tmp_path: Path) -> None:
    job = {"config": asdict(base), "run": str(tmp_path / "run"), "fate": {"rank": 1, "step": 2, "what": "die"}}
    status, said = torchrun([job], tmp_path)
    assert status
    assert "exitcode  : 7" in said
    assert not (tmp_path / "run" / "embedder.onnx").exists()


def test_a_rank_that_fails_says_why(base: Config, tmp_path: Path) -> None:
    job = {"config": asdict(base), "run": str(tmp_path / "run")}
    status, said = torchrun([{**job, "fate": {"rank": 1, "step": 2, "what": "lose a photo"}}], tmp_path)
    assert status
    assert "error: rank 1 on " in said
    assert "gone.jpg: it is not there any more" in said


def test_ranks_that_see_different_files_do_not_begin(base: Config, photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "other")
    shutil.copy(photos / "kind1" / "0.png", tmp_path / "other" / "kind0" / "3.png")  # kinds 0 to 5 are trained on
    roots = {"0": str(photos), "1": str(tmp_path / "other")}
    job = {"config": asdict(base), "run": str(tmp_path / "run"), "roots": roots}
    status, said = torchrun([job], tmp_path)
    assert status
    assert "error: rank 1 on " in said
    assert f"the first that differs is {Path('kind0/3.png')}" in said
    assert not (tmp_path / "run").exists()


def test_ranks_that_see_another_order_do_not_begin(base: Config, photos: Path, tmp_path: Path) -> None:
    rows = [f"{photo},{photo.parent.name}" for photo in sorted(photos.rglob("*.png"))]
    for name, listed in (("one", rows), ("other", rows[::-1])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["path,label", *listed]))
    roots = {"0": str(tmp_path / "one.csv"), "1": str(tmp_path / "other.csv")}
    status, said = torchrun([{"config": asdict(base), "run": str(tmp_path / "run"), "roots": roots}], tmp_path)
    assert status
    assert re.search(r"the first that differs is \S*kind7/5\.png\. Give", said)
    assert "and tables in the same order" in said


def test_batch_norm_cannot_be_synchronised_on_a_cpu(base: Config, tmp_path: Path) -> None:
    loose = replace(base, model=replace(base.model, freeze_batch_norm=False))
    status, said = torchrun([{"config": asdict(loose), "run": str(tmp_path / "run")}], tmp_path)
    assert status
    assert "batch norm cannot be synchronised between processes on a CPU" in said


def test_a_machine_that_is_taken_away_saves_first(base: Config, tmp_path: Path) -> None:
    """As SLURM ends a job: SIGTERM to ``torchrun``, which hands it on. Both processes stop after the same step."""
    run = tmp_path / "run"
    long = replace(base, train=replace(base.train, epochs=500, checkpoint_minutes=0.0, precision="32"))
    process = begin([{"config": asdict(long), "run": str(run)}], tmp_path)
    while not (run / "last.ckpt").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[1]
    stopped = re.search(r"stopped at step (\d+) of 2000; the same command goes on from there", said)
    assert stopped, said[-2000:]
    assert checkpoint.load(run / "last.ckpt")["step"] == int(stopped[1])


@pytest.mark.parametrize(("total", "count"), [(9, 2), (64, 8), (3, 5), (0, 3)])
def test_shares_leave_nothing_out_and_nothing_twice(total: int, count: int) -> None:
    shares = [range(*bounds(total, number, count)) for number in range(count)]
    assert [row for share in shares for row in share] == list(range(total))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_what_is_the_same_each_time_may_multiply_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuBLAS is told before it begins; without that torch refuses its products."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    for deterministic in (False, True):
        join(TrainSettings(accelerator="cpu", deterministic=deterministic))
        assert (
            ("CUBLAS_WORKSPACE_CONFIG" in os.environ) == torch.are_deterministic_algorithms_enabled() == deterministic
        )
    torch.use_deterministic_algorithms(False)
