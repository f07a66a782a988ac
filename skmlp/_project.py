"""Where the project is found on the web, and links from notebooks to there."""

# A placeholder, as in pyproject.toml, until there is a site; tests compare the two.
DOCUMENTATION_URL = "https://example.org/skmlp/docs/"


class DocumentedOnline:
    """Base of the estimators: the link to their page, for scikit-learn's HTML view.

    The view links the name of the class to its page, and each parameter to its entry
    there (`sklearn.utils.estimator_html_repr`). Subclasses that a user defines have no
    link.
    """

    _doc_link_module = "skmlp"
    _doc_link_template = (
        DOCUMENTATION_URL + "generated/{estimator_module}.{estimator_name}.html"
    )
