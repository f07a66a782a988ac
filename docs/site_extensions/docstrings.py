"""Docstrings on the site: which members have a place, and where their links lead.

Members that come from elsewhere than skmlp and scikit-learn are left out (the fields
and methods of tuples), as are scikit-learn's methods for metadata routing, which are
many and the same everywhere. Docstrings inherited from scikit-learn refer to labels of
its own documentation, which this site does not load: the words of the links stay. Pages
that a docstring names are links.
"""

import re

_ROUTING = re.compile(r"set_\w+_request|get_metadata_routing")
_PAGE = re.compile(r"``docs/(\w+)\.md``")
_GALLERY_ROLE = re.compile(r":ref:`sphx_glr\w*(?:\.py)?`")
_TITLED_ROLE = re.compile(r":(?:ref|term|doc):`([^`<]*?)\s*<[^>]*>`")
_ROLE = re.compile(r":(?:ref|term|doc|func|class|meth|mod):`~?([^`]*)`")


def skip(app, what, name, member, is_skipped, options):
    """Whether a member has no place on its class's page; None to let Sphinx decide."""
    if what != "class":
        return None
    if _ROUTING.fullmatch(name):
        return True
    function = getattr(member, "fget", member)
    module = getattr(function, "__module__", None) or ""
    return None if module.split(".")[0] in ("skmlp", "sklearn") else True


def mend_links(app, what, name, item, options, lines):
    """Link pages, and turn links into scikit-learn's documentation into words."""
    module = getattr(item, "__module__", None) or ""
    if module.split(".")[0] != "sklearn":
        lines[:] = [_PAGE.sub(r":doc:`/\1`", line) for line in lines]
        return
    text = "\n".join(lines)
    text = _GALLERY_ROLE.sub("scikit-learn's examples", text)
    text = _ROLE.sub(r"``\1``", _TITLED_ROLE.sub(r"\1", text))
    lines[:] = [
        line
        for line in text.split("\n")
        if not line.lstrip().startswith(".. versionadded::")
    ]


def setup(app):
    """Register the extension."""
    app.connect("autodoc-skip-member", skip)
    # Before numpydoc, which reads the lines as they are.
    app.connect("autodoc-process-docstring", mend_links, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
