"""Teaching on the page: labels are found, photos become references, and what was taught is taken back."""

import io

import pytest
from PIL import Image

from tests.index.web.conftest import (
    KNOWN,
    NEW,
    PHONE,
    answering,
    drop,
    file,
    give_token,
    having_taught,
    holding,
    name,
    needs_chromium,
    remove,
    settled,
    teach,
)

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = needs_chromium

NEIGHBOUR = {"rank": 1, "id": "1", "label": "b", "similarity": 1.0, "same_photo": False, "path": None}


def test_what_is_taught_is_recognised_in_another_photo(site, birds, window):
    page = window(site)
    drop(page, file(birds, NEW))
    teach(page, NEW)
    give_token(page)
    page.get_by_text("1 photo added").wait_for()
    again = io.BytesIO()
    Image.open(file(birds, NEW)).resize((120, 120)).save(again, "JPEG")
    drop(page, ("later.jpg", again.getvalue()))
    expect(page.locator("#evidence h3").first).to_have_text(NEW)
    remove(page, site, NEW)


def test_undo_is_there_until_it_is_used(site, birds, window):
    page = window(site)
    taught, other = file(birds, NEW), file(birds, KNOWN[0])
    drop(page, ("azure.jpg", taught.read_bytes()))
    teach(page, NEW)
    give_token(page)
    page.get_by_text(f"1 photo added to the references of {NEW}: azure.jpg.").wait_for()
    drop(page, other)
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back").wait_for()
    settled(page)
    drop(page, taught)
    assert page.get_by_text("Taken back").count() == 0
    assert name(page) != NEW


def test_what_was_there_already_leaves_nothing_to_take_back(site, birds, window):
    """The change before it is somebody else's."""
    page = having_taught(window, site, birds)
    page.reload()
    drop(page, file(birds, NEW))
    teach(page, NEW)
    page.get_by_text("1 photo had been a reference of").wait_for()
    assert page.get_by_role("button", name="Undo").count() == 0
    remove(page, site, NEW)


def test_what_one_has_taught_can_be_taken_back_though_it_is_taught_again(site, birds, window):
    page = having_taught(window, site, birds)
    teach(page, NEW)
    page.get_by_text("1 photo had been a reference of").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back").wait_for()


def test_enter_teaches_once_and_not_while_something_is_being_written(site, birds, window):
    page = window(site)
    page.evaluate("() => { Fieldmark.withToken = (then) => then('token'); }")
    held = holding(page, "**/references")
    drop(page, file(birds, NEW))
    field = page.get_by_label("This is a")
    field.fill(NEW)
    field.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    page.wait_for_timeout(100)
    assert not held
    for _ in range(2):
        field.press("Enter")
    page.wait_for_timeout(100)
    assert len(held) == 1
    held[0].fulfill(json={"generation": 9, "added": 0, "already_there": 1, "relabelled": 0, "ids": []})
    page.get_by_text("had been a reference").wait_for()


def test_suggestions_are_scrolled_by_a_finger_and_taken_by_a_tap(site, birds, window):
    page = window(site, **PHONE)
    drop(page, file(birds, NEW))
    field = page.get_by_label("This is a")
    field.tap()
    option = page.get_by_role("option").first
    option.wait_for()
    option.dispatch_event("pointerdown", {"pointerType": "touch", "bubbles": True})
    assert field.input_value() == ""
    label = option.get_attribute("title")
    option.tap()
    assert field.input_value() == label
    assert page.get_by_role("option").count() == 0


def test_a_reference_that_is_the_photo_itself_is_given_another_label(site, birds, window):
    page, changed = window(site, refused=True), []
    page.evaluate("() => { Fieldmark.withToken = (then) => then('token'); }")
    answering(page, neighbours=[{**NEIGHBOUR, "same_photo": True}])

    def answer(route):
        if route.request.method == "PATCH":
            changed.append((route.request.url, route.request.post_data))
            return route.fulfill(json={"generation": 9})
        return route.fulfill(status=409, json={"error": "a photo is there already as 'b'; rename that reference"})

    page.route("**/references**", answer)
    drop(page, file(birds, NEW))
    teach(page, NEW)
    page.get_by_role("button", name="Change its label").click()
    page.get_by_text(f"The reference is one of {NEW} now.").wait_for()
    settled(page)
    ((url, sent),) = changed
    assert "/references/1?label=b" in url
    assert "Azure" in sent


def test_labels_are_suggested_however_many_there_are(site, birds, window):
    page = window(site)
    drop(page, file(birds, NEW))
    many = [{"label": f"{NEW} {number}", "references": 3} for number in range(8)]

    def answer(route):
        asked = "exact" in route.request.url
        exact = {"label": f"{NEW} exact", "references": 1} if asked else None
        route.fulfill(json=route.fetch().json() | {"labels": many, "exact": exact})

    page.route("**/labels?*", answer)
    page.get_by_label("This is a").press_sequentially(NEW)
    expect(page.get_by_role("option")).to_have_count(9)
    assert "a new label" in page.get_by_role("option").last.inner_text()
    page.get_by_label("This is a").press_sequentially(" exact")
    expect(page.get_by_role("option").first).to_contain_text(f"{NEW} exact")
    expect(page.get_by_role("option")).to_have_count(9)


def test_whoever_types_a_label_goes_on_when_an_answer_comes(site, birds, window):
    page = window(site)
    drop(page, file(birds, NEW))
    held = holding(page, "**/search")
    page.get_by_role("button", name="Mark the subject").click()
    with page.expect_request("**/search"):
        page.keyboard.press("ArrowLeft")
    page.get_by_label("This is a").click()
    page.keyboard.type(NEW[:5])
    held.pop().continue_()
    settled(page)
    page.keyboard.type(NEW[5:])
    expect(page.get_by_label("This is a")).to_have_value(NEW)
    assert page.locator(".verdict .name").count() == 1
