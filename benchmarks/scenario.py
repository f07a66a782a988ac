"""The scaffold of all benchmarks: command line, heading, table, file of figures.

A script describes itself by a `Scenario`: how it sets up, how it measures one entry
after the other, and how an entry reads as a line. `Scenario.main` does the rest.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import machine

BOTH_DTYPES = ("float32", "float64")


class Scenario(NamedTuple):
    """One benchmark.

    Attributes
    ----------
    doc : str
        The script's docstring; its first line is shown by ``--help``.
    quick : str
        What ``--quick`` leaves of the benchmark.
    setup : callable
        Called with the options once the machine has been described; prints the heading
        of the table and returns what `measure` needs.
    measure : callable
        Generator function, called with the result of `setup` and the options. It yields
        entries (dicts, fit for JSON) and lines of text (str), which are printed only.
    line : callable
        One entry as text.
    options : dict of dict
        What ``add_argument`` is told of each option of the script, by name. Two keys
        come on top: `full` and `brief` are the values without and with ``--quick``.
    goal : object
        What the figures should reach; goes into the file of figures.
    """

    doc: str
    quick: str
    setup: Callable
    measure: Callable
    line: Callable
    options: dict
    goal: Any = None

    def parse(self, arguments=None):
        """The options of a command line.

        Parameters
        ----------
        arguments : list of str or None
            None stands for those of the process.

        Returns
        -------
        argparse.Namespace
        """
        parser = argparse.ArgumentParser(description=self.doc.splitlines()[0])
        parser.add_argument("--quick", action="store_true", help=self.quick)
        parser.add_argument("--json", metavar="FILE", help="write all figures there")
        sizes = {}
        for name, keywords in self.options.items():
            keywords = dict(keywords)
            if "full" in keywords:
                sizes[name] = keywords.pop("full"), keywords.pop("brief")
                defaults = "default {}, with --quick {}".format(*sizes[name])
                keywords["help"] = "; ".join(
                    filter(None, (keywords.get("help"), defaults))
                )
            parser.add_argument(f"--{name}", **keywords)
        options = parser.parse_args(arguments)
        for name, (full, brief) in sizes.items():
            # Of "without-torch" the attribute is "without_torch".
            attribute = name.replace("-", "_")
            if getattr(options, attribute) is None:
                setattr(options, attribute, brief if options.quick else full)
        return options

    def run(self, options):
        """Measure everything, printing as it goes.

        Returns
        -------
        dict
            Machine, options and entries, fit for JSON.
        """
        description = machine.describe()
        print(machine.in_words(description))
        report = {"machine": description, "options": vars(options), "goal": self.goal}
        report["results"] = []
        state = self.setup(options)
        for entry in self.measure(state, options):
            if isinstance(entry, str):
                print(entry, flush=True)
                continue
            report["results"].append(entry)
            print(self.line(entry), flush=True)
        return report

    def main(self):
        """Run by the command line, and write the file of figures if one is named."""
        options = self.parse()
        report = self.run(options)
        if options.json:
            text = json.dumps(report, indent=1, default=str)
            Path(options.json).write_text(text, encoding="utf-8")


def rounds(full, brief):
    """The option ``--rounds``."""
    return {"type": int, "full": full, "brief": brief}


def dtypes(full=BOTH_DTYPES, brief=BOTH_DTYPES):
    """The option ``--dtype`` with one or several values."""
    return {"nargs": "+", "choices": BOTH_DTYPES, "full": full, "brief": brief}


def threads(default=None):
    """The option ``--threads``; all cores if there is no other default."""
    default = default or joblib.cpu_count()
    return {"type": int, "default": default, "help": f"default {default}"}


def folder(content):
    """The option ``--data`` (see `real_data`)."""
    return {"metavar": "FOLDER", "help": f"with load.py and {content}"}


def against(ratio, goal):
    """A ratio beside the goal that it should reach, for the end of a line."""
    return f"{ratio:>7.2f}x{goal:>7.2f}x  {'met' if ratio >= goal else 'MISSED'}"
