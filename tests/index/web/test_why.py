"""What the page shows of an explanation: the answers of POST /explain are changed on their way to it."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.index.web.conftest import KNOWN, drop, file, needs_chromium, settled, violations

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = needs_chromium

FINE = 8
"""Places along a side of a part, of which the shares have 4."""


def explaining(page, change):
    """Let the service explain otherwise than it would."""

    def answer(route):
        told = route.fetch().json()
        change(told)
        route.fulfill(json=told)

    page.route("**/explain", answer)


def why(page):
    page.locator("#evidence button.frame").first.click()
    page.wait_for_selector("#rival canvas")


def plain():
    """A photo in which nothing is brighter than anything else."""
    file = io.BytesIO()
    Image.new("RGB", (160, 160), (200, 180, 160)).save(file, "PNG")
    return "plain.png", file.getvalue()


def part(row, column):
    made = np.zeros((FINE, FINE))
    made[row, column] = 1
    return made.tolist()


def pixels(canvas):
    """How bright a canvas is: [height, width]."""
    address = canvas.evaluate("(canvas) => canvas.toDataURL()")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))).convert("L"), int)


def brightest(canvas):
    """The row and column of the brightest place of a part."""
    seen = pixels(canvas)
    rows, columns = (((np.arange(FINE) + 0.5) * size / FINE).astype(int) for size in seen.shape)
    return divmod(int(seen[np.ix_(rows, columns)].argmax()), FINE)


def test_parts_finer_than_shares_are_lit_where_they_are(site, window):
    page, places = window(site), [(1, 6), (6, 2)]

    def parted(told):
        for side in ("query", "reference"):
            told[side]["parts"] = [part(*place) for place in places]

    explaining(page, parted)
    drop(page, plain())
    why(page)
    for number, place in enumerate(places, 1):
        button = page.get_by_role("button", name=f"Part {number}", exact=True)
        assert brightest(button.locator("canvas")) == place
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        assert brightest(page.locator(".sides canvas").first) == place
    assert violations(page) == []


def test_a_frame_is_around_what_the_network_looks_at_where_that_is_not_all(site, window):
    page = window(site)
    seen = {"square": [0, 0, 1, 1], "region": [0, 0, 1]}
    explaining(page, lambda told: [told[side].update(seen) for side in ("query", "reference")])
    drop(page, plain())
    why(page)
    assert page.get_by_text("inside the frame").count() == 0
    seen["region"] = [0.25, 0.25, 0.5]
    page.goto(f"{site}/#/")
    why(page)
    page.get_by_text("The network looks at what is inside the frame.").wait_for()
    canvas = pixels(page.locator(".sides canvas").first)
    quarter = canvas.shape[1] // 4
    inside = slice(canvas.shape[0] // 3, canvas.shape[0] // 2)
    line, beside = (canvas[inside, quarter + off].max(axis=1) for off in (np.arange(-2, 3), np.array([-8, 8])))
    assert (line > beside + 20).all()


def test_a_reference_that_is_gone_is_said_and_asked_about_again(site, birds, window):
    page = window(site, refused=True)
    page.route("**/explain", lambda route: route.fulfill(status=404, json={"error": "no reference has this id"}))
    drop(page, file(birds, KNOWN[0]))
    page.locator("#evidence button.frame").first.click()
    assert "no longer in it" in page.get_by_role("alert").inner_text()
    with page.expect_response("**/search"):
        page.get_by_role("button", name="Ask again").click()
    settled(page)
    expect(page.locator(".verdict .name")).to_be_visible()


def test_a_place_that_is_held_in_one_photo_gives_way_to_one_in_the_other(site, birds, window):
    """By touch and by keys, which point at a place without passing over it."""
    page = window(site)
    drop(page, file(birds, KNOWN[0]))
    why(page)
    for side in (0, 1, 0):
        page.evaluate("(side) => Fieldmark.why.sides[side].point(3, true)", side)
        held = page.evaluate("Fieldmark.why.sides.map(({ at, pinned }) => [at, pinned])")
        assert held == [[3, True], [-1, False]][:: 1 if side == 0 else -1]


def test_a_photo_that_was_compared_and_is_left_out_gives_way_to_the_other(site, birds, window):
    page = window(site)
    drop(page, file(birds, KNOWN[0]), file(birds, KNOWN[0], 1))
    why(page)
    address = page.url
    page.get_by_role("button", name="Photo 2").click()
    expect(page.get_by_role("button", name="Photo 2")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("link", name="Back to the answer").click()
    page.get_by_role("button", name="Leave out").nth(1).click()
    settled(page)
    page.goto(address)
    page.wait_for_selector("#rival canvas")
    assert page.get_by_role("alert").count() == 0


def test_the_other_neighbours_have_names_and_similarities(site, birds, window):
    page = window(site)
    drop(page, file(birds, KNOWN[0]))
    assert page.locator("#evidence .note").first.inner_text().startswith("similarity 0.")
    why(page)
    others = page.get_by_role("navigation", name="The nearest references")
    label = page.locator("h1").inner_text().removeprefix("Why ").removesuffix("?")
    assert others.locator(".caption").first.inner_text() == label
    assert others.locator(".note").first.inner_text().startswith("similarity 0.")
    assert others.get_by_role("heading").count() == 1
    others.get_by_role("button").nth(3).click()
    expect(page.locator(".others .tile").nth(3).locator("button")).to_be_focused()


def test_after_a_reload_there_is_no_answer_to_go_back_to(site, birds, window):
    page = window(site)
    drop(page, file(birds, KNOWN[0]))
    why(page)
    assert page.get_by_role("link", name="Back to the answer").count() == 1
    page.reload()
    page.get_by_text("none is asked about").wait_for()
    assert page.get_by_role("link", name="Back to the answer").count() == 0
