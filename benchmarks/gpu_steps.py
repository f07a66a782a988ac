"""Times of a training step by several peers, within a time that is given to all.

A machine with a GPU is often lent for minutes. So everything that is timed has a share
of what is left: a peer that is slow takes part in fewer rounds, one round at least, and
what cannot start is left out by name.
"""

import statistics
import time

import numpy as np
import timing

_MOST_EPOCHS = 100_000


class Clock:
    """How much is left of some seconds.

    Parameters
    ----------
    seconds : float
    """

    def __init__(self, seconds):
        self._start = time.perf_counter()
        self._end = self._start + seconds

    def gone(self):
        """Seconds since it was made."""
        return time.perf_counter() - self._start

    def left(self):
        """Seconds; none once they are over."""
        return max(0.0, self._end - time.perf_counter())


class Stepper:
    """One peer on one workload, and the times of its steps.

    Parameters
    ----------
    peer : object
        With ``fit(epochs)``.
    steps : int
        Of an epoch.
    seconds : float
        That the long fit shall take longer than the short one.
    clock : Clock
        Of this peer; it plays no more once that is over.
    """

    def __init__(self, peer, steps, seconds, clock):
        self._peer = peer
        self._steps = steps
        self._clock = clock
        self._times = []
        first, again = self._timed(1), self._timed(1)
        self.first_fit = max(0.0, first - again)
        self._epochs = self._enough(seconds, again)

    def _timed(self, epochs):
        start = time.perf_counter()
        self._peer.fit(epochs)
        return time.perf_counter() - start

    def _enough(self, seconds, short):
        """Epochs of a long fit."""
        epochs = 2
        while True:
            gained = self._timed(epochs) - short
            if gained >= seconds or epochs >= _MOST_EPOCHS:
                return epochs
            factor = min(10.0, 1.3 * seconds / max(gained, 1e-9))
            epochs = min(_MOST_EPOCHS, 1 + int(np.ceil((epochs - 1) * factor)) + 1)

    def play(self):
        """Time one short and one long fit, if there is time for a further one."""
        if self._times and not self._clock.left():
            return
        timing.settle()
        short, long = self._timed(1), self._timed(self._epochs)
        self._times.append((long - short) / (self._epochs - 1) / self._steps)

    def result(self):
        """Microseconds of a step, the rounds' median first."""
        times = [1e6 * seconds for seconds in self._times]
        return {
            "step_us": statistics.median(times),
            "by_round": times,
            "epochs": self._epochs,
            "first_fit_over_steady": self.first_fit,
        }


class Field:
    """The peers that are measured on one workload, and those that could not be.

    Parameters
    ----------
    needed : str
        Name of the peer without which there is nothing to compare.

    Attributes
    ----------
    missing : dict of str to str
        Why a peer is not among the times.
    """

    def __init__(self, needed):
        self._needed = needed
        self._steppers = {}
        self.missing = {}

    def tried(self, name, call):
        """What a call returns, None if it fails, and the peer is out.

        Raises
        ------
        Exception
            If it is the peer that is needed.
        """
        try:
            return call()
        except Exception as error:  # of torch.compile, which needs a compiler of C
            if name == self._needed:
                raise
            self.missing[name] = f"{error!r:.500}"
            self._steppers.pop(name, None)
            print(f"{name} is NOT MEASURED: {error!r:.500}", flush=True)
            return None

    def enter(self, makers, steps, seconds, clock):
        """Make peers, each of which has its share of what is left.

        Parameters
        ----------
        makers : dict of str to callable
        steps : int
        seconds : float
            See `Stepper`.
        clock : Clock
            Of all.
        """
        for number, (name, make) in enumerate(makers.items()):
            own = Clock(clock.left() / (len(makers) - number))
            stepper = self.tried(
                name, lambda make=make, own=own: Stepper(make(), steps, seconds, own)
            )
            if stepper is not None:
                self._steppers[name] = stepper

    def play(self, rounds):
        """Times of all peers, which take turns.

        Returns
        -------
        dict of str to dict
            `Stepper.result` of each.
        """
        for _ in range(rounds):
            for name, stepper in list(self._steppers.items()):
                self.tried(name, stepper.play)
        return {name: stepper.result() for name, stepper in self._steppers.items()}
