"""The scheduler: every block once, sums in order, and a stop that leaves nothing running."""

import threading

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from vggnumpy import Objective, random_network
from vggnumpy.engine.threads import InOrder, Workers
from vggnumpy.nets import chain
from vggnumpy.nets.tables import conv, relu


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


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_products_are_shared_among_the_threads_while_one_of_them_runs_a_block(threads):
    rng = np.random.default_rng(0)
    A, B, workers = rng.normal(size=(7, 3, 4)), rng.normal(size=(7, 4, 2)), Workers(threads)
    out = np.full((7, 3, 2), np.nan)
    workers.run(1, lambda i, work: workers.multiply(A, B, out=out))
    np.testing.assert_allclose(out, A @ B, rtol=1e-14)


def test_blas_has_one_thread_during_an_evaluation_and_its_own_number_afterwards(monkeypatch):
    def blas_threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    net = random_network(chain([conv("conv1", 4), relu("relu1"), conv("conv2", 4), relu("relu2")]), dtype="float32")
    image = np.full((8, 8, 3), 100, "float32")
    fun = Objective(net, style_images=image, style={"relu2": 1.0})
    style_loss, seen = fun._style_loss, []
    monkeypatch.setattr(fun, "_style_loss", lambda *args: seen.append(blas_threads()) or style_loss(*args))
    with threadpool_limits(3, user_api="blas"):
        fun(image + 1)
        assert seen == [{1}] and blas_threads() == {3}
