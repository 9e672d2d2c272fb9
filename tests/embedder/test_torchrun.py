import pytest

from embedder.torchrun import is_first, is_one_of_several
from eval.errors import InputError


@pytest.mark.parametrize(
    ("rank", "of", "several", "first"), [("0", "1", False, True), ("0", "2", True, True), ("1", "2", True, False)]
)
def test_what_torchrun_says(monkeypatch: pytest.MonkeyPatch, rank: str, of: str, several: bool, first: bool) -> None:
    for name, value in {"RANK": rank, "WORLD_SIZE": of, "TORCHELASTIC_RUN_ID": "none"}.items():
        monkeypatch.setenv(name, value)
    assert (is_one_of_several(), is_first()) == (several, first)


def test_a_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    assert (is_one_of_several(), is_first()) == (False, True)


def test_others_that_start_several_are_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    with pytest.raises(InputError, match=r"WORLD_SIZE is 4, but it is not torchrun that has started this"):
        is_first()
