import faiss
import numpy as np
import pytest

from eval.errors import InputError
from index import kinds
from index.kinds import KINDS, choose, describe, parse_bytes, structure, wanted_search
from index.manifest import Search


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("1", 1), ("500MB", 500_000_000), ("2 gb", 2 * 10**9), ("1.5 GiB", 3 * 2**29), ("3KB", 3000)],
)
def test_numbers_of_bytes(text, expected):
    assert parse_bytes(text) == expected


@pytest.mark.parametrize("text", ["", "much", "-1GB", "0", "2 PB", "0.1", "1GBB", "2Gi"])
def test_what_is_no_number_of_bytes(text):
    with pytest.raises(InputError, match="give a number of bytes such as 500MB or 2GB"):
        parse_bytes(text)


def test_auto_is_exact_for_as_long_as_that_is_fast():
    assert choose("auto", 1, 512, None) is None
    assert choose("auto", kinds.FAST_ENOUGH // 512, 512, None) is None
    assert choose("auto", kinds.FAST_ENOUGH // 512 + 1, 512, None) == "HNSW16_SQ8"
    assert choose("auto", kinds.LARGEST_GRAPH + 1, 512, None) == "IVF8192,SQ8"


@pytest.mark.parametrize(
    ("megabytes", "expected"),
    [(700, "HNSW16_SQ8"), (600, "IVF4096,SQ8"), (200, "RR512,IVF4096,PQ256x4fs")],
)
def test_auto_takes_the_fastest_kind_that_fits(megabytes, expected):
    assert choose("auto", 1_000_000, 512, megabytes * 10**6) == expected


def test_auto_counts_the_vectors_that_exact_search_reads():
    """And those in half precision, which queries read that come alone."""
    assert choose("auto", 10_000, 512, 10_000 * 512 * 6) is None
    assert choose("auto", 10_000, 512, 10_000 * 512 * 6 - 1) == "HNSW16_SQ8"


def test_nothing_fits():
    with pytest.raises(InputError, match=r"need 136 MB at least \(--kind ivfpq\), and --max-memory is 100 MB"):
        choose("auto", 1_000_000, 512, 100_000_000)


def test_a_kind_that_is_named_is_taken_whatever_the_size():
    assert choose("hnsw", 10, 8, 1) == "HNSW16_SQ8"
    assert choose("flat", 10**9, 512, 1) is None
    assert choose("PCA8,IVF16,SQ4", 10, 512, None) == "PCA8,IVF16,SQ4"


@pytest.mark.parametrize("count", [1, 49, 50, 99, 100, 5000, 10**6])
def test_every_centroid_has_enough_references(count):
    cells = int(choose("ivf", count, 8, None).removeprefix("IVF").removesuffix(",SQ8"))
    assert cells == 1 or count / cells >= kinds.POINTS_A_CENTROID
    assert cells <= 8 * count**0.5


@pytest.mark.parametrize("dimension", [1, 2, 7, 8, 512])
@pytest.mark.parametrize("kind", KINDS)
def test_faiss_makes_every_kind_in_any_dimension(kind, dimension):
    factory = choose(kind, 1000, dimension, None)
    assert factory is None or isinstance(structure(factory, dimension), faiss.Index)


@pytest.mark.parametrize("kind", [name for name in KINDS if name not in ("flat", "ivfpq")])
@pytest.mark.parametrize("dimension", [64, 512])
def test_the_bytes_that_are_reckoned_with_are_those_of_the_file(kind, dimension, random_vectors, tmp_path):
    vectors = random_vectors(3000, dimension)
    made = structure(choose(kind, len(vectors), dimension, None), dimension)
    made.train(vectors)
    made = made if kind == "ivf" else faiss.IndexIDMap(made)
    made.add_with_ids(vectors, np.arange(len(vectors)))
    faiss.write_index(made, str(tmp_path / "file"))
    size = (tmp_path / "file").stat().st_size / len(vectors)
    centroids = 4 * dimension * made.nlist / len(vectors) if kind == "ivf" else 0
    assert size - centroids == pytest.approx(KINDS[kind].bytes(dimension), rel=0.05)


def test_what_is_no_kind():
    with pytest.raises(InputError, match="unknown kind 'hsnw'; did you mean 'hnsw'"):
        wanted_search("hsnw", 0.99, None, 8)
    with pytest.raises(InputError, match="FAISS makes no 'HNSW16,Nonsense2' for cosines of 8 numbers"):
        wanted_search("HNSW16,Nonsense2", 0.99, None, 8)
    with pytest.raises(InputError, match="FAISS makes no 'IVF16,PQ3' for cosines of 8 numbers"):
        wanted_search("IVF16,PQ3", 0.99, None, 8)


@pytest.mark.parametrize("target", [0, -1, 1.01, float("nan")])
def test_what_is_no_share(target):
    with pytest.raises(InputError, match=r"target_recall is .*; it must be above 0 and at most 1"):
        wanted_search("auto", target, None, 8)


def test_in_words():
    assert describe(Search()) == "exact"
    search = Search(
        factory="SQ8", recall=0.999, far_recall=0.99, milliseconds=0.251, exact_milliseconds=9.04, max_memory=1
    )
    assert describe(search) == (
        "auto: SQ8 finds 99.9% of the ten nearest (99.0% of a photo's that is far off) in 0.25 ms; exact search takes "
        "9.0 ms"
    )


@pytest.mark.parametrize("kind", ["HNSW0", "HNSW1", "HNSW1_SQ8", "IVF16_HNSW1,Flat"])
def test_a_graph_of_too_few_links_is_refused(kind):
    with pytest.raises(InputError, match="a graph takes 2 at least"):
        wanted_search(kind, 0.99, None, 32)
