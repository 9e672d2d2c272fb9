"""What ``torchrun`` says of this process, in the environment; nothing heavy is imported to hear it."""

import os

from eval.errors import InputError


def rank_of() -> tuple[int, int]:
    """The number of this process and how many there are: RANK and WORLD_SIZE, 0 of 1 where there is no word of it.

    Raises:
        InputError: they are something else than two numbers that fit.
    """
    rank, of = (os.environ.get(name, default) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1")))
    if not (rank.isdecimal() and of.isdecimal() and int(rank) < int(of)):
        raise InputError(f"RANK is {rank} and WORLD_SIZE {of}; they must be a number below the other one")
    return int(rank), int(of)


def is_one_of_several() -> bool:
    """Whether ``torchrun`` has started this process and others.

    Raises:
        InputError: something else has, of which nothing is known but that there are several.
    """
    _, several = rank_of()
    if several > 1 and "TORCHELASTIC_RUN_ID" not in os.environ:
        raise InputError(
            f"WORLD_SIZE is {several}, but it is not torchrun that has started this; start a training of several "
            "processes by torchrun, and a single one without WORLD_SIZE"
        )
    return several > 1


def is_first() -> bool:
    """Whether it is the only process of its command, or the one of several that reads, writes and speaks."""
    return not is_one_of_several() or rank_of()[0] == 0
