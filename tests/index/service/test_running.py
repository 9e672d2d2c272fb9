"""What the routes share: work that may take minutes."""

import subprocess
import sys

from tests.index.service.conftest import ROOT

LEFT_ALONE = """
import asyncio, threading, time
from index.service.running import Service
service = Service.__new__(Service)
service._long = threading.Lock()

async def main():
    assert await service.take_long(lambda: 1) == 1
    try:
        await asyncio.wait_for(service.take_long(time.sleep, 60), 0.2)
    except TimeoutError:
        print("given up")

asyncio.run(main())
"""


def test_long_work_keeps_nobody_from_stopping():
    words = [sys.executable, "-c", LEFT_ALONE]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=30, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "given up\n"), done.stderr
