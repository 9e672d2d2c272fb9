"""The exact k nearest with the matrix product on a GPU: the same result as ``eval.neighbours``, to the last bit.

The device finds candidates by rough similarities, and their exact ones are computed here. PyTorch is taken only when
this is asked for; no room of this floor imports it.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.errors import InputError
from eval.neighbours import Neighbours, cut, k_best_of
from eval.similarity import slack

Vectors = NDArray[np.float32]
Numbers = NDArray[np.int64]

BLOCK_VALUES = 1 << 28
"""Similarities held at once on the device: 1 GB."""

SPARE = 32
"""Candidates beyond k that the device is asked for at first."""


def nearest_on_device(
    queries: Vectors, references: Vectors | None, k: Numbers, device: str, block: int | None = None
) -> Iterator[Neighbours]:
    """Yield the ``k`` [Q] nearest references of each query, one block of queries after the other.

    Args:
        queries: ``[Q, D]``, of unit length.
        references: ``[N, D]``, of unit length; none for a set that searches itself, where no row finds itself.
        k: of each query, at least 1; a block has as many columns as its largest.
        device: a device of PyTorch's, such as ``cuda``.
        block: queries compared at once; none for as many as ``BLOCK_VALUES`` allows. It does not change the result.

    Raises:
        InputError: there is no such device.
    """
    torch = _torch(device)
    targets = queries if references is None else references
    there = torch.from_numpy(np.ascontiguousarray(targets)).to(device)
    block = block or max(1, BLOCK_VALUES // len(targets))
    for start in range(0, len(queries), block):
        few = queries[start : start + block]
        rough = _products(torch, torch.from_numpy(np.ascontiguousarray(few)).to(device), there)
        if references is None:
            rough[:, start : start + block].fill_diagonal_(-torch.inf)
        wanted = k[start : start + block]
        yield cut(_k_best(torch, rough, few, targets, int(wanted.max())), wanted)


def _torch(device: str) -> Any:
    """PyTorch, if it can use the device."""
    torch = import_module("torch")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"device {device} cannot be used: PyTorch sees no GPU here; leave it out to compute on the CPU"
        )
    return torch


def _products(torch: Any, queries: Any, targets: Any) -> Any:
    """The products of all with all, in whole float32, as the bound on errors needs, whatever is set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        return queries @ targets.T
    finally:
        torch.set_float32_matmul_precision(before)


def _k_best(torch: Any, rough: Any, queries: Vectors, targets: Vectors, k: int) -> Neighbours:
    """The k best of each row of rough similarities [q, N] on the device, told apart by their exact ones."""
    kept = min(k + SPARE, len(targets))
    best = torch.topk(rough, kept, dim=1)
    values, rows = best.values.cpu().numpy(), best.indices.cpu().numpy()
    floor = values[:, k - 1, None] - slack(queries.shape[1]) if k <= kept else np.full((len(values), 1), -2, np.float32)
    floor = np.maximum(floor, np.float32(-2))  # below it lies only what takes no part
    query, place = np.nonzero(values >= floor)
    row = rows[query, place]
    # Where even the last candidate may be as near as the k-th there are more: look at the whole row.
    undecided = np.flatnonzero(values[:, -1:] >= floor) if kept < len(targets) else np.empty(0, np.int64)
    if len(undecided):
        settled = ~np.isin(query, undecided)
        whole = rough[torch.from_numpy(undecided).to(rough.device)].cpu().numpy()
        number, column = np.nonzero(whole >= floor[undecided])
        query, row = np.concatenate([query[settled], undecided[number]]), np.concatenate([row[settled], column])
    return k_best_of(queries, targets, query, row, k)
