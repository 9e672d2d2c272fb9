"""Labels are found however they are spelt in Unicode."""

import unicodedata

import pytest

from index.spellings import Spellings

COMPOSED, APART = "Grünspecht", "Gru\u0308nspecht"
SIGN = "\u212bngstr\u00f6m"  # the sign for ångström, which neither form keeps


@pytest.mark.parametrize("label", [COMPOSED, APART, SIGN, "Amsel"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_one_spelling_is_found_by_another(label, form):
    assert Spellings(["Amsel", "Elster", label]).find(unicodedata.normalize(form, label)) == label


def test_each_of_two_spellings_is_found_by_itself():
    both = Spellings([COMPOSED, APART])
    assert [both.find(COMPOSED), both.find(APART)] == [COMPOSED, APART]


def test_the_composed_one_is_meant_where_none_is_just_so():
    assert Spellings([SIGN, unicodedata.normalize("NFC", SIGN)]).find(unicodedata.normalize("NFD", SIGN)) == (
        unicodedata.normalize("NFC", SIGN)
    )


@pytest.mark.parametrize("other", ["amsel", "Amsel ", "", "Gru\u0308n"])
def test_what_is_spelt_otherwise_is_another_label(other):
    assert Spellings(["Amsel", COMPOSED, APART]).find(other) is None
