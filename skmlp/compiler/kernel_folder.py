"""The folder of the kernel cache, and files in it that only this user can have written.

A file of the cache is code that this process will run. So nobody but this user, or
root, may be able to write it or to put another one in its place:

- The path is absolute. A relative one would be another folder after ``os.chdir``, and
  already where the program is started, so that it is refused.
- Every read and every write opens one folder after the other, from the root down,
  without following links, and checks each on its descriptor: it belongs to root or to
  this user, and nobody else can write in it, except in folders with the sticky bit,
  like ``/tmp``, where nobody can rename what is not his. A folder that is exchanged
  between two reads is thus checked like a new one.
- The file is opened relative to the last folder's descriptor, is a regular one, and has
  the same owners and modes.

Windows has neither these calls nor these modes. There the folder must be below the
user's profile, which Windows keeps private, and links are refused by name.
"""

import contextlib
import os
import re
import secrets
import stat
import time
from pathlib import Path

_HAS_OWNERS = hasattr(os, "geteuid")
_HAS_DESCRIPTORS = (
    _HAS_OWNERS
    and hasattr(os, "O_NOFOLLOW")
    and {os.open, os.mkdir, os.unlink, os.rename, os.stat} <= os.supports_dir_fd
)
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
# A named pipe would otherwise block the process that opens it.
_READ = os.O_RDONLY | _NO_FOLLOW | getattr(os, "O_NONBLOCK", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW
# To pass through a folder, Linux asks for no right to list it.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | _NO_FOLLOW
_HOUR, _DAY = 3600, 24 * 3600
# Every change of the package or of a version leaves the files of the old one behind:
# all kernels take about 20 MB.
_MAX_AGE = 60 * _DAY
_MAX_BYTES = 512 << 20
_OWN_NAME = re.compile(r"-[0-9a-f]{32}\.(bin|json)(?P<temporary>\.[0-9a-f]{16}\.tmp)?$")
_ALL_READ = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


class UntrustedError(OSError):
    """A folder or a file that others could have written."""


def _check(status, what, is_right_kind, *, is_parent=False):
    """Raise if others could have written what a status describes."""
    if not is_right_kind(status.st_mode):
        raise UntrustedError(f"{what} is not what it should be")
    if not _HAS_OWNERS:
        return
    if status.st_uid not in (0, os.geteuid()):
        raise UntrustedError(f"{what} belongs to another user")
    writers = status.st_mode & _OTHERS_WRITE
    if not writers or (is_parent and status.st_mode & stat.S_ISVTX):
        return
    if is_parent and writers == stat.S_IWGRP and _is_own_group(status.st_gid):
        return
    raise UntrustedError(f"other users can write {what}")


def _is_own_group(group):
    """Whether a group is a user's private one, which some systems give write access."""
    import grp
    import pwd

    try:
        user, entry = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return (
        user.pw_uid != 0
        and user.pw_gid == group
        and user.pw_name == entry.gr_name
        and set(entry.gr_mem) <= {user.pw_name}
    )


def prepare(path):
    """Make a folder if it does not exist, and check it.

    Parameters
    ----------
    path : pathlib.Path
        Absolute.

    Returns
    -------
    pathlib.Path
        The same folder, without links: those above it are common and resolved once,
        the folder itself must not be one.

    Raises
    ------
    OSError
        If the folder cannot be made or cannot be trusted.
    """
    path = path.parent.resolve() / path.name
    with _opened(path, create=True):
        return path


@contextlib.contextmanager
def _opened(path, *, create=False):
    """The descriptor of a folder, which has been checked; None on Windows."""
    if not _HAS_DESCRIPTORS:
        _check_by_name(path, create)
        yield None
        return
    place = Path(path.anchor)
    folder = os.open(place, _PASS)
    try:
        for part in path.parts[1:]:
            _check(os.fstat(folder), place, stat.S_ISDIR, is_parent=True)
            place = place / part
            try:
                inner = _open_within(folder, part, create)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(place)) from None
            os.close(folder)
            folder = inner
        _check(os.fstat(folder), place, stat.S_ISDIR)
        yield folder
    finally:
        os.close(folder)


def _open_within(folder, name, create):
    """Open a folder in an open one, and make it if that is wanted."""
    try:
        return os.open(name, _PASS, dir_fd=folder)
    except FileNotFoundError:
        if not create:
            raise
    # Another process may make it at the same time.
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=folder)
    return os.open(name, _PASS, dir_fd=folder)


def _check_by_name(path, create):
    if create:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.resolve() != path:
        raise UntrustedError(f"{path} is a link")
    for place in (path, *path.parents):
        is_parent = place != path
        _check(os.lstat(place), place, stat.S_ISDIR, is_parent=is_parent)
    if not _HAS_OWNERS and Path.home().resolve() not in path.parents:
        raise UntrustedError(f"{path} is not below the user's profile")


def _place(path, name, folder):
    """What opens a file: its name in an open folder, or its path."""
    return str(path / name) if folder is None else name


def read(path, name):
    """The content of a file.

    Parameters
    ----------
    path : pathlib.Path
        From `prepare`.
    name : str

    Returns
    -------
    bytes

    Raises
    ------
    OSError
        If there is no such file, or none that can be trusted.
    """
    with _opened(path) as folder:
        place = _place(path, name, folder)
        if folder is None:
            _check(os.lstat(place), place, stat.S_ISREG)
        handle = os.open(place, _READ, dir_fd=folder)
        try:
            status = os.fstat(handle)
            _check(status, path / name, stat.S_ISREG)
            # (`os.fdopen` does not close the descriptor of a folder.)
            with os.fdopen(handle, "rb", closefd=False) as file:
                content = file.read()
        finally:
            os.close(handle)
        # A clock that was wrong may have left a time of the future.
        if abs(time.time() - status.st_mtime) > _DAY:
            # `clean` looks at this. A read-only folder serves as well.
            with contextlib.suppress(OSError, NotImplementedError):
                os.utime(place, dir_fd=folder)
    return content


def write(path, name, content):
    """Write a file atomically.

    Parameters
    ----------
    path : pathlib.Path
        From `prepare`.
    name : str
    content : bytes

    Raises
    ------
    OSError
    """
    with _opened(path) as folder:
        place = _place(path, name, folder)
        temporary = f"{place}.{secrets.token_hex(8)}.tmp"
        handle = os.open(temporary, _WRITE, 0o600, dir_fd=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            os.replace(temporary, place, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            os.unlink(temporary, dir_fd=folder)
            raise


def clean(path):
    """Remove what is no longer used, of all kernels and all versions of the package.

    These are files that no process has read for long, those that were being written
    when a process was killed, and, where the rest is too large, the ones that were not
    read for longest. A name that `write` would not give is none of our business.

    Parameters
    ----------
    path : pathlib.Path
        From `prepare`.
    """
    now, found = time.time(), []
    with _opened(path) as folder:
        for name in _listed(path, folder):
            match = _OWN_NAME.search(name)
            if match is None:
                continue
            place = _place(path, name, folder)
            # Another process may have removed it.
            with contextlib.suppress(OSError):
                status = os.stat(place, dir_fd=folder, follow_symlinks=False)
                is_temporary = match["temporary"] is not None
                if now - status.st_mtime > (_HOUR if is_temporary else _MAX_AGE):
                    os.unlink(place, dir_fd=folder)
                elif stat.S_ISREG(status.st_mode):
                    found.append((status.st_mtime, status.st_size, place))
        excess = sum(size for _, size, _ in found) - _MAX_BYTES
        for _, size, place in sorted(found):
            if excess <= 0:
                break
            with contextlib.suppress(OSError):
                os.unlink(place, dir_fd=folder)
            excess -= size


def names(path):
    """Names of the files that `write` has left in a folder.

    Parameters
    ----------
    path : pathlib.Path
        From `prepare`.

    Returns
    -------
    list of str

    Raises
    ------
    OSError
    """
    with _opened(path) as folder:
        return sorted(filter(_OWN_NAME.search, _listed(path, folder)))


def remove(path, name):
    """Remove a file of `names`; no error if another process has.

    Parameters
    ----------
    path : pathlib.Path
        From `prepare`.
    name : str

    Raises
    ------
    OSError
    """
    with _opened(path) as folder, contextlib.suppress(FileNotFoundError):
        os.unlink(_place(path, name, folder), dir_fd=folder)


def share(path):
    """Let everybody read a folder, and the files that `write` has left in it.

    Nobody else can write them, as before. What this user does not own stays as it is.

    Parameters
    ----------
    path : pathlib.Path
        From `prepare`.

    Raises
    ------
    OSError
    """
    with _opened(path) as folder:
        if folder is None:  # the rights of Windows are inherited from the folder above
            return
        for name in filter(_OWN_NAME.search, _listed(path, folder)):
            handle = os.open(name, _READ, dir_fd=folder)
            try:
                status = os.fstat(handle)
                if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid():
                    os.fchmod(handle, status.st_mode & 0o7777 | _ALL_READ)
            finally:
                os.close(handle)
        handle = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
        try:
            os.fchmod(handle, 0o755)
        finally:
            os.close(handle)


def _listed(path, folder):
    if folder is None:
        return os.listdir(path)
    listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=folder)
    try:
        return os.listdir(listed)
    finally:
        os.close(listed)
