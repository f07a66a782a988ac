"""The choice of the number of threads, on made-up timings."""

import itertools

import pytest

from skmlp.backends.cpu.threads.autotune import Pace

# Seconds of a batch are of this order: a trial is a few batches.
_UNIT = 1e-3


def run(pace, seconds, n_calls, n_batches=10):
    """Batches by size over some calls; ``seconds[size]`` are times, over and over."""
    times = {size: itertools.cycle(series) for size, series in seconds.items()}
    worked = dict.fromkeys(seconds, 0)
    last = None
    for _ in range(n_calls):
        size, batches = pace.next(n_batches)
        assert 1 <= batches <= n_batches
        duration = sum(next(times[size]) for _ in range(batches))
        pace.record(size, batches, _UNIT * duration)
        worked[size] += batches
        last = size
    return worked, last


def test_the_team_stays_where_it_is_faster():
    worked, _ = run(Pace(2), {2: [1.0], 1: [2.0]}, 2000)
    assert 2 <= worked[1] <= 0.03 * worked[2]


def test_a_short_fit_is_not_made_of_trials():
    worked, _ = run(Pace(2), {2: [1.0], 1: [2.0]}, 6, n_batches=4)
    assert worked[1] <= 2


def test_one_thread_takes_over_where_it_is_faster():
    worked, last = run(Pace(2), {2: [1.2], 1: [1.0]}, 2000)
    assert last == 1
    assert worked[2] <= 0.05 * worked[1]


def test_a_number_between_is_found():
    """More than four stand in each other's way, fewer do less."""
    seconds = {16: [3.0], 8: [1.5], 4: [1.0], 2: [1.9], 1: [3.7]}
    worked, _ = run(Pace(16), seconds, 4000)
    assert worked[4] > 0.8 * sum(worked.values())


@pytest.mark.parametrize("before", [{2: [1.0], 1: [1.8]}, {2: [3.0], 1: [1.8]}])
def test_it_follows_the_machine(before):
    """Another process comes, or goes: the choice changes within a while."""
    after = {2: [4.0 - before[2][0]], 1: [1.8]}
    pace = Pace(2)
    run(pace, before, 300)
    worked, _ = run(pace, after, 3000)
    better, worse = sorted(after, key=after.get)
    assert worked[better] > 2 * worked[worse]


def test_rare_stalls_count():
    """Fast nine times out of ten is not fast."""
    seconds = {2: [0.6] * 9 + [12.0], 1: [1.0]}
    worked, _ = run(Pace(2), seconds, 3000)
    assert worked[1] > 2 * worked[2]


def test_noise_does_not_change_the_choice():
    worked, last = run(Pace(2), {2: [1.0], 1: [0.98]}, 1000)
    assert last == 2
    assert worked[1] < 0.05 * worked[2]


def test_one_thread_has_no_choice():
    assert Pace(1).next(50) == (1, 50)


def grown(pace, by_all, by_one):
    """Let a pace of two make its first calls; returns the batches of each."""
    seen = []
    for expected in (2, 2, 1):
        size, n_batches = pace.next(1000)
        assert size == expected
        pace.record(size, n_batches, {1: by_one, 2: by_all}[size] * n_batches)
        seen.append(n_batches)
    return seen


def until_trial(pace, by_all):
    """Seconds that two members work until one is tried, and the batches of calls."""
    spent, seen = 0.0, []
    while True:
        size, n_batches = pace.next(1000)
        if size == 1:
            return spent, seen
        seen.append(n_batches)
        spent += by_all * n_batches
        pace.record(size, n_batches, by_all * n_batches)


@pytest.mark.parametrize(
    ("by_one", "at_least", "at_most"), [(2e-5, 0.06, 0.08), (1.1e-5, 0.007, 0.01)]
)
def test_the_first_trial_waits_where_there_is_no_doubt(by_one, at_least, at_most):
    pace = Pace(2)
    grown(pace, 1e-5, by_one)
    assert at_least < until_trial(pace, 1e-5)[0] < at_most


def test_half_of_a_larger_team_is_what_could_be_faster():
    """Eight that take a quarter of one's time may be slower than four."""
    pace = Pace(8)
    for size in (8, 8, 1):
        assert pace.next(1) == (size, 1)
        pace.record(size, 1, {8: 2.3e-4, 1: 1e-3}[size])
    for _ in range(60):
        size, _ = pace.next(1)
        if size == 4:
            return
        assert size == 8
        pace.record(size, 1, 2.3e-4)
    pytest.fail("four were not tried")


def test_long_batches_are_not_tried_before_a_trial_can_be_paid():
    """A batch by half the team, of a few in all, would take as long as two."""
    pace = Pace(2)
    n_done = 0
    while n_done < 24:
        size, n_batches = pace.next(24 - n_done)
        assert size == 2
        pace.record(size, n_batches, 0.01 * n_batches)
        n_done += n_batches


def test_a_call_that_is_much_slower_leads_to_a_trial():
    """Before there would be one: the team stands still as soon as it has grown."""
    pace = Pace(2)
    grown(pace, 1e-5, 2e-5)
    pace.record(2, 16, 4e-3)
    size, n_batches = pace.next(1000)
    assert size == 1
    pace.record(1, n_batches, 2e-5 * n_batches)
    assert pace.next(1000)[0] == 1


def test_calls_grow_by_steps():
    """However short the first ones seemed to be."""
    pace = Pace(2)
    assert grown(pace, 1e-7, 2e-7) == [1, 1, 4]
    assert until_trial(pace, 1e-7)[1][:4] == [16, 64, 256, 1000]
