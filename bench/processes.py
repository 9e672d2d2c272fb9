"""Work in processes of its own."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def run_module(folder: Path, arguments: list[Any]) -> None:
    """Run one command; what it says goes into the folder's ``said.txt``."""
    with (folder / "said.txt").open("a") as said:
        subprocess.run([sys.executable, "-m", *map(str, arguments)], check=True, stdout=said, stderr=said)


def in_a_process(module: str, *way: object, python: str = sys.executable) -> Any:
    """What a script measures of one way, given its own options besides: the last line that it prints, as JSON."""
    command = [python, "-m", module, *sys.argv[1:], "--way", *map(str, way)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()[-1])
