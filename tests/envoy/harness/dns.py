"""A DNS server whose answers a test changes, standing in for CoreDNS and a headless Service."""

import threading
from collections import Counter
from typing import Any

from dnslib import QTYPE, RCODE, RR, A, DNSError, DNSRecord
from dnslib.server import BaseResolver, DNSHandler, DNSLogger, DNSServer

SILENT, GARBAGE = "no answer", "no DNS message"
"""Ways in which a server fails without a code."""

_DATAGRAM_BYTES = 512


class _Handler(DNSHandler):
    """Truncates what does not fit into a datagram, as CoreDNS does (RFC 1035, 4.2.1).

    A client that sends no EDNS option, such as Envoy's c-ares, is given 512 bytes. dnslib's own
    truncation drops the question, too, and c-ares takes such an answer for another question's.
    """

    def get_reply(self, data: bytes) -> bytes:
        packed: bytes = super().get_reply(data)
        failure = self.server.resolver.failure
        if failure is SILENT:
            # dnslib answers nothing then.
            raise DNSError(SILENT)
        if failure is GARBAGE:
            # The question's ID and flags, and counts of records that do not follow.
            return packed[:6] + b"\xff" * 6
        if self.protocol != "udp" or len(packed) <= _DATAGRAM_BYTES:
            return packed
        reply = DNSRecord.parse(packed)
        reply.header.tc = 1
        while len(packed) > _DATAGRAM_BYTES:
            reply.rr.pop()
            packed = reply.pack()
        return packed


class HeadlessService(BaseResolver):
    """A records of one name; a test adds and removes hosts, or makes the server fail."""

    def __init__(self, name: str, port: int, hosts: list[str], ttl_seconds: int) -> None:
        self.name = name
        self.port = port
        self.hosts = list(hosts)
        self.ttl_seconds = ttl_seconds
        self.failure: int | str | None = None
        """Code of every answer, or a way to fail without one."""
        self.asked: Counter[str] = Counter()
        """Questions by name, over UDP and TCP."""
        self.asked_over_tcp = 0
        quiet = DNSLogger("-recv,-send,-request,-reply,-truncated,-error,-data")
        self._servers = [
            DNSServer(self, "127.0.0.1", port, tcp=tcp, logger=quiet, handler=_Handler)
            for tcp in (False, True)
        ]

    def resolve(self, request: Any, handler: Any) -> Any:
        asked = str(request.q.qname).rstrip(".")
        self.asked[asked] += 1
        self.asked_over_tcp += handler.protocol == "tcp"
        reply = request.reply()
        if isinstance(self.failure, int):
            reply.header.rcode = self.failure
        elif asked != self.name or not self.hosts:
            reply.header.rcode = RCODE.NXDOMAIN
        elif request.q.qtype == QTYPE.A:
            for host in list(self.hosts):
                reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A(host), ttl=self.ttl_seconds))
        return reply

    def __enter__(self) -> "HeadlessService":
        for server in self._servers:
            threading.Thread(target=server.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the server; its port refuses questions from then on."""
        while self._servers:
            server = self._servers.pop()
            server.server.shutdown()
            server.server.server_close()
