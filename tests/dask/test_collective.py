"""The collective operations between workers: sums, errors, and nothing left behind."""

import time

import numpy as np
import pytest
from dask_ranks import (
    failing,
    fewer_sums,
    late,
    left_behind,
    many_sums,
    other_operations,
    reduced,
    run_ranks,
    told,
)

from skmlp.dask.training import open_rank
from skmlp.training.collective import Aborted

SHAPES = [(), (1,), (3, 5), (20_000,), (200_001,), (250, 800)]


@pytest.fixture(autouse=True)
def nothing_left(threads_client):
    yield
    assert not any(threads_client.run(left_behind).values())


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_reduce_adds_in_the_order_of_the_ranks(
    threads_client, n_ranks, dtype, shape
):
    rng = np.random.RandomState(0)
    vectors = [
        np.asarray(10.0**rank * rng.standard_normal(shape), dtype)
        for rank in range(n_ranks)
    ]
    expected = vectors[0].copy()
    for vector in vectors[1:]:
        expected = expected + vector
    for rank, (total, own) in enumerate(
        run_ranks(threads_client, reduced, vectors, n_ranks=n_ranks)
    ):
        assert total.dtype == dtype
        np.testing.assert_array_equal(total, expected, strict=True)
        np.testing.assert_array_equal(own, vectors[rank])
        assert not np.shares_memory(total, own)


@pytest.mark.parametrize("n_ranks", [2, 4])
def test_many_sums_are_the_same_everywhere(threads_client, n_ranks):
    vector = np.random.RandomState(0).rand(1000)
    found = run_ranks(threads_client, many_sums, 100, vector, n_ranks=n_ranks)
    for each in found:
        np.testing.assert_array_equal(each, found[0])


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_broadcast_and_gather(threads_client, n_ranks):
    values = [{"rank": rank, "data": np.arange(rank)} for rank in range(n_ranks)]
    found = run_ranks(threads_client, told, values, n_ranks=n_ranks)
    for rank, rounds in enumerate(found):
        for value, gathered in rounds:
            assert value["rank"] == 0
            # A copy of its own, also where all ranks are threads of one process.
            assert value is not values[0]
            if rank == 0:
                assert [each["rank"] for each in gathered] == [*range(n_ranks)]
            else:
                assert gathered is None
    assert len({id(rounds[0][0]) for rounds in found}) == n_ranks


@pytest.mark.parametrize(
    "names",
    [
        ("all_reduce loss", "all_reduce gradient"),
        ("broadcast loss", "gather loss"),
        ("broadcast loss", "broadcast gradient"),
        ("gather loss", "gather gradient"),
    ],
    ids=str,
)
def test_different_operations_are_an_error_on_both_ranks(threads_client, names):
    found = run_ranks(threads_client, other_operations, names, n_ranks=2)
    for error in found:
        assert isinstance(error, RuntimeError)
    # The first to notice names both; the other one may have heard of it.
    assert any(
        all(repr(name.partition(" ")[2]) in str(error) for name in names)
        and all(name.partition(" ")[0] in str(error) for name in names)
        for error in found
    )


@pytest.mark.parametrize("counts", [(3, 5), (5, 3)], ids=str)
def test_a_rank_that_ends_early_is_an_error(threads_client, counts):
    found = run_ranks(threads_client, fewer_sums, counts, np.ones(3), n_ranks=2)
    error = found[int(np.argmax(counts))]
    assert found[int(np.argmin(counts))] is None
    with pytest.raises(RuntimeError, match=r"at its end after 3\."):
        raise error


def test_different_shapes_are_an_error(threads_client):
    vectors = [np.ones(3), np.ones(4)]
    found = run_ranks(threads_client, reduced, vectors, n_ranks=2)
    assert any("float64 of shape (4,)" in str(error) for error in found)
    assert all(isinstance(error, RuntimeError) for error in found)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_failure_ends_all_ranks(threads_client, rank):
    found = run_ranks(threads_client, failing, rank, n_ranks=3)
    assert isinstance(found.pop(rank), ArithmeticError)
    for error in found:
        assert isinstance(error, Aborted)
        assert str(error) == "ArithmeticError: of one rank"


def test_a_rank_that_does_not_answer_is_named(threads_client):
    found = run_ranks(threads_client, late, 1, 2.0, n_ranks=3, timeout=1.0)
    address = sorted(threads_client.nthreads())[1]
    message, seconds = found[0]
    assert message.startswith(f"No answer from {address} (rank 1) within 1 seconds")
    assert 0.9 < seconds < 5


def test_mailboxes_that_nobody_comes_for_are_closed(threads_client):
    address = sorted(threads_client.nthreads())[0]
    threads_client.submit(
        open_rank, "fit", 0, 2, 0.2, workers=[address], pure=False
    ).result(10)
    deadline = time.monotonic() + 10
    while any(threads_client.run(left_behind).values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
