"""A replica whose health checks are answered one by one, when a test says so."""

import queue
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.envoy.harness.bed import Bed
from tests.envoy.harness.raw import answering
from tests.envoy.harness.waiting import wait_until

Answer = Callable[[int], bytes]
"""Frames of an answer on a stream."""


class Checks:
    """The checks that the gateway makes of it; one is always waiting for its answer."""

    def __init__(self, answers: "queue.SimpleQueue[Answer]", asked: list[int]) -> None:
        self._answers = answers
        self._asked = asked
        self._given = 0

    def answer(self, answer: Answer) -> None:
        """Answer one; returns once the gateway has acted on it, and asks again."""
        self._answers.put(answer)
        self._given += 1
        wait_until("the next check", lambda: sum(self._asked) == self._given + 1)


@contextmanager
def by_hand(bed: Bed) -> Iterator[Checks]:
    """Let a bed's first replica, which it does not list yet, join and wait for answers."""
    replica = bed.fleet.replicas[0]
    bed.fleet.stop(replica)
    answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
    with answering(replica.host, bed.fleet.port, lambda stream: answers.get()(stream)) as asked:
        bed.dns.hosts = [replica.host]
        yield Checks(answers, asked)
