"""The load generator keeps to its load model, and each call ends, whatever its engine does."""

import asyncio
import random
import time
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eventflow.call import Call
from eventflow.ledger import AccountingError, Ledger
from eventflow.load import ClosedLoop, Load, MaxThroughput, OpenLoop
from eventflow.load_generator import LoadGenerator, Plan
from eventflow.outcomes import Outcome, Verdict
from eventflow.processes import join, share
from eventflow.run import Burst, Run
from eventflow.target import Target
from fake_engine import FakeEngine

OK = Verdict(Outcome.OK, "")


def answer_soon(_: FakeEngine, call: Call) -> None:
    loop = asyncio.get_running_loop()
    loop.call_soon(lambda: call.settle(OK, loop.time()))


def make_room(engine: FakeEngine) -> None:
    engine.writable = True
    for listener in engine.room_listeners:
        listener()


def swallow(_: FakeEngine, call: Call) -> None:
    pass


def run(
    engine: FakeEngine,
    load: Load,
    calls: int | None,
    *,
    seconds: float | None = None,
    deadline: float = 5.0,
    during: Callable[[LoadGenerator, Ledger], None] = lambda *_: None,
) -> Ledger:
    async def main() -> Ledger:
        ledger = Ledger()
        plan = Plan(load=load, calls=calls, seconds=seconds, deadline_seconds=deadline)
        generator = LoadGenerator(engine, plan, lambda _: b"", ledger.make, ledger.settle)
        asyncio.get_running_loop().call_soon(during, generator, ledger)
        await generator.run()
        ledger.check(generator.calls)
        assert seconds is not None or generator.calls == calls
        return ledger

    return asyncio.run(main())


@pytest.mark.parametrize("load", [MaxThroughput(), ClosedLoop(7), OpenLoop(5000)], ids=str)
def test_exactly_the_calls_asked_for_are_made(load: Load) -> None:
    engine = FakeEngine(answer_soon)
    assert run(engine, load, 501).counts == {Outcome.OK: 501}
    assert [call.index for call in engine.submitted] == list(range(501))


def test_a_closed_loop_is_always_full_and_never_over() -> None:
    levels: list[int] = []

    def answer_one_when_full(engine: FakeEngine, _: Call) -> None:
        waiting = [call for call in engine.submitted if call.verdict is None]
        levels.append(len(waiting))
        if len(waiting) == 8:
            answer_soon(engine, random.choice(waiting))
        if len(engine.submitted) == 200:
            for call in waiting:
                answer_soon(engine, call)

    # Without a refill the engine would not answer, and the calls would be lost.
    assert run(FakeEngine(answer_one_when_full), ClosedLoop(8), 200).counts == {Outcome.OK: 200}
    assert max(levels) == 8


def test_an_open_loop_keeps_its_schedule_regardless_of_the_server() -> None:
    engine = FakeEngine(swallow)
    ledger = run(engine, OpenLoop(1000), 200, deadline=0.2)

    gaps = {
        round(ledger.made_at[i + 1] - ledger.made_at[i], 9) for i in range(len(ledger.made_at) - 1)
    }
    assert gaps == {0.001}
    assert all(call.deadline_at == pytest.approx(call.made_at + 0.2) for call in engine.submitted)


def test_a_late_client_loses_no_call_and_sends_no_expired_call() -> None:
    engine = FakeEngine(answer_soon)
    # The client is stalled for longer than all deadlines and the grace time after them.
    ledger = run(engine, OpenLoop(1000), 200, deadline=0.1, during=lambda *_: time.sleep(1.0))
    assert ledger.counts[Outcome.DEADLINE] >= 190
    assert ledger.counts == {
        Outcome.DEADLINE: 200 - len(engine.submitted),
        **({Outcome.OK: len(engine.submitted)} if engine.submitted else {}),
    }


def test_an_open_loop_with_a_time_limit_makes_the_calls_due_in_that_time() -> None:
    assert run(FakeEngine(answer_soon), OpenLoop(1000), None, seconds=0.25).made == 250
    assert run(FakeEngine(answer_soon), OpenLoop(1000), 100, seconds=0.25).made == 100
    assert 0 < run(FakeEngine(answer_soon), ClosedLoop(2), 10**9, seconds=0.05).made < 10**9


def test_a_burst_at_maximum_throughput_waits_while_the_socket_is_full() -> None:
    def fill_up(engine: FakeEngine, call: Call) -> None:
        answer_soon(engine, call)
        if len(engine.submitted) == 100:
            engine.writable = False
            asyncio.get_running_loop().call_later(0.1, let_go, engine)

    def let_go(engine: FakeEngine) -> None:
        assert len(engine.submitted) < 1000
        make_room(engine)

    assert run(FakeEngine(fill_up), MaxThroughput(), 1000).counts == {Outcome.OK: 1000}


def test_calls_that_end_do_not_shorten_the_wait_for_a_full_socket() -> None:
    made_into_a_full_socket: list[int] = []

    def fill_up(engine: FakeEngine, call: Call) -> None:
        loop = asyncio.get_running_loop()
        if not engine.writable:
            made_into_a_full_socket.append(call.index)
        if call.index in (9, 10):  # full each time for less than a deadline
            engine.writable = False
            loop.call_later(0.4, make_room, engine)
        # Most calls thus end while the socket is full for the first time.
        loop.call_later(0.02 * call.index, lambda: call.settle(OK, loop.time()))

    engine = FakeEngine(fill_up)
    engine.batch = 1
    assert run(engine, MaxThroughput(), 12, deadline=0.5).counts == {Outcome.OK: 12}
    assert made_into_a_full_socket == []


@pytest.mark.parametrize("load", [MaxThroughput(), ClosedLoop(4), OpenLoop(1000)], ids=str)
def test_calls_that_an_engine_loses_are_counted_as_lost(load: Load) -> None:
    def lose_some(engine: FakeEngine, call: Call) -> None:
        if call.index % 3:
            answer_soon(engine, call)

    engine = FakeEngine(lose_some)
    ledger = run(engine, load, 12, deadline=0.5)

    assert ledger.counts == {Outcome.OK: 8, Outcome.LOST: 4}
    assert [i for i in range(12) if ledger.outcome(i) is Outcome.LOST] == [0, 3, 6, 9]
    for call in engine.submitted[::3]:
        assert call.done_at - call.deadline_at >= 0.5
        call.settle(OK, 0.0)  # a later response changes nothing
    assert ledger.counts == {Outcome.OK: 8, Outcome.LOST: 4}


def test_a_stalled_client_counts_no_call_as_lost() -> None:
    def end_at_the_deadline(_: FakeEngine, call: Call) -> None:
        loop = asyncio.get_running_loop()
        over = Verdict(Outcome.DEADLINE, "by the client")
        loop.call_at(call.deadline_at, lambda: call.settle(over, loop.time()))

    def stand_still(*_: object) -> None:
        asyncio.get_running_loop().call_later(0.2, time.sleep, 1.0)

    # When the client continues, the sweep's timer is older than the deadlines, which have passed.
    ledger = run(
        FakeEngine(end_at_the_deadline), ClosedLoop(20), 20, deadline=0.4, during=stand_still
    )
    assert ledger.counts == {Outcome.DEADLINE: 20}


@settings(max_examples=30, deadline=None)
@given(
    calls=st.integers(1, 300),
    load=st.sampled_from([MaxThroughput(), ClosedLoop(5), OpenLoop(2000)]),
    answered=st.integers(0, 300),
)
def test_a_stopped_run_accounts_for_every_planned_call(
    calls: int, load: Load, answered: int
) -> None:
    def answer_first(engine: FakeEngine, call: Call) -> None:
        if call.index < answered:
            answer_soon(engine, call)

    def stop_soon(generator: LoadGenerator, _: Ledger) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(0.002, generator.stop)
        loop.call_later(0.003, generator.stop)  # a second Ctrl-C

    ledger = run(FakeEngine(answer_first), load, calls, during=stop_soon)

    assert set(ledger.counts) <= {Outcome.OK, Outcome.CANCELLED}
    assert ledger.counts.total() == calls


def test_a_ledger_refuses_a_call_that_ends_twice_or_never() -> None:
    ledger = Ledger()
    call = Call(ledger.make(0.0), b"", 0.0, 1.0, ledger.settle)
    with pytest.raises(AccountingError, match="1 entered and 0 ended"):
        ledger.check(1)
    call.settle(OK, 1.0)
    ledger.check(1)
    with pytest.raises(AccountingError, match="call 0 cannot end now"):
        ledger.settle(call)
    with pytest.raises(AccountingError, match="2 calls, but 1 entered"):
        ledger.check(2)
    ledger.ends[0] = 2  # not the outcome that was counted
    with pytest.raises(AccountingError):
        ledger.check(1)


@given(
    st.integers(1, 9),
    st.integers(9, 10**6),
    st.sampled_from([MaxThroughput(), ClosedLoop(9), OpenLoop(9)]),
)
def test_processes_divide_a_burst_without_remainder(processes: int, calls: int, load: Load) -> None:
    plan = Plan(load=load, calls=calls)
    whole = Burst(target=Target(host="h", port=1), plan=plan, message=b"")
    plans = [share(whole, number, processes).plan for number in range(processes)]
    assert sum(plan.calls or 0 for plan in plans) == calls
    loads = [plan.load for plan in plans]
    sizes = [load.size for load in loads if isinstance(load, ClosedLoop)]
    rates = [load.per_second for load in loads if isinstance(load, OpenLoop)]
    assert sum(sizes) == (9 if isinstance(load, ClosedLoop) else 0)
    assert sum(rates) == pytest.approx(9 if isinstance(load, OpenLoop) else 0)


@settings(max_examples=50, deadline=None)
@given(parts=st.lists(st.lists(st.sampled_from(list(Outcome)), max_size=20), min_size=1))
def test_joined_ledgers_hold_the_calls_of_each(parts: list[list[Outcome]]) -> None:
    whole = Ledger()
    for outcomes in parts:
        ledger = Ledger()
        for outcome in outcomes:
            call = Call(ledger.make(0.0), b"", 0.0, 1.0, ledger.settle)
            call.settle(Verdict(outcome, "x"), 1.0)
        whole.join(ledger)
    expected = [outcome for outcomes in parts for outcome in outcomes]
    whole.check(len(expected))
    assert [whole.outcome(index) for index in range(len(expected))] == expected


def test_joined_runs_that_miss_a_call_are_refused() -> None:
    def parts(*sizes: int) -> list[Run]:
        return [
            Run(run(FakeEngine(answer_soon), ClosedLoop(3), size), [], 0.0, 1.0, 0.0)
            for size in sizes
        ]

    plan = Plan(load=ClosedLoop(6), calls=7)
    assert join(parts(3, 4), plan).ledger.counts == {Outcome.OK: 7}
    with pytest.raises(AccountingError, match="7 calls, but 6 entered"):
        join(parts(3, 3), plan)
    cut_short = parts(3, 4)
    cut_short[1].ledger.done_at.pop()
    with pytest.raises(AccountingError):
        join(cut_short, plan)
