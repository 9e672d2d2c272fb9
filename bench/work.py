"""How much dearer a step of training or a query is than another one, in seconds of the processor, turn by turn."""

import time
from pathlib import Path

import numpy as np
from PIL import Image

STEPS, WARM = 24, 4
"""Steps of which the work is measured, spread over the run, and how many more before them warm up, spread alike."""

PHOTOS = 64
"""Embedded to measure the work of a query."""


def compare_steps(*sides: list[str]) -> float:
    """Take steps of two runs in turn; return how much dearer the second's are."""
    from bench.recipes import recipe
    from embedder.data.loading import make_loader
    from embedder.data.photos import EpochBatches
    from embedder.log import SilentLog
    from embedder.trainer import Trainer

    runs = []
    for arguments in sides:
        run = Trainer(recipe(*arguments), Path("nowhere"))
        run.log = SilentLog([])
        runs.append((run, iter(make_loader(run.data.views, EpochBatches(run.sampler, 0, WARM + STEPS)))))
    work = np.zeros((WARM + STEPS, len(runs)))
    for number in range(WARM + STEPS):
        for side, (run, batches) in enumerate(runs):
            run.step = run.steps * number // WARM if number < WARM else run.steps * (number - WARM) // STEPS
            began = time.process_time()
            run._step(*next(batches))
            work[number, side] = time.process_time() - began
    base, technique = work[WARM:].sum(axis=0)
    return float(technique / base)


def query_work(embedder: Path, base: Path) -> float:
    """How much dearer it is to embed a photo than by the base recipe's embedder; 1 where both compute the same."""
    from embedder import Embedder

    if steps_of(embedder) == steps_of(base):
        return 1.0
    sides = [Embedder.open(one).on_one_core for one in (base, embedder)]  # a second core would spin, which counts
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8))
    work = np.zeros((PHOTOS, len(sides)))
    for number in range(PHOTOS):
        for side, one in enumerate(sides):
            began = time.process_time()
            one.embed([photo])
            work[number, side] = time.process_time() - began
    of_base, of_embedder = work.min(axis=0)  # others on the machine only add
    return float(of_embedder / of_base)


def steps_of(embedder: Path) -> list[list[str]]:
    """What an embedder computes, and of photos of which size, whatever its weights are."""
    import onnx

    graph = onnx.load(embedder).graph
    photos = [[str(one.type)] for one in graph.input]
    weights = [[str(one.data_type), *map(str, one.dims)] for one in graph.initializer]
    return [*photos, *([node.op_type, *map(str, node.attribute)] for node in graph.node), *weights]
