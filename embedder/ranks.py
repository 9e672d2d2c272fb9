"""The processes of one training, one a device: ``torchrun`` starts them, on one machine or several; here they speak.

What speaks to others is called by all of them, in the same order. A single process is rank 0 of 1, and speaks to none.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, NoReturn, TypeVar, cast

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from embedder.config import TrainSettings
from embedder.memory import keep_freed_memory
from embedder.torchrun import is_one_of_several
from eval.errors import AlreadySaid, InputError, first_line

Result = TypeVar("Result")
Item = TypeVar("Item")
Precision = Literal["32-true", "bf16-mixed"]

PATIENCE = timedelta(hours=1)
"""How long a rank waits for the others, who may be validating. Of one that has died ``torchrun`` tells at once."""


@dataclass(frozen=True)
class Ranks:
    """This process among all those of a training.

    Attributes:
        rank: its number.
        count: how many there are.
        machine: the number of its machine.
        local: its number on its machine.
        local_count: how many there are on its machine.
        device: where its tensors are.
    """

    rank: int = 0
    count: int = 1
    machine: int = 0
    local: int = 0
    local_count: int = 1
    device: str = "cpu"

    @property
    def first(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0

    @property
    def name(self) -> str:
        """What it is called in errors."""
        return f"rank {self.rank} on {socket.gethostname()}"

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """The items that are this rank's: one run of them, in order; no item is another's, and none is left out."""
        start, stop = bounds(len(items), self.rank, self.count)
        return items[start:stop]

    def exchange(self, value: Result) -> list[Result]:
        """Everyone's value, in the order of ranks; any that can be pickled."""
        if self.count == 1:
            return [value]
        values: list[Any] = [None] * self.count
        dist.all_gather_object(values, value)
        return values

    def together(self, work: Callable[[], Result]) -> Result:
        """What ``work`` returns here, once it has been done everywhere.

        Raises:
            InputError: on the first rank, with the first reason for which it has failed on any.
            AlreadySaid: on the others, which leave the speaking to the first.
        """
        if self.count == 1:
            return work()
        result, fault = None, None
        try:
            result = work()
        except InputError as error:
            fault = str(error)
        faults = [(name, fault) for name, fault in self.exchange((self.name, fault)) if fault is not None]
        if faults:
            kind = InputError if self.first else AlreadySaid
            raise kind(faults[0][1] if len(faults) == self.count else ": ".join(faults[0]))
        return cast(Result, result)

    def from_first(self, work: Callable[[], Result]) -> Result:
        """What ``work`` returns on the first rank, which alone does it; fails as ``together`` does."""
        results: list[Any] = [self.together(work if self.first else lambda: None)]
        if self.count > 1:
            dist.broadcast_object_list(results, 0)
        return cast(Result, results[0])

    def on_this_machine(self, work: Callable[[Sequence[int]], list[Result]], count: int) -> list[Result]:
        """What ``work`` gives for the numbers from 0 to ``count`` less 1, of which each rank of a machine does some."""
        start, stop = bounds(count, self.local, self.local_count)
        shares = self.exchange((self.machine, work(range(start, stop))))
        return [result for machine, share in shares if machine == self.machine for result in share]

    def any(self, *flags: bool) -> list[bool]:
        """Of each flag, whether anyone's is set."""
        if self.count == 1:
            return [*flags]
        anyone = self.reduced(torch.tensor(flags, dtype=torch.int32, device=self.device), dist.ReduceOp.MAX)
        return [bool(flag) for flag in anyone.tolist()]

    def wait(self) -> None:
        """Go on when all ranks have come here."""
        self.any(False)

    def gather(self, own: Tensor, total: int) -> Tensor:
        """The rows [B, ...] that ranks hold shares of, as ``share`` deals them out.

        What follows is computed by every rank alike, so of its gradient each takes that of its own rows, and nothing
        needs to be sent back. It is multiplied by the number of ranks, over whom the network's gradients are averaged
        afterwards: the average is then that of one process with all the rows.

        Args:
            own: this rank's [b, ...].
            total: B.
        """
        if self.count == 1:
            return own
        gathered: Tensor = _Gathered.apply(own, self, total)
        return gathered

    def collect(self, rows: Tensor) -> Tensor | None:
        """Everyone's rows, one after another, on the CPU of the first rank; nothing on the others."""
        if self.count == 1:
            return rows.cpu()
        parts: list[Any] | None = [None] * self.count if self.first else None
        dist.gather_object(rows.cpu(), parts, 0)
        return torch.cat(cast(list[Tensor], parts)) if self.first else None

    def reduced(self, own: Tensor, how: dist.ReduceOp.RedOpType = dist.ReduceOp.SUM) -> Tensor:
        """Everyone's tensors as one, without a graph."""
        total = own.detach().clone()
        if self.count > 1:
            dist.all_reduce(total, how)
        return total

    def mean_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Average the gradients of what no ``DistributedDataParallel`` looks after."""
        for parameter in parameters:
            if self.count > 1 and parameter.grad is not None:
                dist.all_reduce(parameter.grad)
                parameter.grad /= self.count

    def align(self, parameters: Iterable[Tensor]) -> None:
        """Give every rank the first one's values."""
        for parameter in parameters:
            if self.count > 1:
                dist.broadcast(parameter.data, 0)

    def explain(self, error: Exception) -> NoReturn:
        """End this rank with the reason of its failure, its own or that another one is gone.

        Raises:
            InputError: says which rank it was, or that it was another one.
        """
        if self.count == 1 or isinstance(error, AlreadySaid):
            raise error
        if isinstance(error, InputError):
            raise InputError(f"{self.name}: {error}") from None
        text = str(error)
        if isinstance(error, dist.DistError) or "gloo" in text.lower() or "nccl" in text.lower():
            raise InputError(
                f"{self.name} has lost the others ({first_line(text)}); where one of them has ended, it gives the "
                "reason itself. The same command goes on from the last checkpoint"
            ) from error
        raise error


class _Gathered(torch.autograd.Function):
    """Everyone's rows; see ``Ranks.gather``."""

    @staticmethod
    def forward(context: Any, own: Tensor, ranks: Ranks, total: int) -> Tensor:
        shares = [bounds(total, number, ranks.count) for number in range(ranks.count)]
        context.count, (context.start, context.stop) = ranks.count, shares[ranks.rank]
        padded = own.new_zeros((-(-total // ranks.count), *own.shape[1:]))  # all that is sent must be equally long
        padded[: len(own)] = own
        everyone = [torch.empty_like(padded) for _ in shares]
        dist.all_gather(everyone, padded)
        return torch.cat([rows[: stop - start] for rows, (start, stop) in zip(everyone, shares, strict=True)])

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return gradients[0][context.start : context.stop] * context.count, None, None


def bounds(total: int, number: int, count: int) -> tuple[int, int]:
    """Where the share of one of ``count`` begins and ends among ``total``, as evenly as can be."""
    return number * total // count, (number + 1) * total // count


ALONE = Ranks()
"""A process that trains by itself."""


def join(train: TrainSettings) -> tuple[Fabric, Ranks]:
    """Take this process's place among the ranks; the first of the two has its device and precision.

    Raises:
        InputError: the accelerator cannot be used here.
    """
    on_cuda = train.accelerator in ("auto", "cuda") and torch.cuda.is_available()
    in_hardware = on_cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    bf16 = train.precision == "bf16" or (train.precision == "auto" and in_hardware)
    if train.deterministic:  # without it cuBLAS has no deterministic products and torch refuses them
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    precision: Precision = "bf16-mixed" if bf16 else "32-true"
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # its greetings
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    try:
        if is_one_of_several():
            here = int(os.environ["LOCAL_WORLD_SIZE"])
            if on_cuda and here > torch.cuda.device_count():
                raise InputError(f"there are {here} processes here and {torch.cuda.device_count()} GPUs; start as many")
            fabric = Fabric(
                accelerator=train.accelerator,
                strategy=DDPStrategy(timeout=PATIENCE),
                devices=here,
                num_nodes=int(os.environ["WORLD_SIZE"]) // here,
                precision=precision,
            )
        else:
            fabric = Fabric(accelerator=train.accelerator, devices=1, precision=precision)
        fabric.launch()
    except InputError:
        raise
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        cannot = "the processes do not find each other, or " if is_one_of_several() else ""
        named = f"{cannot}train.accelerator {train.accelerator} cannot be used here"
        raise InputError(f"{named}: {first_line(str(error))}") from None
    if fabric.device.type == "cpu":
        keep_freed_memory()
    torch.use_deterministic_algorithms(train.deterministic)
    if fabric.world_size == 1:
        return fabric, Ranks(device=str(fabric.device))
    local = fabric.local_rank, int(os.environ["LOCAL_WORLD_SIZE"])
    return fabric, Ranks(fabric.global_rank, fabric.world_size, fabric.node_rank, *local, str(fabric.device))
