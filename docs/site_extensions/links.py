"""Links of Markdown pages that leave `docs/`, as they lead on in the repository.

Scripts of the gallery and the documents of the root have pages of their own on the
site; every other file is linked in the repository.
"""

import posixpath
import re
from pathlib import Path

# Targets without a scheme, as `../benchmarks/README.md#threads`.
_LINK = re.compile(r"(?<=\]\()(?P<path>\.\./[^)#\s]*)(?P<anchor>#[^)\s]*)?(?=\))")
_GALLERY = re.compile(r"examples/gallery/([\w/]+)\.py")
_PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "examples/gallery": "auto_examples/index.rst",
}


def address(path, folder, app):
    """Where a link leads on the site.

    Parameters
    ----------
    path : str
        The link's target, relative to the page.
    folder : str
        The page's folder, relative to the root of the repository.
    app : Sphinx

    Returns
    -------
    str
        A page relative to the same folder, or an address in the repository.

    Raises
    ------
    ValueError
        If the repository has no such file.
    """
    target = posixpath.normpath(posixpath.join(folder, path))
    file = Path(app.srcdir).parent / target
    if not file.exists():
        raise ValueError(f"{folder}: the link {path} leads to no file")
    page = _PAGES.get(target)
    if script := _GALLERY.fullmatch(target):
        page = f"auto_examples/{script[1]}.rst"
    elif target.startswith("docs/"):
        page = target.removeprefix("docs/")
    if page is not None:
        return posixpath.relpath(f"docs/{page}", folder)
    kind = "tree" if file.is_dir() else "blob"
    return f"{app.config.repository_url}/{kind}/main/{target}"


def rewrite(app, docname, source):
    """Rewrite the links of a page when Sphinx reads it."""
    if Path(app.env.doc2path(docname)).suffix == ".md":
        folder = posixpath.dirname(f"docs/{docname}")
        source[0] = _LINK.sub(
            lambda link: address(link["path"], folder, app) + (link["anchor"] or ""),
            source[0],
        )


def setup(app):
    """Register the extension."""
    app.add_config_value("repository_url", "", "env")
    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
