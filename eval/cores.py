"""How many cores there are to work with."""

import os
import sys
from pathlib import Path


def available_cores() -> int:
    """Cores that this process may use.

    These can be fewer than the machine has: those that it is bound to, no more than the time that its container is
    given, and shared with the processes that ``torchrun`` has started beside it (LOCAL_WORLD_SIZE).
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    beside = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, min(bound, _quota()) // (int(beside) if beside.isdecimal() and int(beside) else 1))


def _quota(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Cores' worth of time that a Linux container is given, at least 1; very many where nothing says so."""
    try:
        quota, period = file.read_text(encoding="ascii").split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return sys.maxsize
