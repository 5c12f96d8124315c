"""Runs against a hostile server whose accounts must add up."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from eventflow.call import Call
from eventflow.channel import Channel
from eventflow.kserve import Tensor, grpc_message, infer_request
from eventflow.ledger import Ledger
from eventflow.load import Load, MaxThroughput
from eventflow.load_generator import LoadGenerator, Plan
from eventflow.outcomes import Outcome
from eventflow.target import Target, Tls
from hostile_server import Hostile, Peer, hostile

MESSAGE = grpc_message(infer_request("echo", [Tensor.of_strings("INPUT", [b"x" * 60])]))

MAX_THROUGHPUT = MaxThroughput()


@dataclass
class Account:
    """Result of a run."""

    ledger: Ledger
    channel: Channel
    server: Hostile
    calls: list[Call]

    @property
    def counts(self) -> dict[Outcome, int]:
        return dict(self.ledger.counts)

    @property
    def details(self) -> dict[tuple[Outcome, str], int]:
        return dict(self.ledger.details)


async def run(
    server: Hostile,
    calls: int,
    *,
    load: Load = MAX_THROUGHPUT,
    deadline: float = 5.0,
    message: bytes = MESSAGE,
    prepare: Callable[[Channel], None] = lambda _: None,
    tls_options: Tls | None = None,
    **target: Any,
) -> Account:
    """Make calls, and check that the account holds each of them once."""
    channel = Channel(Target(host="127.0.0.1", port=server.port, tls=tls_options, **target))
    await channel.connect()
    prepare(channel)
    ledger, ended = Ledger(), list[Call]()

    def settled(call: Call) -> None:
        ledger.settle(call)
        ended.append(call)

    plan = Plan(load=load, calls=calls, deadline_seconds=deadline)
    generator = LoadGenerator(channel, plan, lambda _: message, ledger.make, settled)
    await generator.run()
    await channel.close()
    ledger.check(calls)
    assert Counter(call.index for call in ended) == Counter(range(calls))
    return Account(ledger, channel, server, sorted(ended, key=lambda call: call.index))


def account(
    behave: Callable[[Peer], Awaitable[None]],
    calls: int,
    *,
    tls: ssl.SSLContext | None = None,
    **options: Any,
) -> Account:
    """Make calls against a server with a behaviour."""

    async def main() -> Account:
        async with hostile(behave, tls) as server:
            return await run(server, calls, **options)

    return asyncio.run(main())
