"""The kernel cache while everything about its folder changes.

`tests/compiler/test_disk_cache.py` has the attacks one by one. Here several processes
compile and load at once, while files and the folder vanish, are damaged, exchanged,
locked or dated by a clock that moves.
"""

import os
import random
import shutil
import stat
import subprocess
import sys
import threading
import time

import pytest
from subprocesses import run_apart

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="exchanges folders in use"
)

# Seconds that a busy machine may need.
_LIMIT = 400


def loading(stop, log):
    """Kernels that are compiled or loaded until there is a file; how many, and how."""
    import os
    import warnings

    from skmlp.compiler import disk_cache, jit

    warnings.simplefilter("ignore")
    disk_cache._CLEAN_EVERY = 3

    def adding(number):
        def add(x):
            return x + number

        return add

    jit.kernel(lambda x: x)(1)
    before = len(os.listdir("/proc/self/fd"))
    n_kernels = n_loaded = i = 0
    while not os.path.exists(stop):
        # The same code under the same name, so that one may be read for another.
        kernel = jit.kernel(adding(1))
        assert kernel(41 + i) == 42 + i
        n_kernels += 1
        n_loaded += sum(kernel.stats.cache_hits.values())
        # Tells how many there are before the process ends.
        with open(log, "ab") as file:
            file.write(b"x")
        i = (i + 1) % 5
        # As at the first use in a process.
        disk_cache.cache_folder.cache_clear()
    return n_kernels, n_loaded, len(os.listdir("/proc/self/fd")) - before


def flip(path, draw):
    content = bytearray(path.read_bytes())
    if content:
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def exchange(path, make):
    path.unlink()
    make()


ATTACKS = (
    flip,
    lambda path, draw: path.unlink(),
    lambda path, draw: os.truncate(path, draw.randrange(3000)),
    lambda path, draw: os.utime(path, (4e9, 4e9)),
    lambda path, draw: os.utime(path, (1e9, 1e9)),
    lambda path, draw: path.chmod(draw.choice((0o666, 0o000, 0o400))),
    lambda path, draw: exchange(path, lambda: os.mkfifo(path)),
    lambda path, draw: exchange(path, lambda: path.symlink_to("/dev/zero")),
    lambda path, draw: exchange(path, path.mkdir),
    lambda path, draw: shutil.rmtree(path.parent),
    lambda path, draw: path.parent.rename(path.parent.with_name(f"{draw.random()}")),
    lambda path, draw: path.parent.chmod(draw.choice((0o777, 0o700))),
    lambda path, draw: path.with_suffix(".tmp").write_bytes(b"x"),
)


@pytest.mark.parametrize(
    ("n_processes", "n_kernels", "n_attacks"),
    [(2, 20, 20), pytest.param(8, 60, 400, marks=pytest.mark.slow)],
)
def test_processes_while_the_folder_is_attacked(
    tmp_path, n_processes, n_kernels, n_attacks
):
    folder, stop = tmp_path / "kc", tmp_path / "stop"
    logs = [tmp_path / f"log {i}" for i in range(n_processes)]
    for log in logs:
        log.touch()
    found = [None] * n_processes

    def run(i):
        try:
            found[i] = run_apart(
                loading,
                str(stop),
                str(logs[i]),
                timeout=_LIMIT + 60,
                SKMLP_CACHE_DIR=str(folder),
            )
        except BaseException as error:
            found[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(n_processes)]
    for thread in threads:
        thread.start()
    draw, n_done = random.Random(0), 0
    end = time.monotonic() + _LIMIT
    while n_done < n_attacks or min(log.stat().st_size for log in logs) < n_kernels:
        if time.monotonic() > end or not all(thread.is_alive() for thread in threads):
            break
        time.sleep(draw.uniform(0, 0.1))
        try:
            path = draw.choice(sorted(folder.iterdir()))
            # Reading a pipe would wait, reading through a link to a device never end.
            if not stat.S_ISREG(path.lstat().st_mode):
                shutil.rmtree(folder)
                continue
            draw.choice(ATTACKS)(path, draw)
            n_done += 1
            if folder.is_dir() and draw.random() < 0.3:
                shutil.rmtree(folder)
        except IndexError:
            # Nobody writes into a folder that is no longer private.
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
    stop.touch()
    for thread in threads:
        thread.join()
    assert all(isinstance(each, list) for each in found), found
    assert all(n >= n_kernels and n_left == 0 for n, _, n_left in found)
    assert sum(n_loaded for _, n_loaded, _ in found) > 0
    assert n_done >= n_attacks


@pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 1)() != 0, reason="only root may mount a disk"
)
def test_a_disk_that_is_full(tmp_path):
    """The real error of a real disk, at any byte of a file."""
    place = tmp_path / "disk"
    place.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        stop, log = tmp_path / "stop", tmp_path / "log"
        log.touch()
        arguments = (str(stop), str(log))

        def stop_after(n_kernels):
            end = time.monotonic() + _LIMIT
            while log.stat().st_size < n_kernels and time.monotonic() < end:
                time.sleep(0.01)
            stop.touch()

        watch = threading.Thread(target=stop_after, args=(10,))
        watch.start()
        found = run_apart(
            loading, *arguments, timeout=_LIMIT + 60, SKMLP_CACHE_DIR=str(place / "kc")
        )
        watch.join()
        assert found[0] >= 10
        left = [path.stat().st_size for path in place.rglob("*.tmp")]
        assert left == []
        assert found[2] == 0
    finally:
        subprocess.run(["umount", str(place)], check=True)
