"""The choice of the number of threads, on made-up timings."""

import pytest

from skmlp.backends.cpu.pace import Pace


def run(pace, seconds, n_calls):
    """Sizes chosen over some calls that take ``seconds[size]``."""
    sizes = []
    for _ in range(n_calls):
        size = pace.size()
        sizes.append(size)
        pace.record(size, seconds[size])
    return sizes


def test_the_team_stays_where_it_is_faster():
    sizes = run(Pace(4), {4: 1.0, 1: 3.0}, 400)
    assert sizes[0] == 4
    assert 1 <= sizes.count(1) <= 8


def test_one_thread_takes_over_where_it_is_faster():
    sizes = run(Pace(4), {4: 1.2, 1: 1.0}, 100)
    assert sizes[:3] == [4, 4, 1]
    assert sizes[3:].count(4) <= 3


@pytest.mark.parametrize("before", [{2: 1.0, 1: 1.8}, {2: 3.0, 1: 1.8}])
def test_it_follows_the_machine(before):
    """Another process comes, or goes: the choice changes within some calls."""
    after = {2: 3.0, 1: 1.8} if before[2] < before[1] else {2: 1.0, 1: 1.8}
    pace = Pace(2)
    run(pace, before, 40)
    sizes = run(pace, after, 300)
    assert set(sizes[-5:]) == {min(after, key=after.get)}


def test_noise_does_not_change_the_choice():
    assert run(Pace(2), {2: 1.0, 1: 0.98}, 100).count(2) > 90


def test_one_thread_has_no_choice():
    assert set(run(Pace(1), {1: 1.0}, 50)) == {1}
