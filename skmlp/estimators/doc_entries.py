"""Entries of docstrings, from the rows of the rules' tables and their parameters."""

import inspect
import textwrap

_WIDTH = 84


def rows(table):
    """A list of a table's rows, by what each says about itself."""
    return ";\n".join(
        textwrap.fill(
            f"- {row.name!r}: {row.about}",
            _WIDTH,
            initial_indent="    ",
            subsequent_indent="      ",
            break_on_hyphens=False,
        )
        for row in table.values()
    )


def entry(parameter):
    """The documentation of a parameter that rows declare."""
    name = parameter.type or type(parameter.default).__name__
    text = textwrap.fill(
        parameter.about,
        _WIDTH,
        initial_indent="    ",
        subsequent_indent="    ",
        break_on_hyphens=False,
    )
    return f"{parameter.name} : {name}, default={parameter.default!r}\n{text}"


def indented(text):
    """A text as it stands in a class docstring."""
    lines = inspect.cleandoc(text).splitlines()
    return "\n".join(f"    {line}" if line else "" for line in lines)


def as_written(doc):
    """A docstring as it stands in the source: since Python 3.13 it is dedented."""
    first, *rest = inspect.cleandoc(doc).splitlines()
    return "\n".join([first, *(f"    {line}" if line else "" for line in rest), "    "])
