"""Times of a training step by several peers, within a time that is given to all.

A machine with a GPU is often lent for minutes. So everything that is timed has a share
of what is left: a peer that is slow takes part in fewer rounds, one round at least.
What cannot start is left out by name, and so is what need not once no time is left.
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
    share : float
        Seconds of fits after which it plays no more.

    Attributes
    ----------
    first_fit : float
        Seconds that the first fit took over the second.
    loss : float
        After one epoch.
    """

    def __init__(self, peer, steps, seconds, share):
        self._peer = peer
        self._steps = steps
        self._share = share
        self._spent = 0.0
        self._times = []
        self.loss = None
        first, again = self._timed(1), self._timed(1)
        self.first_fit = max(0.0, first - again)
        self._epochs = self._enough(seconds, again)

    def _timed(self, epochs):
        start = time.perf_counter()
        loss = self._peer.fit(epochs)
        seconds = time.perf_counter() - start
        self._spent += seconds
        if self.loss is None:
            self.loss = float(loss)
        return seconds

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
        """Time one short and one long fit, if its share is not spent."""
        if self._times and self._spent >= self._share:
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
            "loss": self.loss,
        }


class Field:
    """The peers that are measured on one workload, and those that could not be.

    Parameters
    ----------
    needed : tuple of str
        Names of the peers without which there is nothing to compare.

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
            If it is a peer that is needed.
        """
        try:
            return call()
        except Exception as error:  # of torch.compile, which needs a compiler of C
            if name in self._needed:
                raise
            self._leave_out(name, f"{error!r:.500}")
            return None

    def _leave_out(self, name, reason):
        self.missing[name] = reason
        self._steppers.pop(name, None)
        print(f"{name} is NOT MEASURED: {reason}", flush=True)

    def in_time(self, names, clock):
        """Yield those of some peers that there is time for, and the share of each.

        Parameters
        ----------
        names : sequence of str
        clock : Clock
            Of all.

        Yields
        ------
        name : str
        share : float
            Seconds, of what is left.
        """
        for number, name in enumerate(names):
            if name in self._needed or clock.left():
                yield name, clock.left() / (len(names) - number)
            else:
                self._leave_out(name, "no time was left")

    def enter(self, makers, clock):
        """Time each peer once as soon as it is made: a later one may end the process.

        Parameters
        ----------
        makers : dict of str to callable
            Functions of a peer's share that make its `Stepper`.
        clock : Clock
            Of all.

        Yields
        ------
        dict
            As `times`, after each peer.
        """
        for name, share in self.in_time(list(makers), clock):
            stepper = self.tried(name, lambda n=name, s=share: makers[n](s))
            if stepper is not None:
                self._steppers[name] = stepper
                self.tried(name, stepper.play)
            yield self.times()

    def play(self, rounds, clock):
        """Let all peers take turns, till the clock is over.

        Yields
        ------
        dict
            As `times`, after each round.
        """
        for _ in range(rounds):
            if not clock.left():
                return
            for name, stepper in list(self._steppers.items()):
                self.tried(name, stepper.play)
            yield self.times()

    def times(self):
        """`Stepper.result` of each peer by name, as far as it has been timed."""
        return {name: stepper.result() for name, stepper in self._steppers.items()}
