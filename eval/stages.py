"""Where the time goes: named stages of the work, in whatever thread it is done, as a table that adds up.

``with stage("decode"): ...`` costs next to nothing until ``profiled`` listens.
"""

import os
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

START, OTHER, TOTAL = "start Python, import", "other", "total"

Item = TypeVar("Item")

_NOTHING = nullcontext()


@dataclass(frozen=True)
class Stage:
    """One row of the table.

    Attributes:
        name: of the stage.
        seconds: of the command's own time.
        share: of all of it, in [0, 1].
        times: how often the stage was entered; 0 where it is what is left over.
    """

    name: str
    seconds: float
    share: float
    times: int


class Profile:
    """What has been spent on each stage.

    The table is of the time that passes, the main thread's. While it waits for other threads (``waiting``), its time
    is shared out among the stages that these work on, in proportion to the time that they spend on each.
    """

    def __init__(self, before: float = 0.0) -> None:
        """Begin.

        Args:
            before: seconds that the process has run already.
        """
        self._before = before
        self._began = time.perf_counter()
        self._main = threading.get_ident()
        self._lock = threading.Lock()
        self._open = threading.local()
        self._own: defaultdict[str, float] = defaultdict(float)
        self._others: defaultdict[str, float] = defaultdict(float)
        self._times: Counter[str] = Counter()
        self._waited = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block, less the stages in it."""
        own = [0.0]
        try:
            with self._timed(own):
                yield
        finally:
            with self._lock:
                spent = self._own if threading.get_ident() == self._main else self._others
                spent[name] += own[0]
                self._times[name] += 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Time a block of the main thread in which others work for it."""
        own = [0.0]
        try:
            with self._timed(own):
                yield
        finally:
            if threading.get_ident() == self._main:
                self._waited += own[0]

    @contextmanager
    def _timed(self, own: list[float]) -> Iterator[None]:
        """Time a block: ``own`` holds its seconds at the end, less those of blocks in it."""
        outer: list[float] | None = getattr(self._open, "inner", None)
        inner = [0.0]
        self._open.inner = inner
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            own[0] = spent - inner[0]
            self._open.inner = outer
            if outer is not None:
                outer[0] += spent

    def table(self) -> list[Stage]:
        """The stages in the order in which they first ended, an inner one before its outer, the rest, and the total."""
        total = self._before + time.perf_counter() - self._began
        working = sum(self._others.values())
        of_others = {name: spent / working * self._waited for name, spent in self._others.items()}
        seconds = {name: self._own.get(name, 0.0) + of_others.get(name, 0.0) for name in self._times}
        left = total - self._before - sum(seconds.values())
        rows = {START: self._before, **seconds, OTHER: left, TOTAL: total}
        return [Stage(name, spent, spent / total, self._times[name]) for name, spent in rows.items()]

    def __str__(self) -> str:
        """For people."""
        rows = self.table()
        wide = max(len(row.name) for row in rows)
        lines = [f"{'stage':{wide}}    seconds   share   times"]
        lines += [
            f"{row.name:{wide}} {row.seconds:10.3f}  {row.share:6.1%}  {row.times or '':>6}".rstrip() for row in rows
        ]
        return "\n".join(lines)


_profile: Profile | None = None


def stage(name: str) -> AbstractContextManager[None]:
    """Name what the block is about; it is timed, less the stages in it, where somebody has asked for that."""
    return _NOTHING if _profile is None else _profile.stage(name)


def awaited(name: str, items: Iterable[Item]) -> Iterator[Item]:
    """Yield the items; the stage is what it takes to get each."""
    rest = iter(items)
    while True:
        with stage(name):
            try:
                item = next(rest)
            except StopIteration:
                return
        yield item


def waiting() -> AbstractContextManager[None]:
    """Mark a block in which other threads work for this one."""
    return _NOTHING if _profile is None else _profile.waiting()


@contextmanager
def profiled(wanted: bool) -> Iterator[None]:
    """Print, at the end of the block, where the time went since the process began, if that is wanted."""
    global _profile  # noqa: PLW0603 (threads that others have started take part as well)
    if not wanted or _profile is not None:
        yield
        return
    _profile = Profile(before=_age())
    try:
        yield
        print(_profile, file=sys.stderr)
    finally:
        _profile = None


def _age() -> float:
    """For how many seconds this process has run; 0 where the system does not say."""
    try:
        with Path("/proc/self/stat").open("rb") as stat:
            began = int(stat.read().rpartition(b")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - began)
    except (OSError, ValueError, AttributeError):
        return 0.0
