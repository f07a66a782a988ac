"""The kernel cache runs neither the code of others nor that of another version.

Each attack plants a file under the right name, with a sound checksum, whose kernel
computes something else; `test_the_planted_file_would_run` shows that it would run.
"""

import errno
import gc
import os
import pickle
import shutil
import subprocess
import sys
import time
import warnings
import zipfile
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import SimpleNamespace

import pytest
from subprocesses import PACKAGE, run_apart

from skmlp.compiler import cache_paths, disk_cache, imported_code, jit, kernel_folder
from skmlp.exceptions import KernelCacheWarning

SOMEBODY = 12345
is_root = getattr(os, "geteuid", lambda: None)() == 0
only_root = pytest.mark.skipif(not is_root, reason="only root can give files away")
needs_modes = pytest.mark.skipif(
    not kernel_folder._HAS_DESCRIPTORS, reason="no Unix permissions and descriptors"
)


def adding(number):
    def add(x):
        return x + number

    return add


def result(number=1):
    """What a kernel returns for 41, and whether it came from the cache.

    The kernels of all numbers have one name, so that they are read for each other.
    """
    kernel = jit.kernel(adding(number))
    return kernel(41), bool(kernel.stats.cache_hits)


COMPILED, READ, PLANTED = (42, False), (42, True), (1041, True)


@pytest.fixture
def plant(cache_at, tmp_path):
    """A function that puts a file with other code into a folder."""
    cache_at(tmp_path / "workshop")
    assert result(1000) == (1041, False)
    (made,) = (tmp_path / "workshop").iterdir()

    def put(folder, *, owner=None, mode=0o600):
        folder.mkdir(mode=0o700, exist_ok=True)
        planted = folder / made.name
        shutil.copyfile(made, planted)
        planted.chmod(mode)
        if owner is not None:
            os.chown(planted, owner, owner)
        return planted

    return put


def warned(reason):
    return pytest.warns(KernelCacheWarning, match=reason)


def test_the_planted_file_would_run(cache_at, plant, tmp_path):
    plant(tmp_path / "kernels")
    cache_at(tmp_path / "kernels")
    assert result() == PLANTED


# --- paths ---


def test_a_relative_folder_is_refused(cache_at, plant, tmp_path, monkeypatch):
    for name in ("here", "there"):
        (tmp_path / name).mkdir(mode=0o700)
    monkeypatch.chdir(tmp_path / "here")
    with warned("'kc' is not absolute.*SKMLP_CACHE_DIR"):
        assert cache_at("kc") is None
    plant(tmp_path / "there" / "kc")
    monkeypatch.chdir(tmp_path / "there")
    assert result() == COMPILED
    assert not (tmp_path / "here" / "kc").exists()


@needs_modes
def test_a_relative_home_is_refused(cache_at, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "home")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with warned("is not absolute"):
        assert cache_at("~/kc") is None
    monkeypatch.delenv("SKMLP_CACHE_DIR")
    with pytest.raises(kernel_folder.UntrustedError, match="is not absolute"):
        cache_paths.paths()
    assert [*tmp_path.iterdir()] == []


@needs_modes
@pytest.mark.skipif(sys.platform == "darwin", reason="Linux's convention")
def test_a_relative_cache_home_is_ignored(tmp_path, monkeypatch):
    monkeypatch.delenv("SKMLP_CACHE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    assert cache_paths.paths() == [tmp_path / ".cache" / "skmlp"]
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_paths.paths() == [tmp_path / "cache" / "skmlp"]


@needs_modes
def test_a_tilde_is_the_home_folder(cache_at, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_at("~/kc") == tmp_path / "kc"


@needs_modes
def test_links_above_the_folder_are_resolved_once(cache_at, plant, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(tmp_path / "one")
    assert cache_at(tmp_path / "link" / "kc") == tmp_path / "one" / "kc"
    plant(tmp_path / "two" / "kc")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(tmp_path / "two")
    assert result() == COMPILED
    assert result() == READ


# --- owners and modes ---


@needs_modes
@pytest.mark.parametrize("mode", [0o777, 0o757, 0o775])
def test_parents_that_others_can_write(cache_at, plant, tmp_path, mode):
    parent = tmp_path / "shared" / "deep"
    parent.mkdir(parents=True, mode=0o700)
    plant(parent / "kc")
    if mode != 0o775 or is_root:  # the group may be the user's own
        parent.parent.chmod(mode)
        with warned("other users can write"):
            assert cache_at(parent / "kc") is None
        assert result() == COMPILED
    parent.parent.chmod(mode | 0o1000)
    cache_at(parent / "kc")
    assert result() == PLANTED


@needs_modes
@pytest.mark.parametrize(
    ("group", "members", "is_own"),
    [("me", [], True), ("me", ["me"], True), ("me", ["you"], False), ("us", [], False)],
)
def test_the_group_of_one_user(monkeypatch, tmp_path, group, members, is_own):
    """Some systems let a user's private group write whatever the user creates."""
    import grp
    import pwd

    me = SimpleNamespace(pw_uid=1000, pw_gid=tmp_path.stat().st_gid, pw_name="me")
    entry = SimpleNamespace(gr_name=group, gr_mem=members)
    monkeypatch.setattr(pwd, "getpwuid", lambda user: me)
    monkeypatch.setattr(grp, "getgrgid", lambda group: entry)
    (tmp_path / "above").mkdir()
    (tmp_path / "above").chmod(0o775)
    if is_own:
        assert kernel_folder.prepare(tmp_path / "above" / "kc")
        (tmp_path / "above" / "kc").chmod(0o770)  # never in the folder itself
    with pytest.raises(kernel_folder.UntrustedError, match="other users can write"):
        kernel_folder.prepare(tmp_path / "above" / "kc")


@only_root
def test_a_parent_of_another_user(cache_at, plant, tmp_path):
    parent = tmp_path / "theirs"
    parent.mkdir(mode=0o755)
    plant(parent / "kc")
    os.chown(parent, SOMEBODY, SOMEBODY)
    with warned("belongs to another user"):
        assert cache_at(parent / "kc") is None
    assert result() == COMPILED


@only_root
def test_a_folder_that_is_exchanged_after_the_check(cache_at, plant, tmp_path):
    parent = tmp_path / "parent"
    parent.mkdir(mode=0o755)
    folder = parent / "kc"
    assert cache_at(folder) == folder
    os.chown(parent, SOMEBODY, SOMEBODY)
    folder.rename(parent / "old")
    plant(folder, owner=SOMEBODY)
    os.chown(folder, SOMEBODY, SOMEBODY)
    with warned("belongs to another user"):
        assert result() == COMPILED
    os.chown(parent, 0, 0)
    assert result() == COMPILED
    assert len([*folder.iterdir()]) == 1
    shutil.rmtree(folder)
    (parent / "elsewhere").mkdir(mode=0o700)
    plant(parent / "elsewhere")
    folder.symlink_to(parent / "elsewhere")
    assert result() == COMPILED


@only_root
def test_a_file_of_another_user(cache_at, plant, tmp_path):
    cache_at(tmp_path / "kc")
    plant(tmp_path / "kc", owner=SOMEBODY)
    assert result() == COMPILED
    assert result() == READ


@needs_modes
@pytest.mark.parametrize("mode", [0o666, 0o660, 0o602])
def test_a_file_that_others_can_write(cache_at, plant, tmp_path, mode):
    cache_at(tmp_path / "kc")
    plant(tmp_path / "kc", mode=mode)
    assert result() == COMPILED
    assert result() == READ


@needs_modes
@pytest.mark.parametrize("kind", ["link", "dangling link", "pipe", "folder"])
def test_what_is_no_regular_file(cache_at, plant, tmp_path, kind):
    cache_at(tmp_path / "kc")
    planted = plant(tmp_path / "kc")
    target = planted.rename(tmp_path / "elsewhere")
    if kind == "pipe":
        os.mkfifo(planted, 0o600)
    elif kind == "folder":
        planted.mkdir(mode=0o700)
    else:
        planted.symlink_to(target)
        if kind == "dangling link":
            target.unlink()
    if kind == "folder":
        with warned("cannot be written"):
            assert result() == COMPILED
    else:
        assert result() == COMPILED
        assert result() == READ
    assert kind != "link" or target.is_file()


# --- read-only caches ---


def read_by_another_user(folder, helper, modes):
    """Results of a kernel in a cache of root, for root and for another user."""
    import os
    import sys
    import warnings

    sys.path.insert(0, helper)
    from test_disk_cache import result

    found = [result()]
    for path in os.listdir(folder):
        os.chmod(os.path.join(folder, path), modes[1])
    os.chmod(folder, modes[0])
    os.seteuid(12345)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found += [result(), result()]
    messages = [str(warning.message) for warning in caught]
    return found, [text for text in messages if "cache of compiled kernels" in text]


@only_root
@pytest.mark.parametrize(
    ("modes", "is_read"), [((0o755, 0o644), True), ((0o755, 0o600), False)], ids=str
)
def test_a_cache_of_root_is_read(tmp_path_factory, modes, is_read):
    parent = tmp_path_factory.mktemp("root")
    opened = [
        each for each in (parent, *parent.parents) if not each.stat().st_mode & 0o001
    ]
    if not all(each.is_relative_to(Path("/tmp")) for each in opened):
        pytest.skip("another user cannot reach this folder")
    before = [each.stat().st_mode & 0o7777 for each in opened]
    for each in opened:
        each.chmod(0o711)
    try:
        found, messages = run_apart(
            read_by_another_user,
            str(parent / "kc"),
            os.path.dirname(__file__),
            modes,
            SKMLP_CACHE_DIR=str(parent / "kc"),
            PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
        )
    finally:
        for each, mode in zip(opened, before, strict=True):
            each.chmod(mode)
    assert [tuple(each) for each in found] == [COMPILED] + 2 * [
        READ if is_read else COMPILED
    ]
    assert len(messages) == (not is_read)


def test_times_that_cannot_be_set(cache_at, tmp_path, monkeypatch):
    cache_at(tmp_path / "kc")
    assert result() == COMPILED
    (path,) = (tmp_path / "kc").iterdir()
    os.utime(path, (1e9, 1e9))

    def fail(*arguments, **options):
        raise PermissionError("broken on purpose")

    with monkeypatch.context() as patch:
        patch.setattr(kernel_folder.os, "utime", fail)
        assert result() == READ
    assert path.stat().st_mtime == 1e9
    assert result() == READ
    assert path.stat().st_mtime > 1e9


def test_old_files_are_removed(cache_at, tmp_path, cleaning):
    """Of any kernel, and nothing that the cache has not written."""
    folder = cache_at(tmp_path / "kc")
    kernel, temporary = f"{'0' * 32}.bin", f"{'0' * 32}.bin.{'0' * 16}.tmp"
    kept = {f"add-1{temporary[1:]}", "other.bin", "data-0.bin", "x.tmp", "notes"}
    for name in (f"add-{kernel}", f"gone-{kernel}", f"gone-{temporary}", *kept):
        (folder / name).write_bytes(b"")
        if not name.startswith("add-1"):
            os.utime(folder / name, (1e9, 1e9))
    assert result() == COMPILED
    names = {path.name for path in folder.iterdir()}
    assert len(names) == len(kept) + 1
    assert names > kept


@pytest.fixture
def cleaning(monkeypatch):
    """Clean with every kernel that is written."""
    monkeypatch.setattr(disk_cache, "_CLEAN_EVERY", 1)


def test_the_size_is_bounded(cache_at, tmp_path, cleaning, monkeypatch):
    folder = cache_at(tmp_path / "kc")
    monkeypatch.setattr(kernel_folder, "_MAX_BYTES", 1 << 20)
    now = time.time()
    for i in range(40):
        path = folder / f"kernel-{i:032x}.bin"
        path.write_bytes(bytes(100_000))
        os.utime(path, (now - i * 3600, now - i * 3600))
    (folder / "mine.bin").write_bytes(bytes(2 << 20))
    assert result() == COMPILED
    assert result() == READ
    names = {path.name for path in folder.iterdir()}
    kept = {f"kernel-{i:032x}.bin" for i in range(10)}
    assert names >= kept | {"mine.bin"}
    assert len(names) == 12


# --- several folders ---


def test_the_first_folder_that_has_a_kernel(cache_at, plant, tmp_path):
    """And what is compiled is kept in the first that can be written."""
    first, second = tmp_path / "first", tmp_path / "second"
    both = os.pathsep.join([str(first), str(second)])
    planted = plant(second)
    assert cache_at(both) == first
    assert result() == PLANTED
    planted.unlink()
    assert result() == COMPILED
    assert result() == READ
    assert [len([*folder.iterdir()]) for folder in (first, second)] == [1, 0]


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_folder_beside_a_read_only_one(cache_at, tmp_path, monkeypatch, code):
    first, second = tmp_path / "first", tmp_path / "second"
    cache_at(os.pathsep.join([str(first), str(second)]))
    write = kernel_folder.write

    def refuse(folder, name, content):
        if folder == first:
            raise OSError(code, os.strerror(code))
        write(folder, name, content)

    monkeypatch.setattr(kernel_folder, "write", refuse)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert result() == COMPILED
        assert result() == READ
    assert [len([*folder.iterdir()]) for folder in (first, second)] == [0, 1]


@pytest.mark.parametrize("has_home", [True, False])
def test_the_users_folder_beside_a_read_only_one(
    cache_at, tmp_path, monkeypatch, has_home
):
    first, home = tmp_path / "first", tmp_path / "home"
    monkeypatch.setattr(cache_paths, "_user_cache", lambda: home)
    if not has_home:
        home.write_text("no folder")
    cache_at(first)
    access, write = os.access, kernel_folder.write

    def refuse(folder, name, content):
        if folder == first:
            raise PermissionError(errno.EACCES, "Permission denied")
        write(folder, name, content)

    monkeypatch.setattr(
        os, "access", lambda path, mode: path != first and access(path, mode)
    )
    monkeypatch.setattr(kernel_folder, "write", refuse)
    if has_home:
        assert result() == COMPILED
        assert result() == READ
        assert len([*(home / "skmlp").iterdir()]) == 1
    else:
        with warned("first cannot be written.*precompile.*second folder"):
            assert result() == COMPILED


@needs_modes
def test_a_folder_of_several_that_cannot_be_trusted(cache_at, plant, tmp_path):
    """It is not used, a warning says so, and the others are."""
    bad, good = tmp_path / "bad", tmp_path / "good"
    plant(bad)
    bad.chmod(0o777)
    for both in ((bad, good), (good, bad)):
        setting = os.pathsep.join(map(str, both))
        if both[0] == bad:
            with warned("other users can write"):
                assert cache_at(setting) == good
        else:
            assert cache_at(setting) == good
        assert result() == (COMPILED if both[0] == bad else READ)
    assert len([*good.iterdir()]) == 1


# --- other operating systems ---


@pytest.fixture
def without_descriptors(monkeypatch):
    monkeypatch.setattr(kernel_folder, "_HAS_DESCRIPTORS", False)
    return monkeypatch


def test_without_descriptors(without_descriptors, cache_at, plant, tmp_path):
    cache_at(tmp_path / "kc")
    assert result() == COMPILED
    assert result() == READ
    (path,) = (tmp_path / "kc").iterdir()
    path.unlink()
    path.symlink_to(plant(tmp_path / "other"))
    assert result() == COMPILED
    (tmp_path / "link").symlink_to(tmp_path / "kc")
    with warned("is a link"):
        assert cache_at(tmp_path / "link") is None


def test_without_owners(without_descriptors, cache_at, tmp_path):
    """There the user's profile is the one place that is known to be private."""
    without_descriptors.setattr(kernel_folder, "_HAS_OWNERS", False)
    without_descriptors.setattr(Path, "home", lambda: tmp_path / "home")
    assert cache_at(tmp_path / "home" / "kc") == tmp_path / "home" / "kc"
    assert result() == COMPILED
    assert result() == READ
    with warned("not below the user's profile"):
        assert cache_at(tmp_path / "kc") is None


# --- Numba's registries ---


def loaded_and_compiled():
    """Whether Numba's registries are loaded: after a prediction, and after a fit."""
    import sys

    import numpy as np

    import skmlp

    x = np.random.default_rng(0).standard_normal((30, 3))
    model = skmlp.MLPRegressor(solver="lbfgs", tol=1e9, random_state=0)
    model.fit(x, x[:, 0])
    loaded = ["numba.np.linalg" in sys.modules]
    other = skmlp.MLPRegressor(activation="gelu", solver="lbfgs", tol=1e9)
    other.fit(x, x[:, 0]).predict(x)
    loaded.append("numba.np.linalg" in sys.modules)
    return loaded, [coef.tolist() for coef in model.coefs_]


@pytest.mark.slow
def test_loading_needs_no_registries_and_compiling_still_works(tmp_path):
    folder = tmp_path / "kc"
    (first, expected), (again, found) = [
        run_apart(loaded_and_compiled, SKMLP_CACHE_DIR=str(folder)) for _ in range(2)
    ]
    assert first == [True, True]
    assert again == [False, False]
    assert found == expected
    for path in folder.glob("*gelu*"):
        path.unlink()
    last, found = run_apart(loaded_and_compiled, SKMLP_CACHE_DIR=str(folder))
    assert last == [False, True]
    assert found == expected


@pytest.mark.parametrize("name", disk_cache._OF_REGISTRIES)
def test_registries_for_functions_that_they_bring(cache_at, tmp_path, name):
    cache_at(tmp_path / "kc")
    assert result() == COMPILED
    calls = []

    class Context:
        def refresh(self):
            calls.append(name)

    class Implementation:
        def rebuild(self, context, payload):
            return payload

    cache = jit.kernel(adding(1))._cache
    cache._implementation = Implementation()
    assert cache._unpacked(pickle.dumps(b"plain"), Context()) == b"plain"
    assert calls == []
    assert cache._unpacked(pickle.dumps(name + b"x"), Context()) == name + b"x"
    assert calls == [name]


# --- the code that was imported ---


def test_a_file_that_changes_after_the_import(cache_at, plant, tmp_path, monkeypatch):
    plant(tmp_path / "kc")
    cache_at(tmp_path / "kc")
    path = next(iter(imported_code._AT_IMPORT))
    monkeypatch.setitem(imported_code._AT_IMPORT, path, (0, 0, 0))
    monkeypatch.setitem(imported_code._LAST, "time", -float("inf"))
    with warned("has changed since skmlp was imported.*Restart Python"):
        assert result() == COMPILED
    assert result() == COMPILED
    assert len([*(tmp_path / "kc").iterdir()]) == 1


def test_loaders_that_may_change_the_code(monkeypatch):
    class Instrumenting(SourceFileLoader):
        pass

    spec = disk_cache.__spec__
    loader = Instrumenting(spec.name, spec.origin)
    imported_code._check_loaders.cache_clear()
    monkeypatch.setattr(spec, "loader", loader)
    monkeypatch.setitem(imported_code._LAST, "time", -float("inf"))
    with pytest.raises(imported_code.UnknownCodeError, match="disk_cache was loaded"):
        imported_code.check()
    imported_code._check_loaders.cache_clear()


def test_imports_of_other_threads_during_the_check(monkeypatch):
    """They may come whenever the interpreter collects garbage, as one does here."""
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    thresholds = gc.get_threshold()

    def import_another(phase, info):
        sys.modules[f"another {len(sys.modules)}"] = gc

    imported_code._check_loaders.cache_clear()
    gc.callbacks.append(import_another)
    try:
        gc.set_threshold(1)
        imported_code._check_loaders(0)
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(import_another)
        imported_code._check_loaders.cache_clear()


RULE = ("T(0) if z < T(0) else z", "T(0) if z < T(1) else z")


@pytest.fixture
def package(tmp_path):
    """A folder with a copy of the package."""
    folder = tmp_path / "site"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, folder / "skmlp", ignore=ignored)
    return folder


def edit(folder):
    """Another relu, in a file of the same size."""
    path = folder / "skmlp" / "rules" / "activations.py"
    source = path.read_text(encoding="utf-8")
    assert RULE[0] in source
    path.write_text(source.replace(*RULE), encoding="utf-8")
    return path


DIGEST = "from skmlp.compiler import imported_code; print(imported_code.digest())"


def digest(folder, program=DIGEST, **environment):
    """The digest in a new process, or the last line of its error."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(folder), **environment},
        capture_output=True,
        text=True,
    )
    return (done.stdout or done.stderr).splitlines()[-1]


@pytest.mark.parametrize("unwritten", ["", "1"])
def test_the_digest_is_that_of_the_code(package, tmp_path, unwritten):
    environment = {"PYTHONDONTWRITEBYTECODE": unwritten}
    first = digest(package, **environment)
    assert first == digest(package, **environment, PYTHONHASHSEED="1")
    moved = tmp_path / "moved"
    shutil.copytree(package, moved)
    assert first == digest(moved, **environment)
    edit(package)
    assert first != digest(package, **environment)


def test_bytecode_that_is_older_than_the_source(package):
    """Python runs it if time and size are the same; then it is what counts."""
    written = {"PYTHONDONTWRITEBYTECODE": ""}
    first = digest(package, **written)
    path = package / "skmlp" / "rules" / "activations.py"
    before = path.stat()
    edit(package)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert first == digest(package, **written)
    path.touch()
    assert first != digest(package, **written)


@pytest.mark.parametrize("keeps_time", [False, True])
def test_an_update_after_the_import(package, keeps_time):
    path = str(package / "skmlp" / "rules" / "activations.py")
    program = f"""
import os
import skmlp
status = os.stat({path!r})
text = open({path!r}).read()
open({path!r}, "w").write(text.replace(*{RULE!r}))
if {keeps_time}:
    os.utime({path!r}, ns=(status.st_atime_ns, status.st_mtime_ns))
{DIGEST}
"""
    assert "has changed since skmlp was imported" in digest(package, program)


def without_sources(folder):
    subprocess.run(
        [sys.executable, "-m", "compileall", "-q", "-b", "skmlp"],
        cwd=folder,
        check=True,
    )
    for path in folder.rglob("*.py"):
        path.unlink()


def test_bytecode_only(package, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(package, other)
    edit(other)
    for folder in (package, other):
        without_sources(folder)
    found = [digest(folder) for folder in (package, package, other)]
    assert {len(each) for each in found} == {64}
    assert found[0] == found[1] != found[2]


def zipped(folder):
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for each in sorted(folder.rglob("*.py")):
            archive.write(each, each.relative_to(folder))
    return path


def test_zip_archives(package):
    first = digest(zipped(package))
    assert len(first) == 64
    assert first == digest(zipped(package))
    edit(package)
    assert first != digest(zipped(package))


def weights(changed=None, rule=None):
    """First weights of a fit, and warnings; a file may change after the import."""
    import warnings

    import numpy as np

    import skmlp

    if changed:
        with open(changed, encoding="utf-8") as file:
            text = file.read()
        with open(changed, "w", encoding="utf-8") as file:
            file.write(text.replace(*rule))
    x = np.random.default_rng(0).standard_normal((50, 4))
    model = skmlp.MLPRegressor(hidden_layer_sizes=(6,), max_iter=3, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(x, x[:, 0])
    messages = [str(warning.message) for warning in caught]
    messages = [text for text in messages if "cache of compiled" in text]
    return model.coefs_[0].tolist(), messages


@pytest.mark.slow
def test_an_update_before_the_first_fit(package, tmp_path):
    def fitted(*arguments, cache="kc"):
        folder = str(tmp_path / cache)
        return run_apart(weights, *arguments, folder=package, SKMLP_CACHE_DIR=folder)

    old, messages = fitted()
    assert messages == []
    path = package / "skmlp" / "rules" / "activations.py"
    kept = set(os.listdir(tmp_path / "kc"))
    found, (message,) = fitted(str(path), RULE)
    assert found == old
    assert "has changed since skmlp was imported" in message
    assert set(os.listdir(tmp_path / "kc")) == kept
    new, messages = fitted()
    assert messages == []
    assert new != old
    assert new == fitted(cache="empty")[0]


@pytest.mark.slow
@pytest.mark.parametrize("form", [without_sources, zipped])
def test_two_versions_without_sources(package, tmp_path, form):
    other = tmp_path / "other"
    shutil.copytree(package, other)
    edit(other)
    found = []
    for folder in (package, other, package):
        if not found or folder is other:
            form(folder)
        place = folder.with_suffix(".zip") if form is zipped else folder
        found.append(
            run_apart(
                weights,
                folder=tmp_path,
                PYTHONPATH=str(place),
                SKMLP_CACHE_DIR=str(tmp_path / "kc"),
            )
        )
    assert [messages for _, messages in found] == [[], [], []]
    assert found[0][0] == found[2][0] != found[1][0]
