"""A blob service that costs next to nothing, so that what is measured is the client.

Of blobs called ``part-…`` it keeps names and sizes but no bytes (they read as zeros); it checks no signatures, and can
add latency to each request, as a real account has. For benchmarks only: correctness is tested against Azurite.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
from bisect import bisect_left, insort
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_PAGE = 5000
_ZEROS = bytes(1 << 20)
_DATE = b"Sun, 22 Nov 2026 09:00:00 GMT"
_COMMON = (
    b"Last-Modified: " + _DATE + b"\r\nx-ms-version: 2025-01-05\r\nx-ms-request-id: 1\r\nx-ms-blob-type: BlockBlob\r\n"
)
_ITEM = (
    "<Blob><Name>{name}</Name><Properties><Creation-Time>Sun, 22 Nov 2026 09:00:00 GMT</Creation-Time>"
    "<Last-Modified>Sun, 22 Nov 2026 09:00:00 GMT</Last-Modified><Etag>{etag}</Etag>"
    "<Content-Length>{size}</Content-Length><Content-Type>application/octet-stream</Content-Type><Content-Encoding />"
    "<Content-Language /><Content-CRC64 /><Content-MD5 /><Cache-Control /><Content-Disposition />"
    "<BlobType>BlockBlob</BlobType><AccessTier>Hot</AccessTier><LeaseStatus>unlocked</LeaseStatus>"
    "<LeaseState>available</LeaseState><ServerEncrypted>true</ServerEncrypted></Properties><OrMetadata /></Blob>"
)


class Stub:
    """Serves ``http://127.0.0.1:<port>/<account>/<container>/…``.

    :param latency: seconds added to every request.
    """

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.sizes: dict[str, tuple[int, str]] = {}
        self.names: list[str] = []
        self.contents: dict[str, bytes] = {}
        self.blocks: dict[str, int] = {}
        self.version = 0
        self.lock = threading.Lock()

    def serve(self) -> None:
        server = socket.create_server(("127.0.0.1", 0), backlog=256)
        print(server.getsockname()[1], flush=True)
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._connection, args=(connection,), daemon=True).start()

    def _connection(self, connection: socket.socket) -> None:
        pending, scratch = b"", memoryview(bytearray(1 << 20))
        with connection:
            while True:
                while b"\r\n\r\n" not in pending:
                    if not (data := connection.recv(65536)):
                        return
                    pending += data
                head, pending = pending.split(b"\r\n\r\n", 1)
                low = head.lower()
                found = re.search(rb"content-length: *(\d+)", low)
                length = int(found[1]) if found else 0
                if b"100-continue" in low:
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                body, pending = pending[:length], pending[length:]
                got = len(body)
                while got < length:
                    read = connection.recv_into(scratch, min(len(scratch), length - got))
                    if not read:
                        return
                    if length < 1 << 20:
                        body += bytes(scratch[:read])
                    got += read
                if self.latency:
                    time.sleep(self.latency)
                self._answer(connection, head, low, body, length)

    def _answer(self, connection: socket.socket, head: bytes, low: bytes, body: bytes, length: int) -> None:
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        url = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        name = unquote(url.path.split("/", 3)[3]) if url.path.count("/") > 2 else ""
        if query.get("comp") == "list":
            page = self._list(query)
            connection.sendall(_head(b"200 OK", len(page), b"Content-Type: application/xml\r\n") + page)
        elif method == "PUT":
            etag = self._put(name, query, body, length)
            connection.sendall(_head(b"201 Created", 0, f'ETag: "{etag}"\r\n'.encode()))
        elif method == "DELETE":
            with self.lock:
                if self.sizes.pop(name, None):
                    del self.names[bisect_left(self.names, name)]
            connection.sendall(_head(b"202 Accepted", 0))
        elif not name:
            connection.sendall(_head(b"200 OK", 0, b'ETag: "0x1"\r\n'))
        elif name not in self.sizes:
            connection.sendall(_head(b"404 Not Found", 0, b"x-ms-error-code: BlobNotFound\r\n"))
        else:
            self._get(connection, method, name, low)

    def _put(self, name: str, query: dict[str, str], body: bytes, length: int) -> str:
        with self.lock:
            self.version += 1
            etag = f"0x8D{self.version:014X}"
            if query.get("comp") == "block":
                self.blocks[f"{name}\0{query['blockid']}"] = length
                return etag
            if query.get("comp") == "blocklist":
                ids = re.findall(r"<(?:Latest|Uncommitted|Committed)>([^<]+)<", body.decode())
                length = sum(self.blocks.pop(f"{name}\0{block}", 0) for block in ids)
            if "part-" not in name:
                self.contents[name] = body
            if name not in self.sizes:
                insort(self.names, name)
            self.sizes[name] = (length, etag)
            return etag

    def _get(self, connection: socket.socket, method: str, name: str, low: bytes) -> None:
        size, etag = self.sizes[name]
        found = re.search(rb"range: *bytes=(\d+)-(\d*)", low)
        first, last = (int(found[1]), min(int(found[2] or size - 1), size - 1)) if found else (0, size - 1)
        if found and first >= size:
            connection.sendall(_head(b"416 Range", 0, b"x-ms-error-code: InvalidRange\r\n"))
            return
        extra = f'ETag: "{etag}"\r\nAccept-Ranges: bytes\r\n'.encode()
        if found:
            extra += b"Content-Range: bytes %d-%d/%d\r\n" % (first, last, size)
        left = last - first + 1
        connection.sendall(_head(b"206 Partial Content" if found else b"200 OK", left, extra))
        if method == "GET" and name in self.contents:
            connection.sendall(self.contents[name][first : last + 1])
            return
        while method == "GET" and left > 0:
            connection.sendall(_ZEROS[:left])
            left -= min(left, len(_ZEROS))

    def _list(self, query: dict[str, str]) -> bytes:
        prefix, marker = query.get("prefix", ""), query.get("marker", "")
        with self.lock:
            start = bisect_left(self.names, marker or prefix)
            names = self.names[start : start + min(int(query.get("maxresults", _PAGE)), _PAGE) + 1]
            rows = [(name, *self.sizes[name]) for name in names if name.startswith(prefix)]
        following = rows.pop()[0] if len(rows) > min(int(query.get("maxresults", _PAGE)), _PAGE) else ""
        items = "".join(_ITEM.format(name=escape(name), size=size, etag=etag) for name, size, etag in rows)
        text = (
            '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="http://127.0.0.1/" '
            f'ContainerName="c"><Blobs>{items}</Blobs><NextMarker>{escape(following)}</NextMarker></EnumerationResults>'
        )
        return text.encode()


def _head(status: bytes, length: int, extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s%s\r\n" % (status, length, _COMMON, extra)


if __name__ == "__main__":
    Stub(float(sys.argv[1])).serve()
