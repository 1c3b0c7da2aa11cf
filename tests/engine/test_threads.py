"""The scheduler: every block once, sums in order, and a stop that leaves nothing running."""

import threading

import numpy as np
import pytest

from vggnumpy.engine.threads import InOrder, Workers


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_block_is_done_once_by_a_thread_with_its_own_workspace(threads):
    workers, done, owners = Workers(threads), [], {}

    def body(i, work):
        done.append(i)
        owners.setdefault(id(work), set()).add(threading.get_ident())

    workers.run(100, body)
    assert sorted(done) == list(range(100)) and len(owners) <= threads
    assert all(len(idents) == 1 for idents in owners.values())
    workers.run(0, body)
    assert len(done) == 100


def test_calls_are_made_in_order():
    in_order, made = InOrder(), []
    for number in (2, 0, 3, 1, 4):
        in_order(number, lambda number=number: made.append(number))
        assert made == sorted(made)
    assert made == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_exception_stops_the_others_and_comes_out(threads, error):
    workers, running = Workers(threads), []

    def body(i, work):
        running.append(i)
        if i == 5:
            raise error("stop")

    with pytest.raises(error):
        workers.run(100_000, body)
    count = len(running)
    assert count < 100_000
    workers.run(4, lambda i, work: running.append(i))  # usable again
    assert len(running) == count + 4


def test_errstate_of_the_caller_holds_in_the_threads():
    def body(i, work):
        np.float32(1e38) * np.float32(10)

    with np.errstate(over="ignore"):
        Workers(2).run(4, body)
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        Workers(2).run(4, body)
