import platform
import subprocess
import sys

import pytest

from embedder import memory

SOME = """
import resource
from embedder.memory import keep_some_freed_memory
assert keep_some_freed_memory()
def faults(size):
    bytearray(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        bytearray(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(20_000_000), faults(60_000_000))
"""

PROGRAM = """
import resource, sys
from embedder.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
touch = lambda: b"x" * 50_000_000
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_freed_memory_is_used_again_without_new_pages() -> None:
    def page_faults(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, check=True).stdout)

    assert page_faults("keep") < page_faults("default") / 10


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_a_photo_s_memory_is_used_again_and_that_of_a_huge_one_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", SOME], capture_output=True, check=True)
    small, huge = map(int, done.stdout.split())
    assert small < 100
    assert huge > 5 * 60_000_000 / 2**21  # as many pages, at least, as there are of the largest kind


@pytest.mark.parametrize("libc", ["", "musl"])
def test_nothing_is_touched_elsewhere(libc: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: (libc, ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda *_: pytest.fail("called into the C library"))
    assert memory.keep_freed_memory() is False


TRIMMED = """
import re
from pathlib import Path
from embedder.memory import give_back_freed_memory, keep_some_freed_memory
keep_some_freed_memory()
held = lambda: int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
blocks, kept = [], []
for _ in range(20):
    blocks.append(bytearray(b"x" * 16_000_000))
    kept.append(bytearray(200_000))
del blocks
before = held()
assert give_back_freed_memory()
print(before, held())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has this setting")
def test_what_lies_between_is_given_back_when_it_is_asked_for() -> None:
    done = subprocess.run([sys.executable, "-c", TRIMMED], capture_output=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before - after > 10_000
