"""CPU affinity of workers that share a core while another core is free."""

import os
import threading

import pytest

from skmlp.backends.cpu.threads import affinity, load


@pytest.fixture
def system(monkeypatch):
    """A fake system that runs a thread on its first allowed core."""

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

    fake = System()
    monkeypatch.setattr(affinity, "_current_core", lambda: fake.core)
    monkeypatch.setattr(load, "free_cores", lambda: 4 - fake.n_running)
    monkeypatch.setattr(os, "cpu_count", lambda: len(fake.allowed))
    monkeypatch.setattr(
        os, "sched_getaffinity", lambda process: set(fake.allowed), raising=False
    )
    monkeypatch.setattr(os, "sched_setaffinity", fake.restrict, raising=False)
    return fake


def test_a_worker_alone_on_its_core_stays(system):
    cores = [1, -1, 2]
    affinity.move_off_shared_core(cores, 1)
    assert cores == [1, 0, 2]
    assert system.asked == ()


def test_a_worker_on_a_shared_core_moves_and_is_not_bound(system):
    cores = [0, -1, 1]
    affinity.move_off_shared_core(cores, 1)
    assert cores == [0, 2, 1]
    assert system.asked == ({2}, {0, 1, 2})


def test_without_a_free_core_no_worker_moves(system):
    cores = [0, 1, 2, -1]
    affinity.move_off_shared_core(cores, 3)
    assert cores == [0, 1, 2, 0]
    assert system.asked == ()


def test_on_a_loaded_system_no_worker_moves(system):
    system.n_running = 4
    cores = [0, -1]
    affinity.move_off_shared_core(cores, 1)
    assert cores == [0, 0]
    assert system.asked == ()


def test_a_refused_affinity_is_ignored(system, monkeypatch):
    def refuse(process, cores):
        raise PermissionError

    monkeypatch.setattr(os, "sched_setaffinity", refuse, raising=False)
    cores = [0, -1]
    affinity.move_off_shared_core(cores, 1)
    assert cores == [0, 0]


def test_other_systems_are_not_asked(monkeypatch):
    monkeypatch.setattr(affinity, "_current_core", None)
    cores = [-1, -1]
    affinity.move_off_shared_core(cores, 1)
    assert cores == [-1, -1]


@pytest.mark.skipif(
    affinity._current_core is None or len(os.sched_getaffinity(0)) < 2,
    reason="needs Linux and two cores",
)
def test_a_real_thread_moves_and_is_not_bound(monkeypatch):
    assert load.free_cores() <= os.cpu_count()
    monkeypatch.setattr(load, "free_cores", lambda: 2)
    seen, asked = {}, []
    restrict = os.sched_setaffinity

    def recorded(process, cores):
        asked.append(set(cores))
        restrict(process, cores)

    monkeypatch.setattr(os, "sched_setaffinity", recorded)

    def run():
        seen["allowed"] = os.sched_getaffinity(0)
        # All cores but one are taken, including that of this thread.
        seen["free"] = min(seen["allowed"])
        others = [core for core in seen["allowed"] if core != seen["free"]]
        here = others[0]
        restrict(0, {here})
        restrict(0, seen["allowed"])
        monkeypatch.setattr(affinity, "_current_core", lambda: here)
        affinity.move_off_shared_core([*others, -1], len(others))
        seen["after"] = os.sched_getaffinity(0)

    # In a separate thread, lest a failure leave this one bound.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert asked == [{seen["free"]}, seen["allowed"]]
    assert seen["after"] == seen["allowed"]
