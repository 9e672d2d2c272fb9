"""ONNX Runtime writes nothing of what it does, and sends nothing away."""

import os
import subprocess
import sys

from tests.index.conftest import write_embedder

SCRIPT = """
import sys
from pathlib import Path
from {module}
from embedder.runtime import open_session
open_session(Path(sys.argv[1]))
"""


def test_nothing_is_written_into_the_home_folder(tmp_path):
    write_embedder(tmp_path / "embedder.onnx", "tiny")
    for module in ("embedder import Embedder", "embedder.gpu import on_gpu", "index.search import Index"):
        environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
        environment |= {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "home" / "cache")}
        (tmp_path / "home").mkdir(exist_ok=True)
        words = [sys.executable, "-c", SCRIPT.format(module=module), str(tmp_path / "embedder.onnx")]
        subprocess.run(words, check=True, env=environment)
        assert [path for path in (tmp_path / "home").rglob("*") if "onnxruntime" in path.name] == []
