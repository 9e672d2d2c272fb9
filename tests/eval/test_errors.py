from eval.errors import InputError, unknown


def test_the_nearest_known_name_is_offered() -> None:
    assert str(unknown("loss", "arcfase", ["triplet", "arcface"])) == "unknown loss 'arcfase'; did you mean 'arcface'?"


def test_all_known_names_are_listed_where_none_is_near() -> None:
    assert str(unknown("loss", "zzz", {"triplet", "arcface"})) == "unknown loss 'zzz'; known: arcface, triplet"


def test_an_input_error_is_a_value_error() -> None:
    assert isinstance(unknown("loss", "x", []), InputError)
    assert issubclass(InputError, ValueError)
