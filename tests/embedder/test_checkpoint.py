from pathlib import Path

import pytest
import torch

from embedder import checkpoint
from eval.errors import InputError


def test_round_trip(tmp_path: Path) -> None:
    state = {"weights": {"a": torch.arange(3.0)}, "rows": [{"loss": 1.5}], "best": float("-inf"), "none": None}
    checkpoint.save(tmp_path / "last.ckpt", state)
    read = checkpoint.load(tmp_path / "last.ckpt")
    assert torch.equal(read.pop("weights")["a"], torch.arange(3.0))
    assert read == {"format": 1, "rows": [{"loss": 1.5}], "best": float("-inf"), "none": None}


@pytest.mark.parametrize("size", [0, 1, 100, 600])
def test_a_truncated_file_says_so(tmp_path: Path, size: int) -> None:
    path = tmp_path / "last.ckpt"
    checkpoint.save(path, {"weights": torch.arange(100.0)})
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"last\.ckpt cannot be read"):
        checkpoint.load(path)


def test_nothing_in_the_file_is_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (Path.touch, (tmp_path / "was here",))

    torch.save({"format": 1, "evil": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(InputError):
        checkpoint.load(tmp_path / "evil.ckpt")
    assert not (tmp_path / "was here").exists()


def test_other_files_and_newer_formats_are_refused(tmp_path: Path) -> None:
    torch.save({"weights": 1}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="not a checkpoint"):
        checkpoint.load(tmp_path / "other.ckpt")
    checkpoint.save(tmp_path / "newer.ckpt", {"format": 99})
    with pytest.raises(InputError, match="was written by a newer Fieldmark"):
        checkpoint.load(tmp_path / "newer.ckpt")
