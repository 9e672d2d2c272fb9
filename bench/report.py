"""How long a report takes and how large its file is, and whether its map stays smooth.

    python -m bench.report PHOTOS [--count 6000] [--dimension 512] [--kinds 100] [--out FOLDER]

PHOTOS is a folder of photos, of which the first are taken; their vectors are drawn, in classes that overlap a little.
Or PHOTOS is an embeddings or an index folder, which is taken as it is. The report is made by its command in a process
of its own. Where Chromium and playwright are installed, the page is opened, and the map is moved as by a hand.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from eval.embeddings import EmbeddingSet

MOVES = 60

DRAG = """async (moves) => {
    const canvas = document.querySelector('.map canvas');
    canvas.scrollIntoView({ block: 'center', behavior: 'instant' });
    const box = canvas.getBoundingClientRect();
    const send = (name, step) => canvas.dispatchEvent(new PointerEvent(name, { pointerId: 1, bubbles: true,
        clientX: box.left + 200 + 3 * step, clientY: box.top + 200 + step }));
    canvas.setPointerCapture = () => {};
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    await frame();
    send('pointerdown', 0);
    const times = [];
    for (let step = 1; step <= moves; step++) {
        send('pointermove', step);
        const begun = performance.now();
        await frame();
        await new Promise((done) => setTimeout(done));
        times.push(performance.now() - begun);
    }
    send('pointerup', moves);
    return times;
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--dimension", type=int, default=512)
    parser.add_argument("--kinds", type=int, default=100)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        vectors = options.photos
        if not (vectors / "manifest.json").exists():
            vectors = Path(scratch) / "vectors"
            drawn(options).save(vectors, made_from={}, images_root=options.photos.absolute(), left_out=[])
        out = options.out or Path(scratch) / "report"
        command = [sys.executable, "-m", "eval.recall", str(vectors), "--report", str(out), "--overwrite"]
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - begun
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        page = out / "report.html"
        print(f"seconds           {seconds:8.1f}, of the processor {used.ru_utime + used.ru_stime:.1f}")
        print(f"memory at its peak{used.ru_maxrss / 1e6:8.2f} GB")
        print(f"size of the page  {page.stat().st_size / 1e6:8.1f} MB")
        if chromium := shutil.which("chromium"):
            look(page, chromium)


def drawn(options: argparse.Namespace) -> EmbeddingSet:
    """Photos of a folder with drawn vectors."""
    files = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    files = files[: options.count]
    random = np.random.default_rng(0)
    codes = np.arange(len(files)) % options.kinds
    vectors = random.standard_normal((options.kinds, options.dimension), np.float32)[codes]
    vectors += 2.5 * random.standard_normal((len(files), options.dimension), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    paths = [path.relative_to(options.photos).as_posix() for path in files]
    labels = [f"kind {code}" for code in codes]
    return EmbeddingSet(vectors, pa.table({"id": paths, "label": labels, "path": paths}), "drawn")


def look(page: Path, chromium: str) -> None:
    """Open a report and move its map."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        begun = time.perf_counter()
        tab.goto(page.as_uri())
        tab.wait_for_selector(".map canvas")
        tab.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        opened = time.perf_counter() - begun
        tab.wait_for_timeout(1500)
        times = np.array(tab.evaluate(DRAG, MOVES))
        print(f"opened and drawn  {opened:8.1f} s")
        most = np.quantile(times, 0.95)
        print(f"the map by a hand {np.median(times):8.0f} ms a frame, {times.min():.0f} at best; 95 % in {most:.0f}")
        browser.close()


if __name__ == "__main__":
    main()
