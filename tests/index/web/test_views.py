"""Going from view to view and back; the map; another index under the page."""

import pytest

from tests.index.web.conftest import KNOWN, MAP, drop, file, holding, needs_chromium, violations

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = needs_chromium


@pytest.mark.parametrize("way", ["browser", "link"])
def test_one_comes_back_to_where_one_was_in_the_answer(site, birds, window, way):
    page = window(site, viewport={"width": 390, "height": 500})
    drop(page, file(birds, KNOWN[0]))
    tile = page.locator("#evidence button.frame").nth(5)
    tile.scroll_into_view_if_needed()
    where = page.evaluate("scrollY")
    tile.click()
    page.wait_for_selector("#rival canvas")
    assert page.evaluate("scrollY") == 0
    if way == "browser":
        page.go_back()
    else:
        page.get_by_role("link", name="Back to the answer").click()
    expect(tile).to_be_focused()
    assert where > 300
    assert page.evaluate("scrollY") == where
    tile.click()
    page.wait_for_selector("#rival canvas")
    drop(page, file(birds, KNOWN[0], 1))
    assert page.evaluate("scrollY") == 0  # another answer begins at its top


def test_one_comes_back_to_where_one_was_among_the_labels(site, window):
    page = window(f"{site}/#/browse", viewport={"width": 360, "height": 200})
    labels = page.locator(".browse li[data-label]")
    labels.first.wait_for()
    count = labels.count()
    page.evaluate("scrollTo(0, document.body.scrollHeight - 300)")
    where = page.evaluate("scrollY")
    page.evaluate("document.querySelector('.browse .tile:last-child button').click()")
    page.get_by_role("link", name="All labels").wait_for()
    page.go_back()
    page.get_by_role("heading", name="Browse").wait_for()
    expect(labels).to_have_count(count)
    assert page.evaluate("scrollY") == where > 100


def test_a_label_pressed_while_its_picture_comes_is_opened(site, window):
    page = window(site)

    held = holding(page, "**/references?*limit=1")
    with page.expect_request("**/references?*"):
        page.goto(f"{site}/#/browse")
    page.locator(".browse .tile button").first.hover()
    page.mouse.down()
    for route in held:
        route.continue_()
    page.locator(".browse .tile img").first.wait_for()
    page.mouse.up()
    page.get_by_role("link", name="All labels").wait_for()


def test_an_open_dialog_goes_with_its_view(site, window):
    page = window(f"{site}/#/browse")
    page.locator(".browse .tile button").first.click()
    page.get_by_role("link", name="All labels").wait_for()
    page.locator(".browse .tile button").first.click()
    page.wait_for_selector("dialog[open]")
    page.go_back()
    page.get_by_role("heading", name="Browse").wait_for()
    assert page.locator("dialog").count() == 0


def test_a_removal_is_told_and_can_be_taken_back_though_one_has_gone_on(site, window):
    page = window(f"{site}/#/browse")
    page.evaluate("() => { Fieldmark.withToken = (then) => then('token'); }")

    held = holding(page, "**/references/**")
    page.locator(".browse .tile button").first.click()
    page.get_by_role("link", name="All labels").wait_for()
    page.locator(".browse .tile button").first.click()
    with page.expect_request("**/references/**"):
        page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.go_back()
    page.get_by_role("heading", name="Browse").wait_for()
    held.pop().fulfill(json={"generation": 5})
    page.get_by_text("is gone.").wait_for()
    assert page.get_by_role("button", name="Undo").count() == 1
    page.get_by_role("heading", name="Browse").wait_for()


def test_labels_are_left_behind_when_one_of_them_is_opened(site, window):
    page = window(site)

    def many(route):
        route.fulfill(json=route.fetch().json() | {"next": "x"})

    page.route("**/labels?*", many)
    page.goto(f"{site}/#/browse")
    page.get_by_role("button", name="Show more").wait_for()
    page.locator(".browse .tile img").last.wait_for()
    held = holding(page, "**/references?*")
    with page.expect_request("**/references?*"):
        page.locator(".browse .tile button").first.click()
    assert page.get_by_role("button", name="Show more").count() == 0
    held.pop().continue_()
    page.locator(".browse .tile img").first.wait_for()
    expect(page.locator(".browse h1")).to_be_focused()


def test_what_is_no_view_opens_the_first_one(site, window):
    page = window(f"{site}/#browse")
    page.get_by_role("heading", name="What is this?").wait_for()


def test_another_index_is_known_of_though_its_first_word_is_lost(site, birds, window):
    page, fails = window(site, refused=True), [True]
    drop(page, file(birds, KNOWN[0]))

    def exchanged(route):
        answer = route.fetch()
        route.fulfill(response=answer, headers={**answer.headers, "fieldmark-embedder": "other"})

    def info(route):
        if fails:
            fails.clear()
            return route.abort()
        told = route.fetch()
        return route.fulfill(
            json=told.json() | {"classes": 77}, headers={**told.headers, "fieldmark-embedder": "other"}
        )

    page.route("**/readyz", exchanged)
    page.route("**/info", info)
    look = "() => document.dispatchEvent(new Event('visibilitychange'))"
    with page.expect_request("**/info"):
        page.evaluate(look)
    page.wait_for_timeout(100)
    page.evaluate(look)
    page.locator("#foot").get_by_text("77 labels").wait_for()


def test_whoever_has_gone_on_in_a_view_is_left_there_when_it_is_read(site, window):
    page = window(f"{site}/#/browse")
    page.locator(".browse .tile button").first.click()
    page.get_by_role("link", name="All labels").wait_for()

    held = holding(page, "**/labels?*")
    with page.expect_request("**/labels?*"):
        page.go_back()
    field = page.get_by_role("searchbox", name="Find a label")
    field.click()
    held.pop().continue_()
    page.locator(".browse li[data-label]").first.wait_for()
    page.wait_for_timeout(100)
    expect(field).to_be_focused()


def test_a_point_of_the_map_is_opened_from_its_tip_and_what_is_not_on_it_is_said(site, window):
    page = window(site, refused=True)
    page.route("**/map", lambda route: route.fulfill(json=MAP))
    page.evaluate("Fieldmark.ask.info.map = true")
    page.goto(f"{site}/#/map")
    page.get_by_text("2 references are not on it yet").wait_for()
    seen = page.locator(".map canvas").bounding_box()
    page.wait_for_timeout(100)  # it is drawn with the next frame
    room = seen["width"] - 64  # beside the buttons
    side = 0.9 * min(room, seen["height"]) / 2
    middle = (seen["x"] + room / 2, seen["y"] + seen["height"] / 2)
    page.mouse.click(middle[0] + side, middle[1] - side)
    page.mouse.move(middle[0] - side, middle[1] + side)  # over another point: the pinned one's tip stays
    assert page.locator(".tip .name").inner_text() == "b"
    assert violations(page) == []
    page.locator(".tip").get_by_role("button", name="Open reference").click()
    page.get_by_role("heading", name="b", exact=True).wait_for()
    assert page.get_by_text("Added without a file.").count() == 0  # of which the map does not know
    page.evaluate("() => { Fieldmark.withToken = (then) => then('token'); }")
    page.route("**/references/**", lambda route: route.fulfill(json={"generation": 5}))
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    page.get_by_text("A reference of b is gone.").wait_for()
    assert page.get_by_role("button", name="Undo").count() == 1


def test_another_embedders_index_of_the_same_generation_is_noticed(site, window):
    page, embedder = window(site), []
    page.wait_for_load_state("networkidle")

    def answer(route):
        given = route.fetch()
        headers = {name: value for name, value in given.headers.items() if name != "fieldmark-embedder"}
        if embedder:
            headers["fieldmark-embedder"] = embedder[0]
        route.fulfill(response=given, headers=headers)

    page.route("**/labels*", answer)
    page.route("**/info", answer)
    page.evaluate("() => { window.heard = 0; Fieldmark.service.onGeneration(() => heard++); }")
    heard = []
    for now in (["a" * 16], ["b" * 16], [], ["b" * 16]):
        embedder[:] = now
        page.evaluate("Fieldmark.service.get('/labels')")
        heard.append(page.evaluate("heard"))
    assert heard[-1] - heard[0] == 1
    assert heard[1:] == [heard[1]] * 3
