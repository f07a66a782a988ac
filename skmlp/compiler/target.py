"""The processor that kernels are compiled for: this one, or a baseline of many.

By default it is the one that runs them, with all its features. Kernels that are shipped
to other machines are compiled for a baseline, a set of features that those have in
common: LLVM's names for the levels of x86-64 (System V ABI, x86-64 supplement, section
3.1.1) or for 64-bit ARM. Widths of vectors and sizes of tiles follow from the target,
and a packed matrix is read by other kernels than the one that wrote it: so there is one
target in a process, chosen here before the first kernel is compiled or loaded. All who
ask for features of the processor ask here.

``SKMLP_CPU`` chooses it. Otherwise it is what the kernels were compiled for that
`skmlp.precompile` has left in a folder of ``SKMLP_CACHE_DIR``, if this processor has
the features: where there are several, this processor itself before the baselines, and
the one with the most features of these. A target that the processor lacks features of
is never chosen.
"""

import functools
import logging
import os
from typing import NamedTuple

from llvmlite import binding
from numba.core import config

from skmlp.compiler import imported_code, shipped
from skmlp.compiler.fallback import warn_once
from skmlp.exceptions import KernelCacheWarning

_LOGGER = logging.getLogger("skmlp")
NATIVE = "native"
_LEVEL_1 = ("cmov", "cx8", "fxsr", "mmx", "sse", "sse2")
_LEVEL_2 = ("crc32", "cx16", "popcnt", "sahf", "sse3", "sse4.1", "sse4.2", "ssse3")
_LEVEL_3 = ("avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave")
_LEVEL_4 = ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl")
# By LLVM's names of architectures: what LLVM calls a baseline, and its features. The
# one with the most features comes last. A vector of 64-bit ARM has 16 bytes whatever
# else a processor can do.
_BASELINES = {
    "x86_64": {
        "x86-64": _LEVEL_1,
        "x86-64-v2": _LEVEL_1 + _LEVEL_2,
        "x86-64-v3": _LEVEL_1 + _LEVEL_2 + _LEVEL_3,
        "x86-64-v4": _LEVEL_1 + _LEVEL_2 + _LEVEL_3 + _LEVEL_4,
    },
    "aarch64": {"generic": ("fp-armv8", "neon")},
}
_BASELINES["arm64"] = _BASELINES["aarch64"]


class Target(NamedTuple):
    """What kernels are compiled for.

    Attributes
    ----------
    name : str
        'native', or the name of a baseline, which is LLVM's.
    features : str
        Of a baseline, as LLVM takes them: "+sse,+sse2".
    vector_bytes : int
        Width of a vector register.
    """

    name: str
    features: str
    vector_bytes: int


def baselines():
    """Names of the baselines of this architecture, that with the most features last.

    Returns
    -------
    tuple of str
    """
    return (*_of_architecture(),)


def _of_architecture():
    return _BASELINES.get(binding.get_process_triple().partition("-")[0], {})


def host_features():
    """The features of this processor that LLVM and the operating system know.

    Returns
    -------
    set of str
    """
    try:
        found = binding.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know how to find out
        return set()
    return {name for name, is_present in found.items() if is_present}


def missing_features(name):
    """The features of a baseline that this processor lacks.

    Parameters
    ----------
    name : str
        One of `baselines`.

    Returns
    -------
    list of str
    """
    return sorted(set(_of_architecture()[name]) - host_features())


def native_processor():
    """What Numba compiles for by itself: architecture, processor, features.

    Returns
    -------
    tuple of 3 str
    """
    return (
        binding.get_process_triple(),
        config.CPU_NAME or binding.get_host_cpu_name(),
        config.CPU_FEATURES or _flattened(),
    )


def _flattened():
    return ",".join(f"+{name}" for name in sorted(host_features()))


def _native():
    if config.CPU_FEATURES:
        enabled = {
            part[1:] for part in config.CPU_FEATURES.split(",") if part[:1] == "+"
        }
    else:
        enabled = host_features()
        if not config.ENABLE_AVX:
            enabled = {name for name in enabled if not name.startswith("avx")}
    return Target(NATIVE, "", _vector_bytes(enabled))


def _baseline(name):
    features = _of_architecture()[name]
    listed = ",".join(f"+{feature}" for feature in features)
    return Target(name, listed, _vector_bytes(features))


def _vector_bytes(features):
    if "avx512f" in features:
        return 64
    return 32 if "avx" in features else 16


@functools.cache
def current():
    """The target of this process; always the same.

    Returns
    -------
    Target

    Raises
    ------
    ValueError
        If SKMLP_CPU is the name of no baseline of this architecture.
    """
    name = _chosen()
    if name != NATIVE:
        _LOGGER.info("kernels are those for %s", name)
    return _native() if name == NATIVE else _baseline(name)


def _chosen():
    name = os.environ.get("SKMLP_CPU") or None
    if name is not None and name not in (NATIVE, *baselines()):
        allowed = ", ".join(map(repr, (NATIVE, *baselines())))
        raise ValueError(
            f"The environment variable SKMLP_CPU must be one of {allowed}, got "
            f"{name!r}."
        )
    if name == NATIVE or config.CPU_NAME or config.CPU_FEATURES:
        return NATIVE
    if name is None:
        return _of_shipped(*shipped.manifests())
    missing = missing_features(name)
    if not missing:
        return name
    _warn(
        f"SKMLP_CPU={name!r} asks for kernels that this processor cannot run, since it "
        f"has no {', '.join(missing)}",
        f"Set SKMLP_CPU to one of {_runnable()}",
    )
    return NATIVE


def _runnable():
    fitting = [name for name in baselines() if not missing_features(name)]
    return ", ".join(map(repr, (NATIVE, *fitting)))


def native_key():
    """What tells processors apart for which native kernels differ, as a str."""
    return repr((*native_processor(), _native().vector_bytes))


def _of_shipped(manifests, refused):
    """The best target that kernels were shipped for; 'native' if there is none."""
    if not manifests:
        for folder, error in refused.items():
            _say(
                folder,
                f"what the kernels in {folder} are for cannot be read ({error})",
                "Let skmlp.precompile(cache_dir=...) fill the folder as root or as the "
                "user of this process, and let nobody else write it",
            )
        return NATIVE
    usable = {each.cpu for each in manifests if obstacle(each) is None}
    for name in (NATIVE, *reversed(baselines())):
        if name in usable:
            return name
    current = [each for each in manifests if each.is_current]
    _say_why_none_fits(current or manifests)
    return NATIVE


def obstacle(manifest):
    """What the kernels of a manifest are for, where that is not this process.

    Parameters
    ----------
    manifest : skmlp.compiler.shipped.Manifest

    Returns
    -------
    str or None
        None if this process can use them.
    """
    if not manifest.is_current:
        now = shipped.versions()
        differing = [
            f"{name} {version}, here {now.get(name)}"
            for name, version in manifest.versions.items()
            if version != now.get(name)
        ]
        return ", ".join(differing) or "other code of skmlp, or another Python"
    if manifest.cpu == NATIVE:
        if manifest.processor_key == native_key():
            return None
        name = binding.get_host_cpu_name()
        if manifest.processor == name:
            name = f"one of other features, though also named {name}"
        return f"the processor {manifest.processor}, and this is {name}"
    if manifest.cpu not in baselines():
        return f"{manifest.cpu}, another architecture"
    missing = missing_features(manifest.cpu)
    if missing:
        return f"{manifest.cpu}, and this processor has no {', '.join(missing)}"
    return None


def _say_why_none_fits(manifests):
    """Say why the kernels of a folder are of no use to this process."""
    first = manifests[0]
    made_for = " and ".join(dict.fromkeys(filter(None, map(obstacle, manifests))))
    if first.is_current:
        remedy = (
            "Run skmlp.precompile(cache_dir=..., cpu=...) where the folder is made, "
            f"with a cpu that every machine can run; this one can run {_runnable()}"
        )
    else:
        remedy = "Run skmlp.precompile again where the folder is made"
    _say(first.folder, f"the kernels in {first.folder} are for {made_for}", remedy)


def _say(folder, reason, remedy):
    """Warn, unless this process can write the folder.

    Then it will compile, and find its kernels there the next time. Otherwise it
    compiles at each start.
    """
    if os.access(folder, os.W_OK):
        _LOGGER.info("%s", reason)
    else:
        _warn(reason, remedy)


def _warn(reason, remedy):
    message = (
        f"skmlp compiles kernels for this processor: {reason}. That takes some seconds "
        f"at the first fit or prediction; the results are right. {remedy}."
    )
    warn_once("the kernel cache", message, KernelCacheWarning)


def leave_manifest(folder):
    """Note in a folder of kernels what they are compiled for.

    Parameters
    ----------
    folder : pathlib.Path
        From `skmlp.compiler.kernel_folder.prepare`.

    Raises
    ------
    OSError, UnknownCodeError
    """
    imported_code.check()
    name = current().name
    if name == NATIVE:
        shipped.write(folder, NATIVE, native_processor()[1], native_key())
    else:
        shipped.write(folder, name, name, name)
