"""The autotuned thread count, on simulated timings."""

import itertools
import math

import pytest

from skmlp.backends.cpu.threads.autotune import ThreadCountTuner

# Order of magnitude of a batch's seconds: a trial is a few batches.
_UNIT = 1e-3


def quiet_tuner(largest):
    """A tuner on a machine on which nothing else runs."""
    return ThreadCountTuner(largest, free_cores=lambda: largest)


def run(tuner, seconds, n_calls, n_batches=10):
    """Batches by thread count; ``seconds[n_threads]`` are times of batches, in turn."""
    times = {
        n_threads: itertools.cycle(series) for n_threads, series in seconds.items()
    }
    worked = dict.fromkeys(seconds, 0)
    last = None
    for _ in range(n_calls):
        n_threads, batches = tuner.next(n_batches)
        assert 1 <= batches <= n_batches
        duration = sum(next(times[n_threads]) for _ in range(batches))
        tuner.record(n_threads, batches, _UNIT * duration)
        worked[n_threads] += batches
        last = n_threads
    return worked, last


def test_all_threads_stay_where_they_are_faster():
    worked, _ = run(quiet_tuner(2), {2: [1.0], 1: [2.0]}, 2000)
    assert 2 <= worked[1] <= 0.03 * worked[2]


def test_a_short_fit_has_few_trials():
    worked, _ = run(quiet_tuner(2), {2: [1.0], 1: [2.0]}, 6, n_batches=4)
    assert worked[1] <= 2


def test_one_thread_is_chosen_where_it_is_faster():
    worked, last = run(quiet_tuner(2), {2: [1.2], 1: [1.0]}, 2000)
    assert last == 1
    assert worked[2] <= 0.05 * worked[1]


def test_an_intermediate_number_is_chosen():
    """More than four threads slow each other down."""
    seconds = {16: [3.0], 8: [1.5], 4: [1.0], 2: [1.9], 1: [3.7]}
    worked, _ = run(quiet_tuner(16), seconds, 4000)
    assert worked[4] > 0.8 * sum(worked.values())


@pytest.mark.parametrize("before", [{2: [1.0], 1: [1.8]}, {2: [3.0], 1: [1.8]}])
def test_the_choice_follows_the_load_of_the_machine(before):
    """Another process starts, or ends: the choice changes after some calls."""
    after = {2: [4.0 - before[2][0]], 1: [1.8]}
    tuner = quiet_tuner(2)
    run(tuner, before, 300)
    worked, _ = run(tuner, after, 3000)
    better, worse = sorted(after, key=after.get)
    assert worked[better] > 2 * worked[worse]


def test_rare_stalls_count():
    """The mean decides, not the fast nine calls of ten."""
    seconds = {2: [0.6] * 9 + [12.0], 1: [1.0]}
    worked, _ = run(quiet_tuner(2), seconds, 3000)
    assert worked[1] > 2 * worked[2]


def test_noise_does_not_change_the_choice():
    worked, last = run(quiet_tuner(2), {2: [1.0], 1: [0.98]}, 1000)
    assert last == 2
    assert worked[1] < 0.05 * worked[2]


def test_one_thread_has_no_choice():
    assert quiet_tuner(1).next(50) == (1, 50)


def first_calls(tuner, all_threads, one_thread):
    """Make the first calls of a tuner for two threads; returns their batches."""
    seen = []
    for expected in (2, 2, 1):
        n_threads, n_batches = tuner.next(1000)
        assert n_threads == expected
        tuner.record(
            n_threads, n_batches, {1: one_thread, 2: all_threads}[n_threads] * n_batches
        )
        seen.append(n_batches)
    return seen


def time_until_trial(tuner, all_threads):
    """Seconds of two threads until the first trial of one, and batches by call."""
    spent, seen = 0.0, []
    while True:
        n_threads, n_batches = tuner.next(1000)
        if n_threads == 1:
            return spent, seen
        seen.append(n_batches)
        spent += all_threads * n_batches
        tuner.record(n_threads, n_batches, all_threads * n_batches)


@pytest.mark.parametrize(
    ("one_thread", "at_least", "at_most"), [(2e-5, 0.06, 0.08), (1.1e-5, 0.007, 0.01)]
)
def test_the_first_trial_is_postponed_where_it_could_not_pay(
    one_thread, at_least, at_most
):
    tuner = quiet_tuner(2)
    first_calls(tuner, 1e-5, one_thread)
    assert at_least < time_until_trial(tuner, 1e-5)[0] < at_most


def test_half_of_a_larger_pool_is_tried_early():
    """Eight threads at a quarter of one thread's time may be slower than four."""
    tuner = quiet_tuner(8)
    for n_threads in (8, 8, 1):
        assert tuner.next(1) == (n_threads, 1)
        tuner.record(n_threads, 1, {8: 2.3e-4, 1: 1e-3}[n_threads])
    for _ in range(60):
        n_threads, _ = tuner.next(1)
        if n_threads == 4:
            return
        assert n_threads == 8
        tuner.record(n_threads, 1, 2.3e-4)
    pytest.fail("four were not tried")


def test_long_batches_have_no_trial_before_the_budget_covers_it():
    """With few batches in all, one by half of the pool would take as long as two."""
    tuner = quiet_tuner(2)
    n_done = 0
    while n_done < 24:
        n_threads, n_batches = tuner.next(24 - n_done)
        assert n_threads == 2
        tuner.record(n_threads, n_batches, 0.01 * n_batches)
        n_done += n_batches


def test_a_much_slower_call_triggers_a_trial():
    """Earlier than scheduled: the pool stalls right after its first calls."""
    tuner = quiet_tuner(2)
    first_calls(tuner, 1e-5, 2e-5)
    tuner.record(2, 16, 4e-3)
    n_threads, n_batches = tuner.next(1000)
    assert n_threads == 1
    tuner.record(1, n_batches, 2e-5 * n_batches)
    assert tuner.next(1000)[0] == 1


def test_calls_grow_at_most_fourfold():
    """However short the first calls seemed to be."""
    tuner = quiet_tuner(2)
    assert first_calls(tuner, 1e-7, 2e-7) == [1, 1, 4]
    assert time_until_trial(tuner, 1e-7)[1][:4] == [16, 64, 256, 1000]


class Machine:
    """Counts how often it is asked for its free cores."""

    def __init__(self, free):
        self.free = free
        self.n_asked = 0

    def __call__(self):
        self.n_asked += 1
        return self.free


@pytest.mark.parametrize(
    ("free", "first"), [(16, 16), (17, 16), (15, 8), (5, 4), (1, 1), (-3, 1)]
)
def test_a_fit_begins_with_workers_that_find_a_core(free, first):
    assert ThreadCountTuner(16, Machine(free)).next(10)[0] == first


def test_a_system_that_does_not_say_begins_with_all():
    assert ThreadCountTuner(16, Machine(math.inf)).next(10)[0] == 16


def test_relief_is_noticed_at_once():
    """OpenBLAS's workers stop spinning 50 ms after the beginning of a fit."""
    machine = Machine(1)
    tuner = ThreadCountTuner(2, machine)
    worked, _ = run(tuner, {1: [1.0], 2: [9.0]}, 10, n_batches=5)
    assert worked[2] == 0
    machine.free = 2
    worked, _ = run(tuner, {1: [1.0], 2: [0.6]}, 10, n_batches=10)
    assert worked[1] <= 5


def test_lasting_load_is_left_alone():
    """Nothing is tried beyond the budget, and the look at the machine is cheap."""
    machine = Machine(1)
    tuner = ThreadCountTuner(2, machine)
    worked, _ = run(tuner, {1: [1.0], 2: [2.0]}, 1000, n_batches=50)
    assert worked[2] <= 0.03 * worked[1]
    assert machine.n_asked <= worked[1] * _UNIT / 0.004


def test_a_free_machine_is_not_asked_again():
    machine = Machine(2)
    tuner = ThreadCountTuner(2, machine)
    run(tuner, {1: [2.0], 2: [1.0]}, 6)
    assert machine.n_asked == 1


def test_a_short_fit_never_tries_more_workers_than_cores_are_free():
    """A barrier beside a busy process waits for a slice of it: milliseconds."""
    tuner = ThreadCountTuner(2, Machine(1))
    worked, _ = run(tuner, {1: [1.0], 2: [90.0]}, 90, n_batches=10)
    assert worked[2] == 0
    worked, _ = run(tuner, {1: [1.0], 2: [0.6]}, 500, n_batches=10)
    assert worked[2] > worked[1]  # what the system counts was elsewhere


@pytest.mark.parametrize("free", [0, 2])
def test_a_slow_call_of_one_thread_tries_no_more_of_them(free):
    machine = Machine(1)
    tuner = ThreadCountTuner(2, machine)
    run(tuner, {1: [1.0]}, 4, n_batches=1)
    tuner.record(1, 1, 50 * _UNIT)
    machine.free = free
    assert tuner.next(10)[0] == (1 if free < 2 else 2)


@pytest.mark.parametrize(("free", "chosen"), [(1, 1), (2, 2), (4, 4)])
def test_relief_is_as_many_cores_as_the_next_choice_has_workers(free, chosen):
    machine = Machine(0)
    tuner = ThreadCountTuner(4, machine)
    run(tuner, {1: [1.0]}, 10, n_batches=5)
    machine.free = free
    _, last = run(tuner, {1: [1.0], 2: [0.6], 4: [0.4]}, 60, n_batches=10)
    assert last == chosen


def test_the_call_that_wakes_workers_is_not_counted():
    machine = Machine(1)
    tuner = ThreadCountTuner(2, machine)
    run(tuner, {1: [1.0]}, 10, n_batches=5)
    machine.free = 2
    while tuner.next(5)[0] == 1:
        tuner.record(1, 5, 5 * _UNIT)
    tuner.record(2, 1, 2.5 * _UNIT)
    n_threads, n_batches = tuner.next(5)
    assert n_threads == 2
    assert n_batches >= 4
    tuner.record(2, n_batches, 0.6 * _UNIT * n_batches)
    assert tuner.next(5)[0] == 2


def test_long_batches_may_share_a_core_with_another_process():
    """Their workers steal work from each other; a time slice is short beside them."""
    tuner = ThreadCountTuner(2, Machine(1))
    worked, last = run(tuner, {1: [50.0], 2: [41.0]}, 60, n_batches=10)
    assert last == 2
    assert worked[2] > 2 * worked[1]
