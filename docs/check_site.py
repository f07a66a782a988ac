"""Check the built pages: their links lead somewhere, nothing comes from elsewhere.

``python docs/check_site.py build/docs``

Links to other sites are not followed: the check needs no network. Their scripts, style
sheets, pictures and fonts would be loaded by every reader's browser, so the pages may
have none.
"""

import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# Attributes that make a browser load what they name.
_LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("source", "src")}
_LINKS = _LOADED | {("a", "href"), ("object", "data"), ("iframe", "src")}
# Links between pages and addresses of the page itself, which are not loaded.
_NOT_LOADED = {"canonical", "next", "prev", "search", "index", "author", "copyright"}


class Page(HTMLParser):
    """The links and anchors of a page.

    Attributes
    ----------
    links : list of tuple (address, is_loaded)
    anchors : set of str
    """

    def __init__(self, text):
        super().__init__()
        self.links = []
        self.anchors = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        """Note what the tag links and what it can be linked by."""
        attrs = dict(attrs)
        self.anchors |= {attrs.get("id"), attrs.get("name")} - {None}
        for name, value in attrs.items():
            if (tag, name) in _LINKS and value:
                relations = set((attrs.get("rel") or "").split())
                is_loaded = (tag, name) in _LOADED and not relations & _NOT_LOADED
                self.links.append((value, is_loaded))


@cache
def read(path):
    """The `Page` of a file."""
    return Page(path.read_text(encoding="utf-8"))


def fault(page, link, is_loaded):
    """What is wrong with a link of a page, a sentence, or None."""
    address = urlsplit(link)
    if address.scheme == "data":
        return None
    if address.scheme or address.netloc:
        return "is loaded from another site" if is_loaded else None
    target = (page.parent / unquote(address.path)).resolve() if address.path else page
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return "leads to no file"
    anchor = unquote(address.fragment)
    # `#` alone is the top of the page.
    if anchor and target.suffix == ".html" and anchor not in read(target).anchors:
        return "leads to no such place on its page"
    return None


def faults(folder):
    """The faults of all pages below a folder, a line each."""
    for path in sorted(Path(folder).resolve().rglob("*.html")):
        # Fragments of the theme that it inserts into pages are no pages.
        if "_static" in path.parts:
            continue
        for link, is_loaded in dict.fromkeys(read(path).links):
            if found := fault(path, link, is_loaded):
                yield f"{path.relative_to(Path(folder).resolve())}: {link} {found}"


def main():
    """Print the faults; the exit code is 1 where there are any."""
    (folder,) = sys.argv[1:]
    if not (Path(folder) / "index.html").exists():
        sys.exit(f"{folder} has no index.html: build the site first")
    found = [*faults(folder)]
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(found)} broken links")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
