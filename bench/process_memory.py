"""How much memory a process has, as Linux counts it."""

from pathlib import Path
from typing import Literal

Kind = Literal["VmRSS", "VmHWM", "RssAnon"]
"""What it has in memory, the most that it has had, and what of it is not of mapped files."""


def process_memory(kind: Kind, process: int | Literal["self"] = "self") -> int:
    """Bytes of a process; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{kind}:"))
