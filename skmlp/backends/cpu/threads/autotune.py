"""Autotuning of the thread count, from timings taken during the fit.

The best number of threads cannot be known in advance: beside another busy process the
pool waits at its barriers for whichever worker the system has preempted, and fewer
threads are faster. Since results do not depend on the number, it may change between
two batches. Now and then a trial of a few milliseconds runs with half or twice as many
workers, and the faster choice stays. Trials are paid from a budget, a small fraction of
the time spent so far, so that a short fit does not consist of trials.

For short batches, one early call is timed single-threaded: such a call takes as long to
wake the workers as to run without them. If the full pool is clearly faster than half of
it could be, the first trial waits until the budget covers it.

The tuner compares means, not single calls: a pool beside another process is fast most
of the time and now and then very slow. A call that was much slower than the previous
ones triggers a trial of fewer workers. A trial of more consists of two calls: in the
first, which is short, the workers wake up, and its time counts only if they found no
cores. The batches per call may grow at most fourfold from the largest previous call,
because earlier calls may predict the time wrongly by a factor of 100.

A fit often begins beside other running threads: a busy process, another fit, or the
workers of OpenBLAS, which spin for a tenth of a second after each call. A pool that
shares a core with them is slower than one thread. So a fit begins with as many workers
as find a free core, and while some are idle for that reason, the tuner looks at the
machine now and then. When the next larger choice has its cores, it forgets the timings
of the others and tries that at once. Until then short batches have few such trials, as
a barrier may wait for a time slice of milliseconds; but some, since what the system
counts need not concern this process, as in some containers.
"""

import math

from skmlp.backends.cpu.threads import load

# Seconds before the first trial, of a trial, and of the call that wakes more workers.
_FIRST_TRIAL, _TRIAL, _WAKING = 0.008, 0.002, 0.0005
# Batches of a trial of more workers, unless they are long.
_TRIAL_BATCHES = 4
# Seconds between two trials of more workers than cores are free, by short batches.
_BLIND = 1.0
# Fraction of all the time that trials may take.
_BUDGET = 0.03
# A batch of fewer seconds is short. The pool is clearly faster if it takes at most this
# fraction of the best time that half of it could take.
_SHORT, _CLEARLY = 4e-3, 0.8
# The alternative must take at most this fraction of the time, or the noise of timings
# would decide.
_BETTER = 0.95
# A call may have `_GROWTH` times the batches of the largest previous one. It is slow if
# it takes `_SLOWER` times as long as expected, and longer by more than a trial, which
# is less than the time for which the system preempts a worker.
_GROWTH, _SLOWER = 4, 2
# Seconds between two looks at the load of the machine.
_LOOK = 0.005
# Weight of the timings before a trial, once it is over.
_DECAY = 0.5


def _is_slow(seconds, expected):
    return seconds > max(_SLOWER * expected, expected + _TRIAL)


class ThreadCountTuner:
    """Chooses the number of workers: all of a pool, or half of it, down to one.

    Parameters
    ----------
    largest : int
        Threads of the pool.
    free_cores : callable
        Returns the number of cores that no other running thread occupies.
    """

    def __init__(self, largest, free_cores=load.free_cores):
        self._free_cores = free_cores
        self._choices = [largest]
        while self._choices[-1] > 1:
            self._choices.append(self._choices[-1] // 2)
        # Seconds and batches of each choice, decayed.
        self._seconds = [0.0] * len(self._choices)
        self._batches = [0.0] * len(self._choices)
        self._current = 0
        self._direction = 1
        self._spent = 0.0
        self._next_trial = _FIRST_TRIAL
        self._last_trial = 0.0
        self._is_before_trials = True
        self._has_begun = False
        # Free cores at the last choice, and the time of the next look at them.
        self._free_then = math.inf
        self._next_look = 0.0
        # Seconds of a batch with a single thread.
        self._single_thread_mean = 0.0
        # Whether the workers of the current trial have been woken.
        self._are_awake = False
        self._largest_call = 1
        # The first call may compile, so its timing is dropped.
        self._is_first = True

    def next(self, n_batches):
        """Size of the next call.

        Parameters
        ----------
        n_batches : int
            Batches that are left.

        Returns
        -------
        n_threads : int
            Workers to run.
        n_batches : int
            Batches to train on, at least one, before asking again.
        """
        if len(self._choices) == 1:
            return 1, n_batches
        if not self._has_begun:
            self._begin()
        if self._wants_single_thread():
            return 1, self._batches_in(_TRIAL, n_batches)
        if self._is_before_trials and self._spent >= self._next_trial:
            self._is_before_trials = False
            if not self._is_doubtful():
                self._next_trial = max(_TRIAL, self._mean(0)) / _BUDGET
        if self._is_relieved():
            self._try_more_threads()
        left = self._left()
        if left > 0:
            if self._is_crowded():
                left = min(left, _LOOK)
            return self._choices[self._current], self._batches_in(left, n_batches)
        return self._trial_call(n_batches)

    def record(self, n_threads, n_batches, seconds):
        """Record the time of a call of `n_batches` batches."""
        if self._is_first:
            self._is_first = False
            return
        is_trial = self._left() <= 0
        self._spent += seconds
        self._largest_call = max(self._largest_call, n_batches)
        if self._wants_single_thread():
            self._single_thread_mean = seconds / n_batches
            return
        choice = self._choices.index(n_threads)
        if is_trial and self._has_woken(choice, n_batches, seconds):
            return
        expected = n_batches * self._mean(choice) or seconds
        self._seconds[choice] += seconds
        self._batches[choice] += n_batches
        if is_trial:
            self._finish_trial(seconds)
        elif _is_slow(seconds, expected) and self._current < len(self._choices) - 1:
            self._is_before_trials = False
            self._direction = 1
            self._next_trial = self._spent

    def _mean(self, choice):
        """Mean seconds of a batch; 0 before the first timing."""
        n_batches = self._batches[choice]
        return self._seconds[choice] / n_batches if n_batches else 0.0

    def _wants_single_thread(self):
        """Whether to time a batch with a single thread now."""
        is_unknown = self._is_before_trials and self._single_thread_mean == 0
        return is_unknown and 0 < self._mean(0) < _SHORT

    def _begin(self):
        """Begin with as many workers as find a free core."""
        self._has_begun = True
        self._free_then = self._free_cores()
        last = len(self._choices) - 1
        while self._current < last and self._choices[self._current] > self._free_then:
            self._current += 1
        if self._current > 0:
            self._is_before_trials = False
            self._next_trial = _TRIAL / _BUDGET

    def _left(self):
        """Seconds until the next trial."""
        due = self._next_trial
        is_short = self._mean(self._current) < _SHORT
        if is_short and self._is_crowded() and self._alternative() < self._current:
            due = max(due, self._last_trial + _BLIND)
        return due - self._spent

    def _is_crowded(self):
        """Whether the next larger choice had no free cores when last looked at."""
        return self._current > 0 and self._free_then < self._choices[self._current - 1]

    def _is_relieved(self):
        """Whether the next larger choice has its cores now, other than before."""
        if not self._is_crowded() or self._spent < self._next_look:
            return False
        self._next_look = self._spent + _LOOK
        self._free_then = self._free_cores()
        return not self._is_crowded()

    def _try_more_threads(self):
        """Make the next call a trial of more workers, judged by this call alone."""
        self._direction = -1
        for choice in range(len(self._choices)):
            if choice != self._current:
                self._seconds[choice] = self._batches[choice] = 0.0
        self._next_trial = self._spent

    def _trial_call(self, n_batches):
        """Workers and batches of the next call of a trial."""
        alternative = self._alternative()
        seconds = _TRIAL
        if alternative < self._current:
            several = _TRIAL_BATCHES * min(self._mean(self._current), _SHORT)
            seconds = max(_TRIAL, several) if self._are_awake else _WAKING
        return self._choices[alternative], self._batches_in(seconds, n_batches)

    def _has_woken(self, choice, n_batches, seconds):
        """Whether more workers, woken by the call for a trial, have their cores."""
        if choice >= self._current or self._are_awake:
            return False
        expected = n_batches * self._mean(self._current)
        self._are_awake = not _is_slow(seconds, expected)
        return self._are_awake

    def _is_doubtful(self):
        """Whether half of the pool may be faster, judging by the first calls.

        Long batches are never doubtful, since no single-threaded call was timed: other
        workers steal the items of a late one.
        """
        best_of_half = self._single_thread_mean / self._choices[1]
        return 0 < _CLEARLY * best_of_half < self._mean(0)

    def _batches_in(self, seconds, n_batches):
        """Batches that take about `seconds`, at most `n_batches`."""
        mean = self._mean(self._current)
        if mean == 0:
            return 1
        possible = int(seconds / mean)
        return max(1, min(n_batches, possible, _GROWTH * self._largest_call))

    def _alternative(self):
        """The neighbor of the current choice to try next."""
        if not 0 <= self._current + self._direction < len(self._choices):
            self._direction = -self._direction
        return self._current + self._direction

    def _finish_trial(self, seconds):
        """Keep the faster choice until the next trial."""
        alternative = self._alternative()
        if self._mean(alternative) < _BETTER * self._mean(self._current):
            self._current = alternative
        else:
            self._direction = -self._direction
        self._seconds = [_DECAY * total for total in self._seconds]
        self._batches = [_DECAY * total for total in self._batches]
        self._are_awake = False
        self._free_then = self._free_cores()
        self._last_trial = self._spent
        self._next_trial = self._spent + seconds / _BUDGET
