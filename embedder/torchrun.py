"""What ``torchrun`` says of this process, in the environment; nothing heavy is imported to hear it."""

import os

from eval.errors import InputError


def is_one_of_several() -> bool:
    """Whether ``torchrun`` has started this process and others.

    Raises:
        InputError: something else has, of which nothing is known but that there are several.
    """
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    if several and "TORCHELASTIC_RUN_ID" not in os.environ:
        raise InputError(
            f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but it is not torchrun that has started this; start a training "
            "of several processes by torchrun, and a single one without WORLD_SIZE"
        )
    return several


def is_first() -> bool:
    """Whether it is the only process of its command, or the one of several that reads, writes and speaks."""
    return not is_one_of_several() or os.environ["RANK"] == "0"
