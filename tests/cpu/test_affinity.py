"""Members of a team that share a core while another one is free."""

import os
import threading

import pytest

from skmlp.backends.cpu.threads import affinity


@pytest.fixture
def system(monkeypatch):
    """A system of some cores that runs whoever asks on the first one allowed."""

    class System:
        core = 0
        allowed = frozenset({0, 1, 2})
        asked = ()
        n_running = 3

        def restrict(self, process, cores):
            assert process == 0
            self.asked = (*self.asked, set(cores))
            if self.core not in cores:
                self.core = min(cores)

    found = System()
    monkeypatch.setattr(affinity, "_current_core", lambda: found.core)
    monkeypatch.setattr(affinity, "_n_running", lambda: found.n_running)
    monkeypatch.setattr(os, "cpu_count", lambda: len(found.allowed))
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda process: set(found.allowed), raising=False
    )
    monkeypatch.setattr(os, "sched_setaffinity", found.restrict, raising=False)
    return found


def test_who_has_a_core_of_its_own_stays(system):
    cores = [1, -1, 2]
    affinity.spread(cores, 1)
    assert cores == [1, 0, 2]
    assert system.asked == ()


def test_who_shares_a_core_moves_and_is_free_again(system):
    cores = [0, -1, 1]
    affinity.spread(cores, 1)
    assert cores == [0, 2, 1]
    assert system.asked == ({2}, {0, 1, 2})


def test_where_all_cores_are_taken_nobody_moves(system):
    cores = [0, 1, 2, -1]
    affinity.spread(cores, 3)
    assert cores == [0, 1, 2, 0]
    assert system.asked == ()


def test_on_a_busy_system_nobody_moves(system):
    system.n_running = 4
    cores = [0, -1]
    affinity.spread(cores, 1)
    assert cores == [0, 0]
    assert system.asked == ()


def test_a_system_that_forbids_it_is_obeyed(system, monkeypatch):
    def refuse(process, cores):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    cores = [0, -1]
    affinity.spread(cores, 1)
    assert cores == [0, 0]


def test_elsewhere_nothing_is_asked(monkeypatch):
    monkeypatch.setattr(affinity, "_current_core", None)
    cores = [-1, -1]
    affinity.spread(cores, 1)
    assert cores == [-1, -1]


@pytest.mark.skipif(
    affinity._current_core is None or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two cores",
)
def test_a_real_thread_moves_and_may_go_anywhere(monkeypatch):
    assert affinity._n_running() >= 1
    monkeypatch.setattr(affinity, "_n_running", lambda: 1)
    seen, asked = {}, []
    restrict = os.sched_setaffinity

    def recorded(process, cores):
        asked.append(set(cores))
        restrict(process, cores)

    monkeypatch.setattr(os, "sched_setaffinity", recorded)

    def run():
        seen["allowed"] = os.sched_getaffinity(0)
        # All cores but one are taken, whichever this thread is on.
        seen["free"] = min(seen["allowed"])
        others = [core for core in seen["allowed"] if core != seen["free"]]
        here = others[0]
        restrict(0, {here})
        restrict(0, seen["allowed"])
        monkeypatch.setattr(affinity, "_current_core", lambda: here)
        affinity.spread([*others, -1], len(others))
        seen["after"] = os.sched_getaffinity(0)

    # A thread of its own, lest a failure leave this one bound.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert asked == [{seen["free"]}, seen["allowed"]]
    assert seen["after"] == seen["allowed"]
