"""Requests that no honest client makes: photos that are none, forms that are wrong, paths that lead elsewhere."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Sequence

from PIL import Image, features

FORMATS = [
    "JPEG",
    "PNG",
    "GIF",
    "BMP",
    "TIFF",
    "WEBP",
    "PPM",
    "JPEG2000",
    "ICO",
    "TGA",
    "PCX",
    "SGI",
    "DDS",
    "EPS",
    "PDF",
]
PATHS = (
    "/images/../../../etc/passwd",
    "/images/..%2f..%2f..%2fetc%2fpasswd",
    "/images/%2e%2e%2fmanifest.json",
    "/thumbnails/manifest.json",
    "/thumbnails//etc/passwd",
    "/shared/../service/app.py",
    "/shared/..%5c..%5cpasswd",
    "/../index/web/docs.html",
    "/web/docs.html",
    "/docs.html%00.png",
    "/images/%00",
    "/images/" + "a" * 3000,
    "/references/../undo",
    "//evil.example/docs",
    "/%c0%ae%c0%ae/etc/passwd",
    "/images/~root",
    "/images/file:///etc/passwd",
    "/.git/config",
    "/openapi.json/..",
    "/labels?limit=99999999999999999999",
    "/labels?search=%ff%fe&after=%00",
    "/references?after=-1&limit=0",
    "/references?label=" + "%F0%9F%90%A6" * 200,
    "/review?kind=../../etc&after=1e9",
    "/review?after=9223372036854775807",
)
VALUES = (
    "",
    "0",
    "-1",
    "1e9",
    "nan",
    "null",
    "true",
    "9" * 400,
    "\0",
    "\ud83d\ude00" * 50,
    "a" * 70_000,
    "[1,2",
    "../..",
    "' OR 1=1 --",
)
FIELDS = (
    "k",
    "label",
    "together",
    "box",
    "reference",
    "rival",
    "photo",
    "relabel",
    "generation",
    "to",
    "__proto__",
    "",
)


class Hostile:
    """Draws requests: method, path, headers and body.

    Args:
        photo: an honest JPEG.
        references: ids that are there, to be compared with.
        seed: of the draws.
    """

    def __init__(self, photo: bytes, references: Sequence[str], seed: int = 0) -> None:
        self._draw, self._references = random.Random(seed), references
        image = Image.open(io.BytesIO(photo)).convert("RGB")
        self._photos = [photo]
        for name in [*FORMATS, *(["AVIF"] if features.check("avif") else [])]:
            buffer = io.BytesIO()
            try:
                image.save(buffer, name)
            except (OSError, KeyError, ValueError):
                continue
            self._photos.append(buffer.getvalue())
        self._kinds: tuple[Callable[[], tuple[str, str, dict[str, str], bytes]], ...] = (
            self.mutated,
            self.mutated,
            self.mutated,
            self.bomb,
            self.values,
            self.values,
            self.path,
            self.form,
            self.headers,
            self.change,
        )

    def next(self) -> tuple[str, str, dict[str, str], bytes]:
        """A request of any kind."""
        return self._draw.choice(self._kinds)()

    def mutated(self) -> tuple[str, str, dict[str, str], bytes]:
        """A photo of some format with bytes changed, cut out, doubled or put in."""
        content = bytearray(self._draw.choice(self._photos))
        for _ in range(self._draw.choice((1, 1, 2, 5, 40))):
            place = (
                self._draw.randrange(len(content))
                if self._draw.random() < 0.5
                else self._draw.randrange(min(400, len(content)))
            )
            what = self._draw.randrange(5)
            if what == 0:
                content[place] ^= 1 << self._draw.randrange(8)
            elif what == 1:
                content[place : place + 4] = self._draw.choice(
                    (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\x80\0\0\0")
                )
            elif what == 2:
                del content[place : place + self._draw.randrange(1, 2000)]
            elif what == 3:
                content[place:place] = content[place : place + self._draw.randrange(1, 500)]
            else:
                content[place:place] = self._draw.randbytes(self._draw.randrange(1, 50))
            if not content:
                content = bytearray(b"\0")
        return self._posted([bytes(content)])

    def bomb(self) -> tuple[str, str, dict[str, str], bytes]:
        """A small file that says that it is enormous."""
        side = self._draw.choice((7_000, 20_000, 65_535, 2**31 - 1))
        what = self._draw.randrange(4)
        if what == 0:
            return self._posted([png(side, side, zlib.compress(b"\0" * 2_000_000, 9))])
        if what == 1:
            small = min(side, 65_535)
            return self._posted(
                [b"GIF89a" + struct.pack("<HH", small, small) + b"\xf7\0\0" + b"\0" * 768 + b",\0\0\0\0"]
            )
        if what == 2:
            return self._posted([b"P6\n%d %d\n255\n" % (side, side) + b"\0" * 1000])
        text = zlib.compress(b"x" * 50_000_000, 9)
        return self._posted(
            [png(8, 8, zlib.compress(b"\0" * 200), (b"zTXt", b"Comment\0\0" + text), (b"iCCP", b"p\0\0" + text))]
        )

    def values(self) -> tuple[str, str, dict[str, str], bytes]:
        """An honest photo with fields that are wrong."""
        fields = [(self._draw.choice(FIELDS), self._draw.choice(VALUES)) for _ in range(self._draw.randrange(1, 5))]
        return self._posted([self._photos[0]] * self._draw.randrange(3), fields)

    def path(self) -> tuple[str, str, dict[str, str], bytes]:
        """A path that leads elsewhere."""
        return self._draw.choice(("GET", "GET", "HEAD", "OPTIONS", "PUT", "TRACE")), self._draw.choice(PATHS), {}, b""

    def form(self) -> tuple[str, str, dict[str, str], bytes]:
        """A body that is no form, or one that is cut, nested, or of very many parts."""
        part = b'--EDGE\r\nContent-Disposition: form-data; name="photo"; filename="a"\r\n\r\n'
        body = self._draw.choice(
            (
                b"",
                b"--EDGE",
                part + self._photos[0][:500],
                part * 300 + b"--EDGE--",
                b'--EDGE\r\nContent-Disposition: form-data; name="label"\r\n\r\nx\r\n' * 3000 + b"--EDGE--",
                b"--EDGE\r\n" + b"X-Header: " + b"y" * 20_000 + b"\r\n\r\n--EDGE--",
                b"--EDGE\r\nContent-Disposition: form-data\r\n\r\nx\r\n--EDGE--",
                b'--EDGE\r\nContent-Disposition: attachment; filename="../../x"\r\n\r\nx\r\n--EDGE--',
                part + b"Content-Type: multipart/mixed; boundary=EDGE\r\n\r\n--EDGE--",
                self._draw.randbytes(3000),
                b'{"photo": "' + b"[" * 5000 + b'"}',
                b"photo=%ff&k=%00&label=" + b"a" * 2000,
            )
        )
        kind = self._draw.choice(
            (
                "multipart/form-data; boundary=EDGE",
                "multipart/form-data",
                "multipart/form-data; boundary=" + "b" * 500,
                "multipart/form-data; boundary=EDGE; charset=utf-7",
                "application/x-www-form-urlencoded",
                "application/json",
                "text/plain; charset=\xff",
                "",
            )
        )
        return "POST", self._draw.choice(("/search", "/explain")), {"Content-Type": kind}, body

    def headers(self) -> tuple[str, str, dict[str, str], bytes]:
        """Headers that are wrong, long or many."""
        given = self._draw.choice(
            (
                {"Host": "evil.example"},
                {"Host": "localhost:99999999"},
                {"Host": "[::1"},
                {"X-Long": "a" * 60_000},
                {f"X-{number}": "b" for number in range(300)},
                {"Origin": "http://evil.example"},
                {"Sec-Fetch-Site": "cross-site"},
                {"Content-Length": "99999999999"},
                {"Range": "bytes=0-99999999999"},
                {"Authorization": "Bearer " + "\xff" * 3000},
                {"Accept-Encoding": "gzip;q=nan", "If-None-Match": "*"},
                {"X-Forwarded-For": "\x01", "X-Forwarded-Host": "evil.example", "X-Original-URL": "/undo"},
                {"Upgrade": "websocket", "Connection": "Upgrade"},
                {"Expect": "100-continue"},
            )
        )
        return (
            self._draw.choice(("GET", "POST")),
            self._draw.choice(("/search", "/labels", "/docs", "/healthz")),
            given,
            b"",
        )

    def change(self) -> tuple[str, str, dict[str, str], bytes]:
        """A change by somebody who may not make it."""
        method, path = self._draw.choice(
            (("POST", "/references"), ("DELETE", "/references/0"), ("PATCH", "/references/0"), ("POST", "/undo"))
        )
        shown = self._draw.choice(({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}))
        _, _, head, body = self._posted([self._photos[0]], [("label", "x"), ("generation", "1"), ("to", "y")])
        return method, path, head | shown, body

    def _posted(
        self, photos: list[bytes], fields: list[tuple[str, str]] | None = None
    ) -> tuple[str, str, dict[str, str], bytes]:
        """A form with photos under a name of some kind, and fields; an explanation is asked of a reference there is."""
        name = self._draw.choice(("a.jpg", "../../etc/passwd", "a.svg", "\u202e.png", "x" * 2000, 'a"; name="k'))
        path = self._draw.choice(("/search", "/search", "/search", "/explain"))
        there = [(field, self._draw.choice(self._references)) for field in ("reference", "rival")]
        body = b""
        for field, value in [*(there if path == "/explain" else []), *(fields or [])]:
            head = f'--EDGE\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'
            body += head.encode("utf-8", "surrogatepass")
        for photo in photos:
            head = f'--EDGE\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\n\r\n'
            body += head.encode() + photo + b"\r\n"
        return "POST", path, {"Content-Type": "multipart/form-data; boundary=EDGE"}, body + b"--EDGE--\r\n"


def png(width: int, height: int, data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG that says what it likes."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), *chunks, (b"IDAT", data), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body
