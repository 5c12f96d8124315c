"""A DNS server whose answers a test changes, standing in for CoreDNS and a headless Service."""

import threading
from collections import Counter
from typing import Any

from dnslib import QTYPE, RCODE, RR, A
from dnslib.server import BaseResolver, DNSLogger, DNSServer


class HeadlessService(BaseResolver):
    """A records of one name; a test adds and removes hosts, or makes the server fail."""

    def __init__(self, name: str, port: int, hosts: list[str], ttl_seconds: int) -> None:
        self.name = name
        self.hosts = list(hosts)
        self.ttl_seconds = ttl_seconds
        self.failure: int | None = None
        self.asked: Counter[str] = Counter()
        quiet = DNSLogger("-recv,-send,-request,-reply,-truncated,-error,-data")
        self._servers = [
            DNSServer(self, "127.0.0.1", port, tcp=tcp, logger=quiet) for tcp in (False, True)
        ]

    def resolve(self, request: Any, handler: Any) -> Any:
        del handler
        asked = str(request.q.qname).rstrip(".")
        self.asked[asked] += 1
        reply = request.reply()
        if self.failure is not None:
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
        for server in self._servers:
            server.server.shutdown()
            server.server.server_close()
