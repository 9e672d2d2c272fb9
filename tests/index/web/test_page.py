"""The page, as a person uses it: in Debian's Chromium, over a service of its own.

FIELDMARK_SCREENSHOTS names a folder for a picture of each step of the walk, and FIELDMARK_BIRDS an index of drawn birds
to take the walk through (that of the demo makes the better pictures); else they are of a tiny network's answers.
"""

import pytest

from tests.index.web.conftest import (
    KNOWN,
    MAP,
    NEW,
    PHONE,
    TOKEN,
    answering,
    complete,
    drop,
    file,
    give_token,
    name,
    needs_chromium,
    settled,
    teach,
    violations,
)

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = needs_chromium


def test_the_walk(site, birds, window, shot):
    page = window(site)
    page.wait_for_selector(".ask .tiles img")
    shot(page, "1-start")
    assert violations(page) == []

    drop(page, file(birds, KNOWN[0]))
    assert page.locator(".verdict .sure").inner_text()
    assert page.locator("#evidence .tile").count() == 10
    shot(page, "2-answer")
    assert violations(page) == []

    page.locator("#evidence button.frame").first.click()
    page.wait_for_selector(".sides canvas")
    page.wait_for_selector("#rival canvas")
    shot(page, "3-why")
    assert page.locator(".lead strong").inner_text().startswith("0.")
    page.locator(".sides canvas").first.focus()
    page.keyboard.press("ArrowUp")
    assert "of your photo adds" in page.locator(".readout-line").inner_text()
    shot(page, "4-places")
    assert violations(page) == []

    page.go_back()
    assert name(page)  # the answer is still there
    drop(page, file(birds, NEW))
    assert name(page) != NEW
    teach(page, NEW)
    page.get_by_label("Token", exact=True).last.fill(TOKEN)
    assert violations(page) == []
    page.get_by_role("button", name="Go on").click()
    page.get_by_text(f"1 photo added to the references of {NEW}").wait_for()
    expect(page.locator(".verdict .name")).to_have_text(NEW)
    assert "It has no vote on itself. By the others it" in page.locator(".verdict").inner_text()
    shot(page, "5-taught")
    assert violations(page) == []

    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back").wait_for()
    expect(page.locator(".verdict .name")).not_to_have_text(NEW)
    shot(page, "6-undone")


def test_text_that_is_pasted_with_its_picture_stays_text(site, birds, window):
    page = window(site, refused=True)
    drop(page, ("mine.png", file(birds, NEW).read_bytes()))
    paste = """(element, text) => {
        const data = new DataTransfer();
        if (text) data.setData("text/plain", text);
        data.items.add(new File([new Uint8Array(9)], "cell.png", { type: "image/png" }));
        const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true });
        return element.dispatchEvent(event);
    }"""
    field = page.get_by_label("This is a")
    assert field.evaluate(paste, NEW)  # it is the field's
    assert page.get_by_alt_text("Your photo, mine.png").is_visible()
    assert not field.evaluate(paste, "")
    page.get_by_text("Choose another photo").wait_for()  # nine zeros are none


def test_a_phone_is_told_of_fingers_and_reaches_what_it_needs(site, birds, window):
    page = window(site, **PHONE)
    for words in ("Drop a photo", "or paste one"):
        assert not page.get_by_text(words).first.is_visible(), words
    assert page.get_by_text("Take or choose a photo.").is_visible()
    drop(page, file(birds, NEW))
    sides = [page.locator(one).bounding_box()["width"] for one in (".subject", ".answer")]
    assert sides[0] == sides[1]
    page.get_by_role("button", name="Mark the subject").click()
    assert page.get_by_text("with your finger").is_visible()
    assert not page.get_by_text("arrow keys").is_visible()
    settled(page)
    page.get_by_label("This is a").click()
    page.get_by_role("option").first.wait_for()
    button = page.get_by_role("button", name="Teach", exact=True)
    top = """(button) => {
        const { left, top, width, height } = button.getBoundingClientRect();
        return document.elementFromPoint(left + width / 2, top + height / 2) === button;
    }"""
    button.scroll_into_view_if_needed()
    assert button.evaluate(top)  # with the suggestions open
    assert page.get_by_role("option").first.is_visible()
    page.get_by_label("This is a").press_sequentially(NEW)
    button.click()
    page.get_by_role("dialog").wait_for()


def test_the_list_of_routes_looks_as_the_page_and_leads_back(site, window):
    page = window(site, viewport={"width": 390, "height": 844})
    page.get_by_role("button", name="Change to dark colours").click()
    page.goto(f"{site}/docs")
    page.get_by_role("heading", name="DELETE /references/{id}").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    cut = "[...document.querySelectorAll('pre')].filter((one) => one.scrollWidth > one.clientWidth).length"
    assert page.evaluate(cut) == 0
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert violations(page) == []
    page.get_by_role("link", name="To the page").click()
    page.get_by_role("heading", name="What is this?").wait_for()


def informing(page, **told):
    """Let the service say otherwise of itself."""
    page.route("**/info", lambda route: route.fulfill(json=route.fetch().json() | told))
    page.reload()
    page.wait_for_selector("#foot p")


def test_a_service_that_does_not_learn_says_only_that(site, birds, window):
    page = window(site)
    service = page.evaluate("Fieldmark.ask.info.service")
    informing(page, service=service | {"edit": False})
    drop(page, file(birds, NEW))
    page.get_by_text("This service does not change its index.").wait_for()
    assert page.get_by_text("Teach it").count() == 0


def test_every_view_can_be_used_by_everybody_and_on_a_phone(site, birds, window):
    page = window(site, viewport={"width": 360, "height": 740}, color_scheme="dark")
    drop(page, file(birds, NEW))
    page.goto(f"{site}/#/map")
    page.get_by_text("This index has no map yet").wait_for()
    assert violations(page) == []
    page.route("**/map", lambda route: route.fulfill(json=MAP))
    page.evaluate("Fieldmark.ask.info.map = true")
    for view in ("", "browse", f"browse/{KNOWN[0]}", "review", "map"):
        page.goto(f"{site}/#/{view}")
        complete(page)
        assert violations(page) == [], view
        assert page.evaluate("document.documentElement.scrollWidth") == 360, view
    assert page.locator(".map canvas").count() == 1


def test_a_box_is_drawn_with_the_mouse_and_moved_by_keys(site, birds, window):
    page = window(site)
    drop(page, file(birds, KNOWN[0]))
    page.evaluate(
        """() => {
            const ask = window.fetch;
            window.fetch = (path, init) => {
                if (path === "/search") window.box = init.body.get("box");
                return ask(path, init);
            };
        }"""
    )
    seen = page.locator(".subject").bounding_box()
    at = lambda x, y: (seen["x"] + x * seen["width"], seen["y"] + y * seen["height"])  # noqa: E731 - it is short
    with page.expect_response("**/search"):
        page.mouse.move(*at(0.25, 0.5))
        page.mouse.down()
        page.mouse.move(*at(0.75, 0.9))
        page.mouse.up()
    assert page.evaluate("box") == "40,80,120,144"
    page.get_by_role("button", name="Mark the subject").click()
    assert violations(page) == []
    with page.expect_response("**/search"):
        page.keyboard.press("ArrowLeft")
    assert page.evaluate("box") == "37,80,117,144"
    with page.expect_response("**/search"):
        page.get_by_role("button", name="Whole photo").click()
    assert page.evaluate("box") is None
    page.evaluate("window.box = 'not asked'")
    page.get_by_role("button", name="Mark the subject").click()
    page.wait_for_timeout(900)
    assert page.evaluate("box") == "not asked"  # until somebody changes the box that is offered
    with page.expect_response("**/search"):
        page.mouse.move(*at(0.3, 0.4))  # inside of it, where a drag draws another one
        page.mouse.down()
        page.mouse.move(*at(0.7, 0.75))
        page.mouse.up()
    assert page.evaluate("box") == "48,64,112,120"


def test_a_box_is_of_the_photo_that_it_was_drawn_on(site, birds, window):
    """Another photo has come before the box was asked about."""
    page, boxes = window(site), []

    def heard(request):
        if request.url.endswith("/search"):
            boxes.append('name="box"' in (request.post_data_buffer or b"").decode("latin-1"))

    page.on("request", heard)
    drop(page, file(birds, KNOWN[0]))
    settled(page)
    page.clock.install()
    page.get_by_role("button", name="Mark the subject").click()
    page.keyboard.press("ArrowLeft")
    drop(page, file(birds, NEW))
    page.clock.run_for(2000)
    settled(page)
    assert (boxes, page.evaluate("Fieldmark.ask.box()")) == ([False, False], None)


def test_several_photos_count_together_and_can_be_left_out(site, birds, window):
    page = window(site)
    with page.expect_response("**/search") as answered:
        drop(page, file(birds, KNOWN[0]), file(birds, KNOWN[0], 1))
    assert len(answered.value.json()["answers"]) == 1
    assert page.get_by_role("button", name="Mark the subject").count() == 0
    page.locator("#evidence button.frame").first.click()
    page.get_by_role("button", name="Photo 2").click()
    page.wait_for_selector(".sides canvas")
    page.goto(f"{site}/#/")
    page.get_by_role("button", name="Leave out").first.click()
    settled(page)
    assert page.get_by_role("button", name="Mark the subject").count() == 1


def test_a_photo_is_pasted(site, birds, window):
    page = window(site)
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(64, 64);
            canvas.getContext("2d").fillRect(0, 0, 64, 64);
            const data = new DataTransfer();
            data.items.add(new File([await canvas.convertToBlob()], "pasted.png", { type: "image/png" }));
            const of = { clipboardData: data, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new ClipboardEvent("paste", of));
        }"""
    )
    settled(page)
    assert name(page)


def test_labels_are_found_as_one_types(site, birds, window):
    page = window(site)
    drop(page, file(birds, NEW))
    page.get_by_label("This is a").fill(KNOWN[1][:5].lower())
    page.get_by_role("option", name=KNOWN[1]).wait_for()
    assert violations(page) == []
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.get_by_label("This is a").input_value() == KNOWN[1]


SURE = {"known": True, "label": "a", "probability": 0.97, "level": "label", "taxon": "a", "taxon_probability": 0.97}
GENUS = {"label": "a", "probability": 0.5, "level": "genus", "taxon": "Parus", "taxon_probability": 0.93}


@pytest.mark.parametrize(
    ("told", "named", "said"),
    [
        ({"label_set": ["a"], "coverage": 0.9}, "a", ["97\u202f% sure", "about 97 in 100", "this label alone"]),
        ({"probability": 0.9999}, "a", ["over 99\u202f% sure", "more than 99 in 100"]),
        (
            GENUS | {"label_set": ["a", "b"], "coverage": 0.9},
            "Parus",
            ["THE GENUS IS", "93\u202f%", "most likely a"],
        ),
        ({"probability": 0.4, "level": None, "taxon": None}, "a", ["NOT SURE", "40\u202f%"]),
        ({"label_set": [], "coverage": 0.9}, "a", ["No label fits"]),
        (
            {"quality": ["the photo is blurred"], "calibration_stale": True},
            "a",
            ["The photo is blurred.", "index.calibrate"],
        ),
        ({"known": None, "probability": None, "level": None}, "a", ["MOST LIKE", "not calibrated"]),
    ],
)
def test_what_an_answer_says(site, birds, window, told, named, said):
    page = window(site)
    answering(page, **(SURE | told))
    drop(page, file(birds, NEW))
    text = page.locator(".verdict").inner_text()
    assert (name(page), [one for one in said if one not in text]) == (named, [])


def test_doubtful_answers_wait_for_review(site, birds, window):
    page = window(site)
    informing(page, calibration={"known_accepted": 0.904})
    answering(page, known=False, label=None, candidates=[{"label": "perhaps", "share": 0.6}])
    drop(page, file(birds, NEW))
    assert name(page) == "Unknown"
    said = ["Not near enough to any", "If it is one of these, then most likely", "about 10 in 100 are called unknown"]
    text = page.locator(".verdict").inner_text()
    assert [one for one in said if one not in text] == []
    assert page.locator(".kicker").count() == 0
    assert page.locator(".chip").all_inner_texts() == ["perhaps 60\u202f%"]
    page.get_by_role("link", name="Review").click()
    with page.expect_response("**/search"):
        page.get_by_role("button", name="Ask again:").click()
    settled(page)
    page.get_by_role("link", name="Review").click()
    page.get_by_role("button", name="Settled").click()
    page.get_by_text("None in this visit").wait_for()


def test_a_label_that_its_neighbours_doubt_is_changed_and_changed_back(site, window):
    page = window(f"{site}/#/review")
    first = page.locator(".finding").first
    before, button = first.locator("h3").inner_text(), first.get_by_role("button", name="Rename to")
    after = button.inner_text().removeprefix("Rename to ")
    first.locator(".examples button").first.wait_for()
    button.click()
    give_token(page)
    page.get_by_text(f"The reference is one of {after} now.").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back").wait_for()
    expect(page.locator(".finding h3").first).to_have_text(before)
