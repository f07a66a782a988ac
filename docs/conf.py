"""Sphinx's configuration of the site.

``python -m sphinx -W --keep-going docs build/docs`` builds it, without network: no
inventory of another project is loaded, and the pages load scripts and fonts from the
site itself. Warnings are errors, so a link that leads nowhere ends the build.

The pages are Markdown that also reads well in the repository. What differs there is
mended here while they are read: links that leave `docs/`. The addresses of the site
and of the repository stand in pyproject.toml only.
"""

import sys
import tomllib
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS))  # for the extensions beside this file

import skmlp  # noqa: E402

_URLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]

project = "skmlp"
author = "The skmlp developers"
copyright = f"2026, {author}"
version = release = skmlp.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "site_extensions.links",
    "site_extensions.docstrings",
    "site_extensions.parameter_groups",
]
exclude_patterns = ["site_extensions"]
templates_path = ["_templates"]
repository_url = _URLS["Repository"].rstrip("/")

# A name in single backticks is a link where there is such an object, else only code.
default_role = "py:obj"
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
autosummary_generate = True
autodoc_member_order = "groupwise"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
smartquotes = False  # 'relu' is code
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "subsection_order": [
        f"../examples/gallery/{folder}"
        for folder in ("basics", "inside", "targets", "classes", "data", "training")
    ],
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("skmlp",),
    "reference_url": {"skmlp": None},
    "backreferences_dir": "generated/backreferences",
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "download_all_examples": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = f"skmlp {release}"
html_baseurl = _URLS["Documentation"]
html_favicon = "_static/logo.svg"
html_context = {"default_mode": "auto"}
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {
        "text": "skmlp",
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo.svg",
        "alt_text": "skmlp",
    },
    "icon_links": [
        {"name": "Repository", "url": repository_url, "icon": "fa-solid fa-code-branch"}
    ],
    "header_links_before_dropdown": 6,
    "navigation_with_keys": False,
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}
html_sidebars = {"changelog": [], "getting_started": [], "index": []}
