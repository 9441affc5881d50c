"""A provider that answers exactly the bytes it was told to, in the given pieces, and keeps what it
was sent.

    up = Upstream().start(); up.program([response, ...]); ...; up.requests; up.stop()

A response is {"status", "headers", "body": JSON or text}, in one piece with a content-length, or
{"status", "headers", "chunks": [...], "end": "clean"}: chunked, one HTTP chunk and one write for
each element. An element is a string, {"hex": ..}, {"b64": ..} or {"sleep_ms": n}; "end": "abort"
resets the connection; "gzip": true compresses the body (of a stream: flushed for each element). The
last programmed response repeats, so that further attempts see the same answer.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import threading
import time
import zlib
from typing import Dict, List, Optional
from urllib.parse import parse_qsl, urlsplit

from cases import chunk_bytes

# A pool has many keys of one upstream, and cases name them all alike: the number is taken off.
NUMBERED = re.compile(r"(upstream-key-[a-z-]+)-\d{4}\b")


class Upstream:
    def __init__(self, host: str = "127.0.0.1", port: int = 0, gap_ms: float = 3.0) -> None:
        self.host, self.port, self.gap = host, port, gap_ms / 1000.0
        self.responses: List[dict] = []
        self.requests: List[dict] = []
        self.disconnected = threading.Event()
        self.started_at: Optional[float] = None
        self._next = 0
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self._ready = threading.Event()

    # -- life cycle
    def start(self) -> "Upstream":
        threading.Thread(target=self._run, daemon=True).start()
        self._ready.wait(5)
        return self

    def _run(self) -> None:
        self._loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(
            asyncio.start_server(self._handle, self.host, self.port, limit=1 << 26)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()

    def stop(self) -> None:
        if self._loop:
            self._loop.call_soon_threadsafe(self._loop.stop)

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    # -- programming
    def program(self, responses: List[dict]) -> None:
        self.responses, self._next = list(responses), 0
        self.requests, self.started_at = [], None
        self.disconnected.clear()

    def _take(self, method: str) -> dict:
        if not self.responses or method in ("GET", "HEAD", "OPTIONS"):
            for r in self.responses:
                if r.get("method") == method:
                    return r
            if method in ("GET", "HEAD", "OPTIONS"):
                return {"status": 200, "headers": {"content-type": "application/json"}, "body": {}}
            return {
                "status": 500,
                "headers": {"content-type": "application/json"},
                "body": {
                    "error": {
                        "message": "nothing programmed",
                        "type": "server_error",
                        "code": 500,
                        "status": "INTERNAL",
                    }
                },
            }
        r = self.responses[min(self._next, len(self.responses) - 1)]
        self._next += 1
        return r

    # -- HTTP
    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sock = writer.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                line = await reader.readline()
                if not line:
                    break
                method, target, _ = line.decode("latin-1").split(" ", 2)
                headers: List[List[str]] = []
                while True:
                    h = (await reader.readline()).decode("latin-1")
                    if h in ("\r\n", "\n", ""):
                        break
                    k, _, v = h.partition(":")
                    headers.append([k.strip().lower(), NUMBERED.sub(r"\1", v.strip())])
                hd = dict(headers)
                if hd.get("expect", "").lower() == "100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                if "chunked" in hd.get("transfer-encoding", "").lower():
                    body = b""
                    while True:
                        size = int((await reader.readline()).split(b";")[0], 16)
                        if size == 0:
                            while (await reader.readline()) not in (b"\r\n", b"\n", b""):
                                pass
                            break
                        body += await reader.readexactly(size)
                        await reader.readline()
                else:
                    body = await reader.readexactly(int(hd.get("content-length") or 0))
                u = urlsplit(target)
                self.requests.append(
                    {
                        "method": method,
                        "path": u.path,
                        "query": dict(parse_qsl(u.query, keep_blank_values=True)),
                        "headers": hd,
                        "header_list": headers,
                        "body": body,
                        "time": time.monotonic(),
                    }
                )
                if not await self._answer(reader, writer, self._take(method)):
                    return
        except (asyncio.IncompleteReadError, ConnectionError, ValueError):
            pass
        finally:
            try:
                writer.close()
            except Exception:
                pass

    async def _answer(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, r: dict
    ) -> bool:
        status = r.get("status", 200)
        headers: Dict[str, str] = {k.lower(): v for k, v in (r.get("headers") or {}).items()}
        head = [f"HTTP/1.1 {status} Status"]
        gz = zlib.compressobj(wbits=31) if r.get("gzip") else None
        if gz:
            headers["content-encoding"] = "gzip"
        if "chunks" not in r:
            b = r.get("body")
            raw = (
                b.encode()
                if isinstance(b, str)
                else (b"" if b is None else json.dumps(b, ensure_ascii=False).encode())
            )
            if gz:
                raw = gz.compress(raw) + gz.flush()
            headers["content-length"] = str(len(raw))
            writer.write(
                (
                    "\r\n".join(head + [f"{k}: {v}" for k, v in headers.items()]) + "\r\n\r\n"
                ).encode()
                + raw
            )
            await writer.drain()
            return True
        headers["transfer-encoding"] = "chunked"
        self.started_at = time.monotonic()
        writer.write(
            ("\r\n".join(head + [f"{k}: {v}" for k, v in headers.items()]) + "\r\n\r\n").encode()
        )
        await writer.drain()
        watcher = asyncio.ensure_future(self._gone(reader))
        try:
            for part in r["chunks"]:
                if isinstance(part, dict) and "sleep_ms" in part:
                    done, _ = await asyncio.wait({watcher}, timeout=part["sleep_ms"] / 1000.0)
                    if done:
                        self.disconnected.set()
                        return False
                    continue
                data = chunk_bytes(part)
                if gz:
                    data = gz.compress(data) + gz.flush(zlib.Z_SYNC_FLUSH)
                if data:
                    writer.write(b"%x\r\n" % len(data) + data + b"\r\n")
                    await writer.drain()
                    if self.gap:
                        await asyncio.sleep(self.gap)
                if watcher.done() or writer.is_closing():
                    self.disconnected.set()
                    return False
            if r.get("end") == "abort":
                sock = writer.get_extra_info("socket")
                try:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                except Exception:
                    pass
                writer.transport.abort()
                return False
            if gz:
                tail = gz.flush()
                writer.write(b"%x\r\n" % len(tail) + tail + b"\r\n")
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            # The watcher may hold the first byte of a next request: each stream is its last one.
            return False
        except ConnectionError:
            self.disconnected.set()
            return False
        finally:
            watcher.cancel()

    @staticmethod
    async def _gone(reader: asyncio.StreamReader) -> None:
        """Ends when the peer closes (or sends something it should not)."""
        try:
            await reader.read(1)
        except (ConnectionError, OSError):
            pass
