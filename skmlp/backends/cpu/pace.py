"""How many members of a team work on the next call, found out while working.

What a thread more is worth cannot be known beforehand: beside another busy process a
team waits at its barriers for whichever member the system has taken off its core, and
one thread by itself is faster. Since the results do not depend on the number, it may
change from call to call: now and then one call is given to the other choice, and the
faster one stays.
"""

_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 16, 256
# The other choice must be this much better, or timings' noise would decide.
_BETTER = 0.95
# A call this much slower than usual is a reason to look at once.
_SLOWER = 1.3


class Pace:
    """Chooses between all members of a team and one.

    Parameters
    ----------
    largest : int
        Size of the team.
    """

    def __init__(self, largest):
        self._choices = [largest, 1]
        self._seconds = {}
        self._calls = 0
        # The first call may compile; the second is the first to be timed.
        self._next_trial = 2
        self._interval = _SHORTEST_INTERVAL

    def size(self):
        """Members for the next call."""
        current, other = self._choices
        return other if self._calls == self._next_trial else current

    def record(self, size, seconds):
        """Tell how long a call took, per batch."""
        self._calls += 1
        if self._calls == 1 or self._choices[0] == self._choices[1]:
            return
        usual = self._seconds.get(size, seconds)
        self._seconds[size] = 0.5 * (usual + seconds)
        if size != self._choices[0]:
            self._judge(seconds)
        elif seconds > _SLOWER * usual:
            self._next_trial = self._calls

    def _judge(self, seconds_of_other):
        """Compare a trial with what the current choice takes."""
        if seconds_of_other < _BETTER * self._seconds[self._choices[0]]:
            self._choices.reverse()
            self._interval = _SHORTEST_INTERVAL
        else:
            self._interval = min(2 * self._interval, _LONGEST_INTERVAL)
        self._next_trial = self._calls + self._interval
