"""A browser, a service to look at, and what a person does on the page."""

import base64
import os
import shutil
import socket
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import uvicorn

from embedder.data.drawing.field_guide import TEST
from embedder.data.drawn_birds import draw_photos
from index.build import main as build
from index.service.app import make_app
from index.service.settings import Settings

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")

TOKEN = "a token that nobody guesses"
KNOWN, NEW = TEST[:4], "Azure Skyflit"
SERIOUS = ("serious", "critical")

MAP = {
    "generation": 1,
    "count": 5,
    "labels": ["a", "b"],
    "codes": [0, 1, 0],
    "ids": ["1", "2", "3"],
    "points": [[0, 0], [1, 1], [None, None]],
}

PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


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
            const places = [".zone:not([hidden])", ".asking", "body"];
            const zone = places.map((one) => document.querySelector(one)).find(Boolean);
            const of = { dataTransfer: data, bubbles: true, cancelable: true };
            for (const kind of ["dragenter", "dragover", "drop"]) zone.dispatchEvent(new DragEvent(kind, of));
        }""",
        sent,
    )
    settled(page)


def answering(page, **told):
    """Let the service answer otherwise than it would."""

    def answer(route):
        given = route.fetch().json()
        route.fulfill(json=given | {"answers": [one | told for one in given["answers"]]})

    page.route("**/search", answer)


def holding(page, pattern, method=None):
    """Keep back what the page asks of such an address, by a method if one is given: the routes, as they come."""
    held = []

    def hold(route):
        if method in (None, route.request.method):
            held.append(route)
        else:
            route.continue_()

    page.route(pattern, hold)
    return held


def having_taught(window, site, birds):
    """A page on which a photo of a new label has been taught, and can be taken back."""
    page = window(site)
    drop(page, file(birds, NEW))
    teach(page, NEW)
    give_token(page)
    page.get_by_role("button", name="Undo").wait_for()
    return page


def settled(page):
    page.wait_for_selector(".answer[aria-busy=false]:not(:empty)")


def complete(page):
    """Wait until a view shows what it asked of the service; the load state is that of the page before its views."""
    for unfinished in (':text("Reading …")', "[aria-busy=true]"):
        page.locator(f"main {unfinished}").first.wait_for(state="hidden")


def name(page):
    return page.locator(".verdict .name").inner_text()


def teach(page, label):
    page.get_by_label("This is a").fill(label)
    page.get_by_role("button", name="Teach", exact=True).click()


def give_token(page, token=TOKEN):
    """Answer when the page asks for it."""
    page.get_by_label("Token", exact=True).last.fill(token)
    page.keyboard.press("Enter")


def remove(page, site, label):
    """Take back what was taught as a label of one reference."""
    page.goto(f"{site}/#/browse/{label}")
    page.get_by_role("heading", name=label).wait_for()
    page.locator(".browse .tile button").click()
    assert violations(page) == []
    page.get_by_role("button", name="Remove").click()
    page.get_by_text("is gone").wait_for()


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
        complete(page)
        page.screenshot(path=folder / f"{name}.png")

    return kept
