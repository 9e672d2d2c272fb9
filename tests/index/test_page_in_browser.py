"""The page, as a person uses it: in Debian's Chromium, over a service of its own.

FIELDMARK_SCREENSHOTS names a folder for a picture of each step of the walk, and FIELDMARK_BIRDS an index of drawn birds
to take the walk through (that of the demo makes the better pictures); else they are of a tiny network's answers.
"""

import base64
import io
import os
import shutil
import socket
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from PIL import Image

from embedder.data.drawing.field_guide import TEST
from embedder.data.drawn_birds import draw_photos
from index.build import main as build
from index.rebuild import main as rebuild
from index.service.app import make_app
from index.service.settings import Settings
from tests.index.conftest import write_photo

expect = pytest.importorskip("playwright.sync_api").expect
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")

TOKEN = "a token that nobody guesses"
KNOWN, NEW = TEST[:4], "Azure Skyflit"
HOSTILE = '<img src=x onerror="document.title=1"> & <b>bold'
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """Photos of species, in a folder each: of those in the index, and of one that is not."""
    folder = tmp_path_factory.mktemp("birds")
    draw_photos(folder / "known", KNOWN, 4, 160)
    draw_photos(folder / "asked", (KNOWN[0], NEW), 3, 160, seed=1)
    return folder


@pytest.fixture(scope="module")
def site(birds, tiny_embedder, tmp_path_factory):
    """The address of a service that may be taught; tests take back what they teach."""
    folder = tmp_path_factory.mktemp("site") / "birds.index"
    given = os.environ.get("FIELDMARK_BIRDS")
    if given:
        shutil.copytree(given, folder)
    else:
        build(tiny_embedder, f"drawn_birds:{birds / 'known'}", out=folder)
    with editable(folder) as (address, _):
        yield address


@contextmanager
def editable(folder):
    """A service that may be taught: its address, and what stops it."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(make_app(Settings(folder, token=TOKEN)), log_config=None, access_log=False, ws="none")
    server = uvicorn.Server(config)
    running = Thread(target=server.run, args=([listener],))
    running.start()

    def stop():
        server.should_exit = server.force_exit = True
        running.join()

    try:
        yield "http://127.0.0.1:{1}".format(*listener.getsockname()), stop
    finally:
        stop()
        listener.close()


@pytest.fixture
def window(browser):
    """A function that opens the page of a service, in a window of its own; errors in its console fail the test.

    Of refused requests Chromium tells in the console by itself; ``refused`` says that some are expected.
    """
    contexts, errors = [], []

    def opened(address, refused=False, **options):
        context = browser.new_context(
            reduced_motion="reduce", **{"viewport": {"width": 1280, "height": 900}, **options}
        )
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()

        def told(message):
            own = not (refused and message.text.startswith("Failed to load resource"))
            if message.type in ("error", "warning") and own:
                errors.append(f"{message.text} {message.location['url']}")

        page.on("console", told)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(address)
        page.wait_for_selector("#foot p")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def file(folder, name, number=0):
    return sorted((folder / "asked" / name.replace(" ", "_")).iterdir())[number]


def drop(page, *files):
    """Drop files on the page, as a person does: pairs of a name and bytes, or paths."""
    pairs = [(one.name, one.read_bytes()) if isinstance(one, Path) else one for one in files]
    sent = [[name, base64.b64encode(content).decode()] for name, content in pairs]
    page.evaluate(
        """(sent) => {
            const data = new DataTransfer();
            const bytes = (text) => Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
            for (const [name, text] of sent) data.items.add(new File([bytes(text)], name));
            const zone = document.querySelector(".zone:not([hidden])") || document.querySelector(".asking");
            const of = { dataTransfer: data, bubbles: true, cancelable: true };
            for (const kind of ["dragenter", "dragover", "drop"]) zone.dispatchEvent(new DragEvent(kind, of));
        }""",
        sent,
    )
    settled(page)


def settled(page):
    page.wait_for_selector(".answer[aria-busy=false]:not(:empty)")


def name(page):
    return page.locator(".verdict .name").inner_text()


def teach(page, label):
    page.get_by_label("This is a").fill(label)
    page.get_by_role("button", name="Teach", exact=True).click()


def violations(page):
    """What axe-core finds that would keep somebody out."""
    import axe_playwright_python

    source = Path(axe_playwright_python.__file__).with_name("axe.min.js").read_text(encoding="utf-8")
    page.evaluate(source)
    found = page.evaluate("axe.run(document)")["violations"]
    return [(one["id"], [node["html"][:120] for node in one["nodes"]]) for one in found if one["impact"] in SERIOUS]


@pytest.fixture
def shot(tmp_path):
    """A function that keeps a picture of a page."""
    folder = Path(os.environ.get("FIELDMARK_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def kept(page, name):
        page.wait_for_load_state("networkidle")
        page.screenshot(path=folder / f"{name}.png")

    return kept


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
    shot(page, "5-taught")
    assert violations(page) == []

    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back").wait_for()
    expect(page.locator(".verdict .name")).not_to_have_text(NEW)
    shot(page, "6-undone")


def test_what_is_taught_is_recognised_in_another_photo(site, birds, window):
    page = window(site)
    drop(page, file(birds, NEW))
    teach(page, NEW)
    page.get_by_label("Token", exact=True).last.fill(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_text("1 photo added").wait_for()
    again = io.BytesIO()
    Image.open(file(birds, NEW)).resize((120, 120)).save(again, "JPEG")
    drop(page, ("later.jpg", again.getvalue()))
    expect(page.locator("#evidence h3").first).to_have_text(NEW)
    page.goto(f"{site}/#/browse/{NEW}")
    page.get_by_role("heading", name=NEW).wait_for()
    page.locator(".browse .tile button").click()
    assert violations(page) == []
    page.get_by_role("button", name="Remove").click()
    page.get_by_text("is gone").wait_for()


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
        page.wait_for_load_state("networkidle")
        assert violations(page) == [], view
        assert page.evaluate("document.documentElement.scrollWidth") == 360, view
    assert page.locator(".map canvas").count() == 1


MAP = {
    "generation": 1,
    "labels": ["a", "b"],
    "codes": [0, 1, 0],
    "ids": ["1", "2", "3"],
    "points": [[0, 0], [1, 1], [None, None]],
}


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


def answering(page, **told):
    """Let the service answer otherwise than it would."""

    def answer(route):
        given = route.fetch().json()
        route.fulfill(json=given | {"answers": [one | told for one in given["answers"]]})

    page.route("**/search", answer)


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
    answering(page, known=False, label=None, candidates=[{"label": "perhaps", "share": 0.6}])
    drop(page, file(birds, NEW))
    assert name(page) == "Unknown"
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
    page.get_by_label("Token", exact=True).last.fill(TOKEN)
    page.keyboard.press("Enter")
    page.get_by_text(f"The reference is one of {after} now.").wait_for()
    page.get_by_role("button", name="Undo").click()
    page.get_by_text("Taken back").wait_for()
    expect(page.locator(".finding h3").first).to_have_text(before)


PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer<<>>\n%%EOF\n"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=1"><script>document.title=1</script></svg>'
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64


@pytest.mark.parametrize(
    ("called", "content"), [("trip.jpg", PDF), ("a.svg", SVG), ("b.heic", HEIC), ("empty.png", b"")]
)
def test_what_is_no_photo_is_refused_in_a_sentence_and_kept(site, birds, window, called, content):
    page = window(site, refused=True)
    drop(page, (called, content))
    assert called in page.get_by_role("alert").inner_text()
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


def test_a_wrong_token_is_asked_for_again(site, birds, window):
    page = window(site, refused=True)
    drop(page, file(birds, NEW))
    teach(page, NEW)
    page.get_by_label("Token", exact=True).last.fill("another token altogether")
    page.keyboard.press("Enter")
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
            page.wait_for_load_state("networkidle")
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
        page.wait_for_load_state("networkidle")
        assert page.locator("dialog img").evaluate("(image) => image.naturalWidth") > 0  # the small picture of it
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
