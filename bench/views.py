"""How many random views of photos one core makes a second: what a GPU can be fed with.

    taskset -c 0 python -m bench.views FOLDER [--size 224] [--views 2000]

From the files, and from the cache of decoded squares (data.cache).
"""

import argparse
import tempfile
import time
from pathlib import Path

from embedder.config import AugmentSettings, Config, DataSettings
from embedder.data.catalog import read_catalog
from embedder.data.photos import load_training_photos


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--views", type=int, default=2000)
    options = parser.parse_args()
    catalog = read_catalog(options.photos)
    catalog = catalog.select(range(min(len(catalog), options.views)))
    mean = sum(catalog.file(row).stat().st_size for row in range(len(catalog))) / len(catalog)
    print(f"{len(catalog)} photos of {mean / 1e3:.0f} kB, views of {options.size} pixels")
    with tempfile.TemporaryDirectory() as folder:
        for cache in (None, folder):
            config = Config(data=DataSettings(size=options.size, cache=cache), augment=AugmentSettings())
            _, _, _, views = load_training_photos(catalog, config)
            began = time.perf_counter()
            for number in range(options.views):
                views.view((0, number % len(catalog), 0))
            rate = options.views / (time.perf_counter() - began)
            print(f"{'from the cache' if cache else 'from files':15} {rate:.0f} a second")
        size = sum(file.stat().st_size for file in Path(folder).rglob("*"))
        print(f"the cache takes {size / len(catalog) / 1e3:.0f} kB a photo")


if __name__ == "__main__":
    main()
