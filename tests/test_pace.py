"""The choice of the number of threads, on made-up timings."""

import itertools

import pytest

from skmlp.backends.cpu.pace import Pace


def run(pace, seconds, n_calls):
    """Sizes chosen over some calls; ``seconds[size]`` are the times, over and over."""
    times = {size: itertools.cycle(series) for size, series in seconds.items()}
    sizes = []
    for _ in range(n_calls):
        size = pace.size()
        sizes.append(size)
        pace.record(size, next(times[size]))
    return sizes


def test_the_team_stays_where_it_is_faster():
    sizes = run(Pace(4), {4: [1.0], 1: [3.0]}, 400)
    assert sizes[:2] == [4, 4]
    assert 2 <= sizes.count(1) <= 20


def test_one_thread_takes_over_where_it_is_faster():
    sizes = run(Pace(4), {4: [1.2], 1: [1.0]}, 400)
    assert sizes[:4] == [4, 4, 1, 1]
    assert sizes[4:].count(4) <= 20


@pytest.mark.parametrize("before", [{2: [1.0], 1: [1.8]}, {2: [3.0], 1: [1.8]}])
def test_it_follows_the_machine(before):
    """Another process comes, or goes: the choice changes within some calls."""
    after = {2: [4.0 - before[2][0]], 1: [1.8]}
    pace = Pace(2)
    run(pace, before, 60)
    sizes = run(pace, after, 500)
    assert sizes[-1] == min(after, key=after.get)


def test_rare_stalls_count():
    """Fast nine times out of ten is not fast."""
    seconds = {2: [0.6] * 9 + [12.0], 1: [1.0]}
    assert run(Pace(2), seconds, 600).count(1) > 400


def test_noise_does_not_change_the_choice():
    assert run(Pace(2), {2: [1.0], 1: [0.98]}, 100).count(2) > 90


def test_one_thread_has_no_choice():
    assert set(run(Pace(1), {1: [1.0]}, 50)) == {1}
