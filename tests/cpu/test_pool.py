"""Items of work: each is done once, by its owner unless another one comes before."""

import threading

import numpy as np
import pytest
from numba import njit

from skmlp.backends.cpu.threads.pool import Team, meet, take


@njit(nogil=True)
def rounds(post, n_rounds, n_items, done):
    """In every round each item once; counts what it has taken itself."""
    for number in range(n_rounds):
        n = n_items[number % n_items.shape[0]]
        item = take(post, n)
        while item < n:
            done[post.member, number, item] += 1
            item = take(post, n)
        if not meet(post):
            return


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("n_items", [[1], [2], [7, 1], [3, 16], [0, 5]])
def test_every_item_is_taken_once(size, n_items):
    done = np.zeros((size, 400, 16), dtype=np.int64)
    numbers = np.array(n_items)
    with Team(size) as team:
        team.run(lambda post: rounds(post, 400, numbers, done))
        # A team works again and again, and with fewer members, too.
        team.run(lambda post: rounds(post, 400, numbers, done), max(1, size - 1))
    taken = done.sum(axis=0)
    for number in range(400):
        n = numbers[number % len(numbers)]
        assert (taken[number, :n] == 2).all()
        assert (taken[number, n:] == 0).all()


@njit(nogil=True)
def first_items(post, n_items, found):
    found[post.member] = take(post, n_items)
    meet(post)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_member_begins_with_its_own(size):
    found = np.full(size, -1)
    with Team(size) as team:
        team.run(lambda post: first_items(post, 2 * size, found))
    assert found.tolist() == list(range(size))


@njit(nogil=True)
def all_but_late(post, n_items, counts):
    item = take(post, n_items)
    while item < n_items:
        counts[post.member] += 1
        item = take(post, n_items)


def test_others_do_the_items_of_one_who_is_late():
    """Nobody waits at a barrier here: the late one comes when all has been done."""
    counts = np.zeros(2, dtype=np.int64)
    first_is_done = threading.Event()

    def work(post):
        if post.member == 1:
            assert first_is_done.wait(30)
        all_but_late(post, 10, counts)
        if post.member == 0:
            first_is_done.set()

    with Team(2) as team:
        team.run(work)
    assert counts.tolist() == [10, 0]
