"""The command line of ``python -m skmlp``; see its ``--help``."""

import argparse
import os
import pickle
import sys
from pathlib import Path

from skmlp import system_info
from skmlp._precompile import precompile
from skmlp.rules.activations import ACTIVATIONS

_DTYPES = ("float32", "float64")


def main(arguments=None):
    """Run a command.

    Parameters
    ----------
    arguments : list of str, default=None
        None for those of the process.

    Returns
    -------
    int
        Exit code: 0, or 1 for an error of the command, which is printed.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except BrokenPipeError:  # of a pager that was left
        # What is still to be written when Python ends shall not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        print(f"{options.program}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m skmlp",
        description="Without a command: print the versions, the processor, threads and "
        "what limits them, GPU, and the caches of compiled kernels.",
    )
    parser.set_defaults(run=_show, program=parser.prog)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for add in (_add_precompile, _add_cache, _add_benchmark):
        add(commands)
    return parser


def _command(commands, name, run, help, description):
    parser = commands.add_parser(name, help=help, description=description)
    parser.set_defaults(run=run, program=parser.prog)
    return parser


def _add_precompile(commands):
    parser = _command(
        commands,
        "precompile",
        _precompile,
        "compile kernels ahead, for an image or a server",
        "Compile kernels ahead of the first fit or prediction, as skmlp.precompile "
        "does. Without options: those of scikit-learn's solvers and losses.",
    )
    several = {"nargs": "+", "metavar": "NAME"}
    parser.add_argument("--dtype", choices=_DTYPES, help="default: both")
    parser.add_argument("--solver", metavar="NAME", help="default: all")
    parser.add_argument(
        "--activation", **several, help=f"'all', or some of {', '.join(ACTIVATIONS)}"
    )
    parser.add_argument(
        "--loss", **several, help="'all', or some; default: scikit-learn's"
    )
    parser.add_argument("--normalization", choices=("batch", "layer"))
    parser.add_argument(
        "--estimator",
        metavar="FILE",
        help="a fitted estimator, pickled or by joblib: compile what it predicts with, "
        "instead of the settings above. Loading a file runs what it says: only open "
        "files that you trust",
    )
    parser.add_argument(
        "--cache-dir", metavar="FOLDER", help="folder to ship to other processes"
    )
    parser.add_argument(
        "--cpu",
        default="native",
        metavar="NAME",
        help="with --cache-dir, the processors that are to run the kernels: native, "
        "x86-64-v2, x86-64-v3 (AVX2), x86-64-v4 (AVX-512), generic (64-bit ARM); "
        "default: native",
    )


def _add_cache(commands):
    parser = _command(
        commands,
        "cache",
        _cache,
        "show or clear the caches of kernels",
        "Show the folders of compiled kernels, their sizes, and whether they are used.",
    )
    parser.add_argument(
        "--clear",
        action="store_true",
        help="remove the kernels of all versions from the folders that this user can "
        "write; running processes keep theirs in memory",
    )


def _add_benchmark(commands):
    parser = _command(
        commands,
        "benchmark",
        _benchmark,
        "how much faster than scikit-learn on this machine",
        "Time fits and predictions of skmlp and of scikit-learn by turns, on data that "
        "is made up, and print the ratios. Takes two minutes at most.",
    )
    parser.add_argument("--quick", action="store_true", help="half a minute")


def _show(options):
    system_info.show_versions()


def _precompile(options):
    names = ("dtype", "solver", "activation", "loss", "normalization", "cpu")
    keywords = {name: getattr(options, name) for name in names}
    keywords["cache_dir"] = options.cache_dir
    for name in ("activation", "loss"):
        if keywords[name] == ["all"]:
            keywords[name] = "all"
    if options.estimator is not None:
        keywords["estimator"] = _loaded(options.estimator)
    precompile(**{name: value for name, value in keywords.items() if value is not None})
    for path in _folders(options.cache_dir):
        print(f"{path}: {system_info.folder_in_words(path)}")


def _loaded(path):
    import joblib

    try:
        return joblib.load(path)
    except (AttributeError, EOFError, ImportError, KeyError) as error:
        raise ValueError(f"{path} cannot be loaded: {error!r}") from error
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} is not a pickle: {error}") from error


def _folders(cache_dir=None):
    from skmlp.compiler import cache_paths

    if cache_dir is not None:
        return [Path(cache_dir).expanduser().absolute()]
    return cache_paths.paths()


def _cache(options):
    paths = _folders()
    if not paths:
        print("The cache is turned off: SKMLP_CACHE_DIR is empty.")
    for path in paths:
        if options.clear and os.access(path, os.W_OK):
            _clear(path)
        print(f"{path}: {system_info.folder_in_words(path)}")


def _clear(path):
    from skmlp.compiler import kernel_folder

    names = kernel_folder.names(path)
    for name in names:
        kernel_folder.remove(path, name)
    print(f"{path}: {len(names)} files removed")


def _benchmark(options):
    from skmlp import quick_benchmark

    quick_benchmark.run(quick=options.quick)
