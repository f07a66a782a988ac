"""How many members of a team work, found out while working.

What a thread more is worth cannot be known beforehand: beside another busy process a
team waits at its barriers for whichever member the system has taken off its core, and
fewer threads are faster. Since the results do not depend on the number, it may change
between two batches: now and then a few milliseconds are given to half as many members,
or to twice as many, and the faster choice stays. Trials are paid from a budget, a small
share of all the time spent so far, so that a short fit is not made of trials.

Means are compared, not single calls: a team beside another process is fast most of the
time and now and then very slow. A call that was much slower than those before is reason
enough for a trial, and none has many more batches than one that went well: what the
calls before tell of the time may be wrong by a hundred times.
"""

# Seconds before the first trial, and of a trial.
_FIRST_TRIAL, _TRIAL = 0.008, 0.002
# Share of all the time that trials may take.
_BUDGET = 0.03
# The other choice must be this much better, or the noise of timings would decide.
_BETTER = 0.95
# A call may have so many times the batches of the largest one before. It is slow if it
# takes so many times as long as expected, and longer by more than a trial, which is
# less than the time that a member taken off its core is gone for.
_GROWTH, _SLOWER = 4, 3
# What was seen before a trial counts half as much after it.
_FADING = 0.5


class Pace:
    """Chooses the number of members, from all of a team down to one by halves.

    Parameters
    ----------
    largest : int
        Size of the team.
    """

    def __init__(self, largest):
        self._sizes = [largest]
        while self._sizes[-1] > 1:
            self._sizes.append(self._sizes[-1] // 2)
        # By choice: seconds and batches, the older ones faded.
        self._seen = [[0.0, 0.0] for _ in self._sizes]
        self._current = 0
        self._direction = 1
        self._spent = 0.0
        self._next_trial = _FIRST_TRIAL
        self._largest = 1
        # The first call may compile, so it tells nothing.
        self._is_first = True

    def next(self, n_batches):
        """What to do next.

        Parameters
        ----------
        n_batches : int
            Batches that are there.

        Returns
        -------
        size : int
            Members to work.
        n_batches : int
            Batches to work on, at least one, before asking again.
        """
        if len(self._sizes) == 1:
            return 1, n_batches
        left = self._next_trial - self._spent
        if left > 0:
            return self._sizes[self._current], self._batches(left, n_batches)
        return self._sizes[self._other()], self._batches(_TRIAL, n_batches)

    def record(self, size, n_batches, seconds):
        """Tell how long so many batches took."""
        if self._is_first:
            self._is_first = False
            return
        is_trial = self._spent >= self._next_trial
        self._spent += seconds
        self._largest = max(self._largest, n_batches)
        seen = self._seen[self._sizes.index(size)]
        expected = n_batches * seen[0] / seen[1] if seen[1] else seconds
        is_slow = seconds > max(_SLOWER * expected, expected + _TRIAL)
        seen[0] += seconds
        seen[1] += n_batches
        if is_trial:
            self._judge(seconds)
        elif is_slow:
            self._next_trial = self._spent

    def _batches(self, seconds, n_batches):
        """Batches that take so many seconds, as far as is known, of those there."""
        spent, done = self._seen[self._current]
        if done == 0:
            return 1
        possible = int(seconds * done / spent)
        return max(1, min(n_batches, possible, _GROWTH * self._largest))

    def _other(self):
        """The neighbour of the current choice that is to be tried."""
        if not 0 <= self._current + self._direction < len(self._sizes):
            self._direction = -self._direction
        return self._current + self._direction

    def _judge(self, seconds):
        """Keep the faster choice until the next trial."""
        current, other = (self._seen[i] for i in (self._current, self._other()))
        if other[0] / other[1] < _BETTER * current[0] / current[1]:
            self._current = self._other()
        else:
            self._direction = -self._direction
        for seen in self._seen:
            seen[0] *= _FADING
            seen[1] *= _FADING
        self._next_trial = self._spent + seconds / _BUDGET
