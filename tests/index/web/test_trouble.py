"""What the page says when something is wrong; a photo that somebody has given it stays there."""

import shutil
from pathlib import Path

import pytest

from index.build import main as build
from index.rebuild import main as rebuild
from tests.index.conftest import write_photo
from tests.index.web.conftest import (
    CHROMIUM,
    KNOWN,
    NEW,
    answering,
    complete,
    drop,
    editable,
    file,
    give_token,
    holding,
    name,
    needs_chromium,
    settled,
    teach,
    violations,
)

pytest.importorskip("playwright")
pytestmark = needs_chromium

HOSTILE = '<img src=x onerror="document.title=1"> & <b>bold'
PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer<<>>\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=1"><script>document.title=1</script></svg>'
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64


@pytest.mark.parametrize(
    ("called", "content", "said"),
    [
        ("trip.jpg", PDF, "trip.jpg is a PDF; export the page as JPEG or PNG."),
        ("a.svg", SVG, "a.svg is an SVG drawing; export it as PNG."),
        ("b.heic", HEIC, "b.heic is"),  # as far as there is a package for it
        ("empty.png", b"", "empty.png is empty."),
    ],
)
def test_what_is_no_photo_is_refused_in_a_sentence_and_kept(site, birds, window, called, content, said):
    page = window(site, refused=True)
    drop(page, (called, content))
    assert page.get_by_role("alert").inner_text().startswith(said)
    if called != "a.svg":  # which the browser shows
        page.get_by_text("Neither this browser nor the service can read this file.").wait_for()
    assert page.get_by_role("button", name="Ask again").count() == 0
    with page.expect_file_chooser():
        page.get_by_role("button", name="Choose another photo").click()
    assert violations(page) == []
    assert page.locator(".subject .absent, .subject img").count() == 1
    assert page.title() != "1"
    drop(page, file(birds, KNOWN[0]))
    assert name(page)


def test_text_and_a_photo_too_large_are_refused_before_they_are_sent(site, window):
    page = window(site)
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.setData("text/plain", "https://example.org/bird.jpg");
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    assert "not a photo" in page.get_by_role("alert").inner_text()
    page.evaluate(
        """() => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(33e6)], "large.jpg"));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }"""
    )
    assert "33 MB" in page.get_by_role("alert").inner_text()


def test_of_too_many_photos_the_first_are_asked_about(site, birds, window):
    page = window(site)
    content = file(birds, KNOWN[0]).read_bytes()
    drop(page, *[(f"{number}.jpg", content) for number in range(18)])
    assert page.locator(".mine .tile").count() == 16
    told = page.get_by_role("alert").inner_text()
    assert told == "At most 16 photos are asked about at once. Left out: 16.jpg, 17.jpg."
    assert name(page)
    page.get_by_role("button", name="Leave out").first.click()
    assert page.get_by_role("alert").count() == 0


def test_of_photos_that_are_too_large_together_those_that_fit_are_asked_about(site, birds, window):
    page = window(site)
    drop(page, file(birds, KNOWN[0]))
    drop(page, ("large.jpg", bytes(33_000_000)), ("small.jpg", file(birds, NEW).read_bytes()))
    told = page.get_by_role("alert").inner_text()
    assert told == "The service takes 32 MB at most at once. Left out: large.jpg (33 MB)."
    assert page.get_by_alt_text("Your photo, small.jpg").count() == 1


def test_of_two_photos_the_one_that_cannot_be_read_is_marked_and_not_taught(site, birds, window):
    page = window(site)
    drop(page, file(birds, KNOWN[0]), ("trip.jpg", PDF))
    page.get_by_text("Answered without trip.jpg, which is a PDF; export the page as JPEG or PNG.").wait_for()
    marked = page.locator(".mine .tile", has_text="Left out of the answer")
    assert marked.get_by_role("button", name="Take away trip.jpg").count() == 1
    assert page.get_by_text("The answer is of the other one.").count() == 1
    assert violations(page) == []
    assert page.evaluate("Fieldmark.ask.photos().length") == 1
    marked.get_by_role("button").click()
    settled(page)
    assert page.get_by_role("button", name="Mark the subject").count() == 1


def test_no_camera_is_said(site, window):
    page = window(site)
    page.get_by_role("button", name="Take a photo").click()
    page.get_by_role("alert").wait_for()
    assert "camera" in page.get_by_role("alert").inner_text()


def test_a_photo_is_taken_with_the_camera(site, browser):
    fake = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with browser.browser_type.launch(executable_path=CHROMIUM, args=fake) as other:
        page = other.new_page()
        page.goto(site)
        page.get_by_role("button", name="Take a photo").click()
        page.get_by_role("button", name="Take the photo").click()
        settled(page)
        assert name(page)
        assert page.locator("dialog").count() == 0


def test_a_label_that_is_too_long_stays_typed(site, birds, window):
    page = window(site)
    drop(page, file(birds, NEW))
    teach(page, "x" * 10_000)
    assert "10,000 characters" in page.get_by_role("alert").inner_text()
    assert len(page.get_by_label("This is a").input_value()) == 10_000


def test_what_was_refused_of_a_photo_is_not_said_of_another(site, birds, window):
    page = window(site, refused=True)
    there = {"error": "a photo is there already as 'something'"}
    page.route(
        "**/references",
        lambda route: route.fulfill(status=409, json=there) if route.request.method == "POST" else route.continue_(),
    )
    drop(page, file(birds, NEW))
    teach(page, KNOWN[0])
    give_token(page)
    page.get_by_role("button", name="Change its label").wait_for()
    drop(page, file(birds, KNOWN[0]))
    settled(page)
    assert page.get_by_role("button", name="Change its label").count() == 0


def test_a_refusal_that_comes_late_is_of_its_photo(site, birds, window):
    page = window(site, refused=True)
    held = holding(page, "**/references", "POST")
    drop(page, ("first.jpg", file(birds, NEW).read_bytes()))
    teach(page, KNOWN[0])
    with page.expect_request(lambda request: request.method == "POST" and "references" in request.url):
        give_token(page)
    drop(page, file(birds, KNOWN[0]))
    page.get_by_label("This is a").fill("other")
    held.pop().fulfill(status=409, json={"error": "a photo is there already as 'something'"})
    page.get_by_text("Of first.jpg, not taught: ").wait_for()
    assert page.get_by_role("button", name="Change its label").count() == 0
    assert page.get_by_role("button", name="Teach", exact=True).is_enabled()
    assert page.get_by_label("This is a").input_value() == "other"


def test_a_wrong_token_is_asked_for_again(site, birds, window):
    page = window(site, refused=True)
    drop(page, file(birds, NEW))
    teach(page, NEW)
    give_token(page, "another token altogether")
    page.get_by_text("That was not the token").wait_for()
    page.get_by_role("button", name="Cancel").click()
    assert page.get_by_label("This is a").input_value() == NEW


def test_a_busy_service_is_asked_again(site, birds, window):
    page, tries = window(site, refused=True), []

    def busy(route):
        tries.append(route)
        if len(tries) < 3:
            route.fulfill(status=503, headers={"retry-after": "1"}, json={"error": "too many requests are waiting"})
        else:
            route.continue_()

    page.route("**/search", busy)
    drop(page, file(birds, KNOWN[0]))
    assert (name(page) != "", len(tries)) == (True, 3)


def test_photos_are_answered_though_nothing_is_told_of_the_service(site, birds, window):
    page = window(site, refused=True)
    page.route("**/info", lambda route: route.fulfill(status=500, json={"error": "it failed"}))
    page.reload()
    page.wait_for_selector(".zone:not([hidden])")
    drop(page, file(birds, KNOWN[0]))
    settled(page)
    assert name(page) != ""
    assert page.locator(".lesson").count() == 0
    answering(page, known=False, label=None, candidates=[{"label": "perhaps", "share": 0.6}])
    drop(page, file(birds, NEW))
    settled(page)
    assert name(page) == "Unknown"
    assert page.locator(".chip").all_inner_texts() == ["perhaps 60\u202f%"]
    page.unroute("**/info")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.get_by_label("This is a").focus()
    page.get_by_role("option", name="perhaps").wait_for()
    assert page.get_by_role("alert").count() == 0


def test_the_first_photo_is_taught_though_the_service_is_told_of_late(site, birds, window):
    page = window(site, refused=True)
    page.route("**/info", lambda route: route.fulfill(status=500, json={"error": "it failed"}))
    page.route("**/search", lambda route: route.fulfill(status=409, json={"error": "the index holds no references"}))
    page.reload()
    page.get_by_role("alert").wait_for()
    page.goto(f"{site}/#/browse")
    with page.expect_response("**/info"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    complete(page)
    assert page.url.endswith("#/browse")
    page.goto(f"{site}/#/")
    drop(page, file(birds, NEW))
    settled(page)
    page.unroute("**/info")
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.get_by_label("This is a").wait_for()


def test_a_service_that_is_slow_to_refuse_is_not_asked_over_and_over(site, birds, window):
    page, tries = window(site, refused=True), []

    def slow(route):
        tries.append(route)
        route.fulfill(status=503, headers={"retry-after": "1"}, json={"error": "this took longer than 30 seconds"})

    page.route("**/search", slow)
    page.evaluate("() => { let now = 0; performance.now = () => (now += 31000); }")
    drop(page, file(birds, KNOWN[0]))
    assert "longer than 30 seconds" in page.get_by_role("alert").inner_text()
    assert len(tries) == 1


def test_what_may_take_minutes_is_asked_for_again_after_half_a_minute(site, window):
    page, tries = window(site, refused=True), []

    def slow(route):
        tries.append(route)
        if len(tries) > 1:
            return route.continue_()
        return route.fulfill(status=503, headers={"retry-after": "1"}, json={"error": "this took longer"})

    page.route("**/review?**", slow)
    page.evaluate("() => { let now = 0; performance.now = () => (now += 31000); }")
    page.goto(f"{site}/#/review")
    page.locator(".review [aria-busy=false]").wait_for()
    assert len(tries) == 2
    assert page.get_by_role("alert").count() == 0


def test_markup_in_names_is_text(tiny_embedder, tmp_path, window):
    for number in range(6):
        write_photo(tmp_path / "photos" / HOSTILE / f"<i>{number}.png", 0, number)
    folder = build(tiny_embedder, str(tmp_path / "photos"), out=tmp_path / "hostile.index")
    with editable(folder) as (address, _):
        page = window(address)
        drop(page, (f"{HOSTILE}.png", next((tmp_path / "photos" / HOSTILE).iterdir()).read_bytes()))
        assert name(page) == HOSTILE
        for view in ("browse", "review"):
            page.goto(f"{address}/#/{view}")
            complete(page)
        page.goto(f"{address}/#/browse")
        page.locator(".browse .tile button").click()
        page.get_by_role("heading", name=HOSTILE).wait_for()
        page.locator(".browse .tile button").first.click()
        page.get_by_text("<i>").wait_for()
        assert page.title() != "1"


def test_what_changes_while_the_page_is_open_is_said(built, photos, other_embedder, tmp_path, window):
    own = Path(shutil.copytree(photos, tmp_path / "photos"))
    folder = Path(shutil.copytree(built, tmp_path / "own.index"))
    rebuild(folder, images_root=own)
    with editable(folder) as (address, stop):
        page = window(address, refused=True)
        drop(page, next((own / "class-0").iterdir()))
        before = name(page)
        for photo in (own / "class-1").iterdir():
            photo.rename(photo.with_suffix(".moved"))
        page.goto(f"{address}/#/browse/class-1")
        page.locator(".browse .tile button").first.click()
        page.locator("dialog img").evaluate("(image) => image.decode()")  # the small picture of it is shown
        page.get_by_role("button", name="Compare with your photo").click()
        page.get_by_text("its small picture in the index was looked at").wait_for()
        for photo in (own / "class-1").iterdir():
            photo.rename(photo.with_suffix(".png"))
        rebuild(folder, embedder=other_embedder)
        page.get_by_role("link", name="Browse").click()
        page.get_by_role("button", name="Ask again").click(timeout=30_000)
        page.wait_for_selector("#changed:empty", state="attached")
        assert name(page) == before
        stop()
        page.get_by_role("button", name="Show more").click()
        assert "cannot be reached" in page.get_by_role("alert").inner_text()
        assert page.locator(".subject img").count() == 1
