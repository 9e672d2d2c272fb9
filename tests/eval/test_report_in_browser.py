"""The report and the page of a comparison as people use them, in Debian's Chromium."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from eval.compare import main
from eval.embeddings import EmbeddingSet
from eval.figures import colours
from tests.eval.conftest import MARKUP, SCRIPT

pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install 'fieldmark[dev]'")
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[SimpleNamespace]:
    """A function that opens the report, as wide and as dark as wanted; what it complains about fails the test."""
    complaints: list[str] = []
    pages = []

    def open_page(width: int = 1280, file: Path | None = None, **how: Any) -> Any:
        page = browser.new_page(viewport={"width": width, "height": 900}, **how)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: complaints.append(request.url) if request.url.startswith("http") else None)
        page.goto((file or report / "report.html").as_uri())
        page.wait_for_selector(".foot")
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.close()
    assert complaints == []


def marked(page: Any) -> int:
    """How many pixels of the map are not of its ground."""
    return page.evaluate("""() => {
        const canvas = document.querySelector('.map canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let at = 0; at < data.length; at += 4)
            if (data[at] !== data[0] || data[at + 1] !== data[1] || data[at + 2] !== data[2]) count++;
        return count;
    }""")


def covered(page: Any, x: float, y: float) -> bool:
    """Whether all of a square of 16 pixels around a place on the page is painted over on the map."""
    box = page.locator(".map canvas").bounding_box()
    return page.evaluate(
        """([x, y]) => {
        const pen = document.querySelector('.map canvas').getContext('2d');
        const ground = pen.getImageData(0, 0, 1, 1).data;
        const { data } = pen.getImageData(x - 8, y - 8, 16, 16);
        for (let at = 0; at < data.length; at += 4)
            if (data[at] === ground[0] && data[at + 1] === ground[1] && data[at + 2] === ground[2]) return false;
        return true;
    }""",
        [x - box["x"], y - box["y"]],
    )


def settled(page: Any) -> None:
    """Wait until what was asked for has been drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def find_point(page: Any) -> tuple[float, float]:
    """Where on the page some point of the map is."""
    page.locator(".map canvas").scroll_into_view_if_needed()
    page.wait_for_timeout(400)  # a wheel is not taken for the map's while the page scrolls
    box = page.locator(".map canvas").bounding_box()
    for across in range(20, int(box["width"]), 12):
        for down in range(20, int(box["height"]), 40):
            page.mouse.move(box["x"] + across, box["y"] + down)
            settled(page)
            if page.locator(".map .tip").is_visible():
                return box["x"] + across, box["y"] + down
    raise AssertionError("no point was found")


def test_markup_in_names_is_text(opened) -> None:
    page = opened()
    assert page.locator(".legend .name", has_text=MARKUP).count() == 1
    page.get_by_label("Find a class").first.fill("onerror")
    assert page.locator("#classes tbody th").all_inner_texts() == [MARKUP]
    assert page.locator("img[src=x]").count() == 0
    assert page.evaluate(f"Fieldmark.content('data').points.names[0] === {SCRIPT!r}")


def test_the_table_sorts_and_filters(opened) -> None:
    page = opened()
    column = page.locator("#classes tbody tr > :nth-child(2)")
    shares = [float(re.sub(r"[^\d.]", "", text)) for text in column.all_inner_texts()]
    assert shares == sorted(shares) and len(shares) == 15
    queries = page.locator("#classes tbody tr > :nth-child(5)").all_inner_texts()
    assert page.locator("#classes thead th").nth(4).inner_text() == "queries" and set(queries) <= {"4", "5"}
    heading = page.locator("#classes thead th", has_text="recall@1")
    assert heading.get_attribute("aria-sort") == "ascending"
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    shares = [float(re.sub(r"[^\d.]", "", text)) for text in column.all_inner_texts()]
    assert shares == sorted(shares, reverse=True)
    page.locator("#classes thead").get_by_role("button", name="class", exact=True).press("Enter")
    names = page.locator("#classes tbody th").all_inner_texts()
    assert names == [MARKUP, *(f"kind_{code:02}" for code in range(1, 15))]
    page.get_by_role("button", name="Show all 24").click()
    assert page.locator("#classes tbody tr").count() == 24
    page.get_by_label("Find a class").first.fill("kind_1")
    assert page.locator("#classes tbody tr").count() == 10


def test_a_point_of_the_map_tells_what_it_is_and_stays_when_clicked(opened, hostile: SimpleNamespace) -> None:
    page = opened()
    x, y = find_point(page)
    label, path = page.locator(".map .tip .name").inner_text(), page.locator(".map .tip .faint").inner_text()
    row = hostile.set.paths.index(path)
    assert label == (hostile.set.labels[row] or "no label")
    page.mouse.click(x, y)
    settled(page)
    assert page.locator(".map .tip.pinned").is_visible()
    near = page.locator("#map .evidence .tile .caption")
    assert near.count() == (0 if row == 100 else 5)
    page.mouse.move(0, 0)
    assert page.locator(".map .tip.pinned").is_visible()
    page.keyboard.press("Escape")
    settled(page)
    assert not page.locator(".map .tip").is_visible()


def test_the_map_zooms_moves_and_shows_photos(opened) -> None:
    page = opened()
    x, y = find_point(page)
    before = marked(page)
    for _ in range(2):
        page.mouse.wheel(0, -400)
    settled(page)
    page.wait_for_timeout(200)
    assert marked(page) != before
    assert covered(page, x, y)  # by a photo, which is larger than a point
    page.get_by_role("button", name="Show all", exact=True).click()
    page.mouse.move(x, y)
    settled(page)
    assert page.locator(".map .tip").is_visible()
    page.mouse.down()
    page.mouse.move(x + 90, y, steps=4)
    page.mouse.up()
    settled(page)
    assert page.locator(".map .tip").bounding_box() is None or not page.locator(".map .tip.pinned").is_visible()
    page.mouse.move(x + 90, y)
    settled(page)
    assert page.locator(".map .tip").is_visible()


def test_the_map_works_by_keys(opened) -> None:
    page = opened()
    canvas = page.locator(".map canvas")
    canvas.focus()
    before = marked(page)
    for key in ("+", "+", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    settled(page)
    assert marked(page) != before
    page.keyboard.press("0")
    for _ in range(40):
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        settled(page)
        if page.locator(".map .tip.pinned").is_visible():
            break
    assert page.locator(".map .tip.pinned").is_visible()
    said = page.locator(".map [role=status]").first.inner_text()
    assert said.startswith(page.locator(".map .tip .name").inner_text())


def test_the_legend_finds_a_class_and_highlights_it(opened) -> None:
    page = opened()
    page.locator(".legend input").fill("kind_07")
    button = page.locator(".legend li button")
    assert button.count() == 1
    before = marked(page)
    button.click()
    settled(page)
    assert button.get_attribute("aria-pressed") == "true"
    assert marked(page) != before
    button.click()
    assert button.get_attribute("aria-pressed") == "false"


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 9, 40])
def test_figures_have_the_colours_of_the_page(opened, count: int) -> None:
    page = opened(color_scheme="light")
    assert page.evaluate(f"Fieldmark.colours({count})") == (255 * colours(count)).round().astype(int).tolist()


def test_photos_that_have_moved_are_told_of(opened, hostile: SimpleNamespace) -> None:
    page = opened()
    assert page.get_by_text("3 photos of 120 could not be shown").is_visible()
    names = page.locator(".absent").all_inner_texts()
    assert {hostile.set.paths[row] for row in hostile.gone} >= set(names)
    assert page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")


def test_a_small_photo_is_a_picture_with_a_name(opened) -> None:
    """The last of four on a sheet."""
    made = opened().evaluate("""() => {
        const sheet = new Fieldmark.Sheets({ addresses: ['data:,'], side: 1, columns: 2, rows: 2 });
        const { firstChild } = Fieldmark.photo(sheet.photo(3), 'seen');
        return [firstChild.getAttribute('role'), firstChild.ariaLabel, firstChild.style.backgroundPosition];
    }""")
    assert made == ["img", "seen", "100% 100%"]


def test_light_and_dark(opened) -> None:
    page = opened(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    map_ground = "document.querySelector('.map canvas').getContext('2d').getImageData(0, 0, 1, 1).data[0]"
    settled(page)
    assert page.evaluate(map_ground) < 60
    page.get_by_role("button", name="Change to light colours").click()
    assert page.evaluate(ground) != dark
    assert page.evaluate(map_ground) == 255
    assert page.get_by_role("button", name="Change to dark colours").is_visible()
    assert page.evaluate(ground) == opened(color_scheme="light").evaluate(ground)


@pytest.mark.parametrize("width", [1280, 390])
def test_paper_is_the_same_whatever_the_screen_is(opened, width: int) -> None:
    """Charts at their size, the whole map with its legend, the folds open, and nothing said of clicks."""
    page = opened(width)
    before, folded = marked(page), page.locator("details.more:not([open])").count()
    assert "click" in page.locator("#content").inner_text().lower()
    tell = "(event) => window.dispatchEvent(new Event(event))"
    page.evaluate(tell, "beforeprint")  # a page that is being printed is not laid out again for its scripts
    charts = "[...document.querySelectorAll('.chart svg[role=img]')]"
    assert page.evaluate(f"{charts}.map((svg) => svg.viewBox.baseVal.width)") == [400, 400, 400]
    canvas = page.locator(".map canvas")
    assert canvas.evaluate("(one) => one.width / one.height") == 680 / 600
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 688, "height": 971})  # A4 within its margins
    assert all(0.9 < scale < 1.1 for scale in page.evaluate(f"{charts}.map((svg) => svg.getScreenCTM().a)"))
    assert canvas.evaluate("(one) => getComputedStyle(one).objectFit") == "contain"
    assert page.locator(".map .legend .name").count() == 24 and page.locator(".map .legend li").last.is_visible()
    assert page.locator("#queries details .evidence").first.is_visible()
    assert "click" not in page.locator("#content").inner_text().lower()
    page.emulate_media(media="screen")
    page.evaluate(tell, "afterprint")
    page.set_viewport_size({"width": width, "height": 900})
    settled(page)
    assert page.locator("details.more:not([open])").count() == folded
    assert marked(page) == before


def test_names_on_the_map_stand_whole_and_above_their_points(opened) -> None:
    """Also where a class lies at the edge."""
    page = opened()
    drawn = page.evaluate("""() => {
        const texts = [];
        const { fillText } = CanvasRenderingContext2D.prototype;
        CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
            texts.push([x - this.measureText(text).width / 2, x + this.measureText(text).width / 2, y]);
            fillText.call(this, text, x, y);
        };
        const names = ['a rather long name', 'another long name'];
        const made = Fieldmark.map({ label: 'two', names, codes: [0, 0, 0, 1, 1, 1],
            x: Float32Array.of(0, 0.1, 0, 100, 100.1, 100), y: Float32Array.of(0, 5, 2, 0, 5, 2),
            about: () => ({ title: '' }) });
        document.getElementById('content').replaceChildren(made.element);
        const { clientWidth, clientHeight } = made.element.querySelector('.stage');
        return new Promise((done) => setTimeout(() => done([texts, clientWidth, clientHeight]), 300));
    }""")
    texts, width, height = drawn
    assert len(texts) == 2
    scale = 0.9 * width / 100.1  # of the points, whose middle is the map's
    for left, right, bottom in texts:
        assert left >= 0 and right <= width
        assert bottom < height / 2 - 2.5 * scale


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(opened, width: int, scheme: str) -> None:
    """No serious mistake that axe finds; nothing is wider than a phone."""
    assert faults(opened(width, color_scheme=scheme, bypass_csp=True)) == []


def faults(page: Any) -> list[Any]:
    """Whom a page shuts out, with all that can be opened open."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for more in page.locator("details").all():
        more.evaluate("(element) => { element.open = true; }")
    settled(page)
    found = axe.run(page).response["violations"]
    grave = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in {"serious", "critical"}]
    wide = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
    return [*grave, *(["wider than the window"] if wide else [])]


@pytest.fixture(scope="module")
def comparison(hostile: SimpleNamespace, worse: EmbeddingSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page that compares the set with a worse embedder's."""
    folder = tmp_path_factory.mktemp("comparison")
    worse.save(folder / MARKUP, made_from={}, images_root=None, left_out=[])
    main(hostile.vectors, folder / MARKUP, report=folder / "made")
    return folder / "made" / "comparison.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_comparison_shows_what_flipped(opened, comparison: Path, width: int) -> None:
    page = opened(width, file=comparison, bypass_csp=True)
    data = page.evaluate("Fieldmark.content('data')")
    assert page.locator("h1").inner_text() == f"vectors and {MARKUP}"
    assert page.locator("#lost .flip").count() == len(data["lost"]) > 2
    assert page.locator("#lost .flip").first.locator(".tile.right, .tile.wrong").count() == 6
    assert page.locator("#classes tbody tr").count() == 15
    numbers = page.locator("#numbers tbody td:not(:last-child), #classes tbody td:not(:last-child)").all_inner_texts()
    assert len(numbers) > 40 and all(text.endswith("%") for text in numbers)
    assert faults(page) == []


@pytest.mark.parametrize("kind", ["report", "comparison"])
def test_a_phone_shows_the_first_measure_of_a_table(opened, comparison: Path, kind: str) -> None:
    page = opened(390, file=comparison if kind == "comparison" else None)
    table, measure = (
        page.locator("#classes .scrolls").bounding_box(),
        page.locator("#classes tbody td").first.bounding_box(),
    )
    assert measure["x"] + measure["width"] < table["x"] + table["width"]


def test_embedders_that_agree_everywhere_have_no_interval(opened, hostile: SimpleNamespace, tmp_path: Path) -> None:
    same = EmbeddingSet(hostile.set.vectors, hostile.set.table, "e" * 64)
    same.save(tmp_path / "same", made_from={}, images_root=None, left_out=[])
    main(hostile.vectors, tmp_path / "same", report=tmp_path / "made")
    page = opened(file=tmp_path / "made" / "comparison.html")
    assert page.get_by_text("By MAP@R no query differs.").is_visible()
    assert set(page.locator("#numbers tbody td:last-child").all_inner_texts()) == {"no query differs"}
