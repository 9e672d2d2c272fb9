import pytest

from eval.errors import InputError, unknown


def test_the_nearest_known_name_is_offered() -> None:
    assert str(unknown("loss", "arcfase", ["triplet", "arcface"])) == "unknown loss 'arcfase'; did you mean 'arcface'?"


def test_all_known_names_are_listed_where_none_is_near() -> None:
    assert str(unknown("loss", "zzz", {"triplet", "arcface"})) == "unknown loss 'zzz'; known: arcface, triplet"


def test_of_very_many_names_some_are_listed_and_none_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """That would take minutes."""
    message = str(unknown("label", "zzz", [f"{number:06}" for number in range(200)]))
    assert message.endswith("000098, 000099 and 100 more")
    monkeypatch.delattr("eval.errors.get_close_matches")
    assert "did you mean" not in str(unknown("label", "000001x", [f"{number:06}" for number in range(300_000)]))


def test_an_input_error_is_a_value_error() -> None:
    assert isinstance(unknown("loss", "x", []), InputError)
    assert issubclass(InputError, ValueError)
