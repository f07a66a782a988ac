"""How the benchmarks take times: in turns, after a rest, an epoch as a difference.

The time of an epoch is that of a long fit less that of a fit of one epoch, divided by
the epochs between them: validation of the input, initialization and thread start-up
cancel. The first fit, which compiles, is reported separately.
"""

import math
import statistics
import time

# The previous peer's threads spin for a while after their last work: OpenBLAS's for
# 2^26 cycles plus counting, which took up to 0.08 s where it was measured.
_SETTLE_SECONDS = 0.2
# Shorter fits are repeated within a round, so that timer resolution and scheduler ticks
# are small beside them.
_MIN_SECONDS = 0.1
_MAX_REPEATS = 10


def settle():
    """Wait until the previous peer's threads have stopped spinning."""
    time.sleep(_SETTLE_SECONDS)


def seconds_of(call, repeats=1, rest=settle):
    """Mean time of a call, after a pause in which other threads stop spinning."""
    rest()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def medians_in_turns(calls, rounds):
    """Median seconds of some calls that take turns; the first turn is discarded.

    Parameters
    ----------
    calls : dict of callables
    rounds : int

    Returns
    -------
    dict of float
    """
    for call in calls.values():
        call()
    times = [
        {name: seconds_of(call) for name, call in calls.items()} for _ in range(rounds)
    ]
    return {name: statistics.median(turn[name] for turn in times) for name in calls}


class Contestant:
    """Times one peer on one workload.

    Parameters
    ----------
    peer : an instance of one of `peers.installed()`
    epochs : int
        Of the long fit.
    rest : callable
        Called before each turn.
    """

    def __init__(self, peer, epochs, rest=settle):
        self._peer = peer
        self._epochs = epochs
        self._rest = rest
        self._short, self._long = [], []
        self.loss = None
        first = seconds_of(self._fit_short)
        again = seconds_of(self._fit_short)
        self.first_fit = max(0.0, first - again)
        self._repeats = [
            min(_MAX_REPEATS, math.ceil(_MIN_SECONDS / seconds_of(fit)))
            for fit in (self._fit_short, self._fit_long)
        ]

    def _fit_short(self):
        self._peer.fit(1)

    def _fit_long(self):
        self.loss = self._peer.fit(self._epochs)

    def play(self):
        """Time one short and one long fit."""
        self._short.append(seconds_of(self._fit_short, self._repeats[0], self._rest))
        self._long.append(seconds_of(self._fit_long, self._repeats[1], self._rest))

    def result(self):
        """Medians, in seconds."""
        pairs = zip(self._short, self._long, strict=True)
        epochs = [(long - short) / (self._epochs - 1) for short, long in pairs]
        return {
            "epoch": statistics.median(epochs),
            "epochs_by_round": epochs,
            "fit": statistics.median(self._long),
            "first_fit_over_steady": self.first_fit,
            "loss": float(self.loss),
        }


def results_in_turns(peers, epochs, rounds, before_round=settle, rest=settle):
    """Results of some peers that take turns in every round.

    Parameters
    ----------
    peers : dict of peers, by name
    epochs : int
        Of the long fit.
    rounds : int
    before_round : callable
        Called at the beginning of each round.
    rest : callable
        Called before each turn.

    Returns
    -------
    dict of dict
        `Contestant.result` of each.
    """
    contestants = {name: Contestant(peer, epochs, rest) for name, peer in peers.items()}
    for _ in range(rounds):
        before_round()
        for contestant in contestants.values():
            contestant.play()
    return {name: contestant.result() for name, contestant in contestants.items()}
