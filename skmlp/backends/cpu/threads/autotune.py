"""How many members of a team work, found out while working.

What a thread more is worth cannot be known beforehand: beside another busy process a
team waits at its barriers for whichever member the system has taken off its core, and
fewer threads are faster. Since the results do not depend on the number, it may change
between two batches: now and then a few milliseconds are given to half as many members,
or to twice as many, and the faster choice stays. Trials are paid from a budget, a small
share of all the time spent so far, so that a short fit is not made of trials. Where a
batch is short one of the first calls goes to a single member: as short a call takes as
long to wake the others as to do without them, and if the team is then so fast that half
of it could hardly be faster, the first trial waits until it can be paid.

Means are compared, not single calls: a team beside another process is fast most of the
time and now and then very slow. A call that was much slower than those before is reason
enough for a trial, and none has many more batches than one that went well: what the
calls before tell of the time may be wrong by a hundred times.
"""

# Seconds before the first trial, and of a trial.
_FIRST_TRIAL, _TRIAL = 0.008, 0.002
# Share of all the time that trials may take.
_BUDGET = 0.03
# A batch of fewer seconds is short, and the team is clearly faster if it takes at most
# this share of what half of it would take at best.
_SHORT, _CLEARLY = 4e-3, 0.8
# The other choice must be this much better, or the noise of timings would decide.
_BETTER = 0.95
# A call may have so many times the batches of the largest one before. It is slow if it
# takes so many times as long as expected, and longer by more than a trial, which is
# less than the time that a member taken off its core is gone for.
_GROWTH, _SLOWER = 4, 2
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
        self._is_before_trials = True
        # Seconds of a batch that one member did.
        self._by_one = 0.0
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
        if self._is_to_be_seen_alone():
            return 1, self._batches(_TRIAL, n_batches)
        if self._is_before_trials and self._spent >= self._next_trial:
            self._is_before_trials = False
            if not self._is_doubtful():
                self._next_trial = max(_TRIAL, self._mean(0)) / _BUDGET
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
        if self._is_to_be_seen_alone():
            self._by_one = seconds / n_batches
            return
        choice = self._sizes.index(size)
        seen = self._seen[choice]
        expected = n_batches * self._mean(choice) or seconds
        is_slow = seconds > max(_SLOWER * expected, expected + _TRIAL)
        seen[0] += seconds
        seen[1] += n_batches
        if is_trial:
            self._judge(seconds)
        elif is_slow:
            self._is_before_trials = False
            self._next_trial = self._spent

    def _mean(self, choice):
        """Seconds of a batch, as far as is known; 0 if nothing is."""
        seconds, n_batches = self._seen[choice]
        return seconds / n_batches if n_batches else 0.0

    def _is_to_be_seen_alone(self):
        """Whether it is time to see what one member takes for a batch."""
        return self._by_one == 0 and 0 < self._mean(0) < _SHORT

    def _is_doubtful(self):
        """Whether half the team may be faster, for all that the first calls tell.

        Nothing is known of long batches: whoever is late in one has others take over.
        """
        by_half = self._by_one / self._sizes[1]
        return 0 < _CLEARLY * by_half < self._mean(0)

    def _batches(self, seconds, n_batches):
        """Batches that take so many seconds, as far as is known, of those there."""
        mean = self._mean(self._current)
        if mean == 0:
            return 1
        possible = int(seconds / mean)
        return max(1, min(n_batches, possible, _GROWTH * self._largest))

    def _other(self):
        """The neighbor of the current choice that is to be tried."""
        if not 0 <= self._current + self._direction < len(self._sizes):
            self._direction = -self._direction
        return self._current + self._direction

    def _judge(self, seconds):
        """Keep the faster choice until the next trial."""
        other = self._other()
        if self._mean(other) < _BETTER * self._mean(self._current):
            self._current = other
        else:
            self._direction = -self._direction
        for seen in self._seen:
            seen[0] *= _FADING
            seen[1] *= _FADING
        self._next_trial = self._spent + seconds / _BUDGET
