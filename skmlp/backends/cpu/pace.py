"""How many members of a team work on the next call, found out while working.

What a thread more is worth cannot be known beforehand: beside another busy process a
team waits at its barriers for whichever member the system has taken off its core, and
one thread by itself is faster. Since the results do not depend on the number, it may
change from call to call: now and then a few calls are given to the other choice, and
the faster one stays. Means are compared, not single calls: a team beside another
process is fast most of the time and now and then very slow.
"""

# Calls of a trial, and calls between two trials: more and more of them.
_TRIAL = 2
_SHORTEST_INTERVAL, _LONGEST_INTERVAL = 16, 64
# The other choice must be this much better, or the noise of timings would decide.
_BETTER = 0.95
# What was seen before a trial counts half as much after it.
_FADING = 0.5


class Pace:
    """Chooses between all members of a team and one.

    Parameters
    ----------
    largest : int
        Size of the team.
    """

    def __init__(self, largest):
        self._choices = [largest, 1]
        # By choice: seconds and calls, the older ones faded.
        self._seen = {largest: [0.0, 0.0], 1: [0.0, 0.0]}
        # The first call may compile, so it tells nothing of either.
        self._until_trial = 2
        self._of_trial = _TRIAL
        self._interval = _SHORTEST_INTERVAL
        self._is_first = True

    def size(self):
        """Members for the next call."""
        current, other = self._choices
        return current if self._until_trial > 0 else other

    def record(self, size, seconds):
        """Tell how long a call took, per batch."""
        if not self._is_first:
            self._seen[size][0] += seconds
            self._seen[size][1] += 1.0
        self._is_first = False
        if self._until_trial > 0:
            self._until_trial -= 1
        else:
            self._of_trial -= 1
            if self._of_trial == 0:
                self._judge()

    def _judge(self):
        """Keep the faster choice until the next trial."""
        current, other = (
            seconds / calls
            for seconds, calls in (self._seen[choice] for choice in self._choices)
        )
        if other < _BETTER * current:
            self._choices.reverse()
        for seen in self._seen.values():
            seen[0] *= _FADING
            seen[1] *= _FADING
        self._until_trial = self._interval
        self._of_trial = _TRIAL
        self._interval = min(2 * self._interval, _LONGEST_INTERVAL)
