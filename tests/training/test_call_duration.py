"""How long a call of a backend takes: Ctrl-C waits for it, and a GPU cannot be stopped.

On a clock and a device that are made up: training asks the one, and the other moves it.
"""

from types import SimpleNamespace

import numpy as np
import pytest

from skmlp.training import minibatch, stopping
from skmlp.training.optimizer_state import StepRates

# Of one call; what it takes to launch anything; and to compile a kernel.
LIMIT = 0.3
LAUNCH, COMPILATION = 3e-4, 5.0


class Device:
    """A device on a clock of its own.

    Parameters
    ----------
    seconds_of_row : callable
        Seconds that a row takes, by its number.
    compiles : bool
        Whether the first call compiles a kernel.

    Attributes
    ----------
    now : float
    launches : list of float
        Seconds of each.
    spans : list of tuple of int
    """

    def __init__(self, seconds_of_row, *, compiles=False):
        self.now, self.launches, self.spans = 0.0, [], []
        self._seconds_of_row, self._compiles = seconds_of_row, compiles

    def train(self, optimizer, order, batch_size, span, rates, total):
        if self._compiles and not self.launches:
            self.now += COMPILATION
        rows = order[span[0] * batch_size : span[1] * batch_size]
        self.launches.append(sum(map(self._seconds_of_row, rows)))
        self.spans.append(span)
        self.now += LAUNCH + self.launches[-1]
        return total + len(rows)


@pytest.fixture
def trained(monkeypatch):
    """``trained(device, ...)``: some epochs on its clock."""

    def trained(device, n_rows, batch_size, epochs=1, max_time=None):
        watch = SimpleNamespace(perf_counter=lambda: device.now)
        monkeypatch.setattr(minibatch, "time", watch)
        monkeypatch.setattr(stopping, "time", watch)
        timed = minibatch._Calls(stopping.Clock(max_time))
        optimizer = SimpleNamespace(
            next_rates=lambda span, n_batches: StepRates(None, [0.1])
        )
        orders, found = np.arange(n_rows)[np.newaxis], []
        for _ in range(epochs):
            losses, _, done = timed.train(device, optimizer, orders, batch_size)
            found.append((*losses, done))
        return found

    return trained


def assert_whole_epochs(device, n_batches, epochs):
    """Whether each batch was trained on once an epoch, in order."""
    numbers = [n for first, last in device.spans for n in range(first, last)]
    assert numbers == epochs * [*range(n_batches)]


@pytest.mark.parametrize("compiles", [False, True])
@pytest.mark.parametrize("seconds", [1e-7, 1e-6, 2e-5, 1e-3])
@pytest.mark.parametrize("n_rows", [5, 999, 10_000, 10_001])
def test_no_launch_takes_longer_than_a_slice(trained, n_rows, seconds, compiles):
    device = Device(lambda row: seconds, compiles=compiles)
    found = trained(device, n_rows, 20, epochs=4)
    assert found == 4 * [(1.0, n_rows)]
    assert_whole_epochs(device, -(-n_rows // 20), 4)
    assert max(device.launches) <= 0.1 + 1e-9
    needed = sum(device.launches) / 0.1
    # Few at the beginning, none for nothing after that.
    assert len(device.launches) <= 8 + 4 * 1 + 1.5 * needed


def test_a_short_last_batch_is_not_taken_for_a_fast_one(trained):
    """Batches take 60 ms, the last one, of a single row, hardly anything."""
    device = Device(lambda row: 0.06 / 1000)
    trained(device, 20_001, 1000, epochs=3)
    assert_whole_epochs(device, 21, 3)
    assert max(device.launches) <= LIMIT


def test_a_short_last_batch_is_not_taken_for_a_slow_one(trained):
    """Nor does it undo what is known of how long calls may be."""
    device = Device(lambda row: 1e-7)
    trained(device, 600_001, 100, epochs=8)
    assert len(device.spans) <= 8 + 8


@pytest.mark.parametrize("light", [1, 3, 30])
def test_light_rows_before_heavy_ones(trained, light):
    """As sparse rows are that come first and have no entries."""
    device = Device(lambda row: 1e-7 if row < light * 100 else 8e-5)
    trained(device, 20_000, 100)
    assert max(device.launches) <= LIMIT


@pytest.mark.parametrize("slower", [2, 3])
def test_a_device_that_others_begin_to_use(trained, slower):
    device = Device(lambda row: 1e-5 * (slower if device.now > 1 else 1))
    trained(device, 50_000, 100, epochs=10)
    assert max(device.launches) <= LIMIT
    assert device.launches[-1] <= 0.1 + 1e-9


def test_a_stall_is_forgotten_after_some_calls(trained):
    waits = [5.0]

    def stalling(row):
        return waits.pop() if waits and device.now > 0.5 else 1e-6

    device = Device(stalling)
    trained(device, 200_000, 100, epochs=12)
    assert not waits
    # Three an epoch, and those from one batch on, twice.
    assert len(device.spans) <= 12 * 3 + 2 * 8


def test_time_that_is_left_is_not_exceeded_by_more_than_a_batch(trained):
    device = Device(lambda row: 1e-5)
    ((_, n_rows),) = trained(device, 1_000_000, 100, max_time=0.45)
    assert 0.45 <= device.now <= 0.46
    assert n_rows < 1_000_000


def test_epochs_at_once_take_no_longer_than_a_slice(monkeypatch):
    """As many as there is time for: one in the beginning, and none too many later."""

    class Several(Device):
        def train_epochs(self, optimizer, orders, batch_size, rates):
            start = self.now
            for order in orders:
                span = (0, -(-len(order) // batch_size))
                self.train(optimizer, order, batch_size, span, None, 0.0)
            calls.append((len(orders), self.now - start))
            return [float(len(order)) for order in orders]

    calls = []
    device = Several(lambda row: 1e-7)
    watch = SimpleNamespace(perf_counter=lambda: device.now)
    monkeypatch.setattr(minibatch, "time", watch)
    timed = minibatch._Calls(stopping.Clock(None))
    optimizer = SimpleNamespace(
        next_rates=lambda span, n_batches: StepRates(None, [0.1])
    )
    asked = []
    for _ in range(20):
        asked.append(timed.epochs_per_call(50_001, 100))
        orders = np.tile(np.arange(50_001), (asked[-1], 1))
        losses, _, n_rows = timed.train(device, optimizer, orders, 100)
        assert losses == [1.0] * asked[-1]
        assert n_rows == 50_001
    assert asked[0] == 1
    assert 15 <= asked[-1] <= 20
    assert max(seconds for _, seconds in calls) <= 0.11
