"""What all benchmarks say and write in one way: options, goals, the file of figures."""

import argparse
import contextlib
import io
import json
import shlex
import sys
from pathlib import Path

import machine


def parser(doc, quick):
    """A parser of the command line with the options that every benchmark has.

    Parameters
    ----------
    doc : str
        The script's docstring; its first line is shown.
    quick : str
        What ``--quick`` leaves of the benchmark.

    Returns
    -------
    argparse.ArgumentParser
    """
    made = argparse.ArgumentParser(description=doc.splitlines()[0])
    made.add_argument("--quick", action="store_true", help=quick)
    made.add_argument("--json", metavar="FILE", help="write all figures there, too")
    return made


def main(doc, run, quick, **options):
    """A whole command line: its options, the run, and the file of figures.

    Parameters
    ----------
    doc, quick : str
        As for `parser`.
    run : callable
        Called with the options; returns the report.
    **options : dict
        What ``add_argument`` is told of each option of the script's own. Beside that,
        `full` and `brief` are its values where none is given, without ``--quick`` and
        with it.
    """
    made = parser(doc, quick)
    sizes = {}
    for name, keywords in options.items():
        if "full" in keywords:
            sizes[name] = keywords.pop("brief"), keywords.pop("full")
        made.add_argument(f"--{name}", **keywords)
    wanted = made.parse_args()
    for name, (brief, full) in sizes.items():
        chosen = getattr(wanted, name) or (brief if wanted.quick else full)
        setattr(wanted, name, chosen)
    save(run(wanted), wanted.json)


def start():
    """Print what the benchmark runs on, and begin the report with it.

    Returns
    -------
    dict
    """
    description = machine.describe()
    print(machine.in_words(description))
    return {"machine": description}


def against(ratio, goal):
    """A ratio beside the goal that it should reach, for the end of a line."""
    return f"{ratio:>7.2f}x{goal:>7.2f}x  {'met' if ratio >= goal else 'MISSED'}"


def _write(path, text):
    """Put a file in its old one's place, at once: a run may be ended at any moment."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def save(report, file):
    """Write a report as JSON, if a file was asked for.

    Parameters
    ----------
    report : dict
    file : str or None
    """
    if file:
        _write(Path(file), json.dumps(report, indent=1))


class _Both(io.StringIO):
    """Text that is printed as ever, and kept."""

    def __init__(self, shown):
        super().__init__()
        self._shown = shown

    def write(self, text):
        self._shown.write(text)
        return super().write(text)

    def flush(self):
        self._shown.flush()


@contextlib.contextmanager
def printed():
    """Context that yields all that is printed meanwhile, as a text file."""
    text = _Both(sys.stdout)
    with contextlib.redirect_stdout(text):
        yield text


def put_section(file, script, text):
    """Put what a script has printed into the file of results, in its old one's place.

    Parameters
    ----------
    file : str
        ``RESULTS.md``.
    script, text : str
    """
    begin, end = (f"<!-- results of {script}: {word} -->" for word in ("begin", "end"))
    command = shlex.join(["python", f"benchmarks/{script}", *sys.argv[1:]])
    section = (
        f"{begin}\n## `{script}`\n\n"
        "- Date, machine, versions: first lines of the output\n"
        f"- Command: `{command}`\n\n```\n{text.strip()}\n```\n{end}\n"
    )
    path = Path(file)
    old = path.read_text(encoding="utf-8") if path.exists() else ""
    if begin in old:
        before, _, rest = old.partition(begin)
        after = rest.partition(end)[2].lstrip("\n")
        section = before + section
    else:
        after, section = "", f"{old}\n{section}" if old else section
    _write(path, f"{section}\n{after}" if after else section)
