"""Imports run downward only: neither upward nor sideways.

A test on the syntax trees, because this rule is what keeps a new backend or a new
activation to one place, and a single convenient import upward would undo it.
"""

import ast
from pathlib import Path

import skmlp

PACKAGE = Path(skmlp.__file__).parent

# Of a package the names that stand directly in it, from the top to the bottom. A module
# may import from the lines below its own; names in one line do not know each other.
# Packages that are not listed have no order of their own, only no circles.
ORDER = {
    "skmlp": [
        ["__main__"],
        ["command_line"],
        ["__init__", "quick_benchmark"],
        ["dask"],
        ["display", "onnx", "data_parallel"],
        ["tabular", "system_info"],
        ["_precompile"],
        ["_fitted_networks", "_shipping"],
        ["estimators"],
        ["training"],
        ["backends"],
        ["segments"],
        ["network"],
        ["embedding"],
        ["rules"],
        ["compiler"],
        ["_project", "call_site", "exceptions", "forks"],
    ],
    "skmlp.estimators": [
        ["__init__"],
        ["diagnosis", "hidden_features", "from_sklearn"],
        ["autoencoder", "classifier", "regressor"],
        ["base", "chunk_fitting", "docs", "reconstruction", "exchange"],
        ["training"],
        ["callbacks"],
        ["fit_values"],
        ["resuming", "chunk_feed", "first_pass"],
        ["chunks"],
        ["divergence"],
        ["dead_units", "poor_fit", "validation", "training_config", "holdout"],
        ["target_advice", "epoch_scores"],
        ["ineffective", "class_priors", "poor_fit_causes", "row_sampling"],
        ["prediction", "class_scoring"],
        ["data_driven"],
        ["data", "devices", "fitted"],
        ["gpu_arrays", "saved_state", "rebuilt", "release"],
        [
            "prepared",
            "dlpack",
            "target_kinds",
            "class_weights",
            "parameters",
            "architecture",
            "references",
            "suggestions",
            "doc_entries",
            "attribute_docs",
            "regression_score",
            "feature_embedding",
            "docs_factors",
            "docs_imbalance",
            "target_scaling",
            "sparse_indices",
            "arrow",
        ],
        [
            "value_suggestions",
            "data_advice",
            "label_matrix",
            "one_column",
            "several_columns",
        ],
        ["labels", "log_odds", "target_names"],
        ["names", "rate_factors"],
        ["other_names", "annotations"],
    ],
    "skmlp.dask": [
        ["__init__"],
        ["estimators"],
        ["base"],
        ["cluster_fit", "docs", "parameters", "prediction"],
        ["training", "watching"],
        ["checkpoints", "collective", "partitions", "progress", "worker_warnings"],
        ["mailbox"],
    ],
    "skmlp.display": [
        ["__init__"],
        ["activations", "intervals", "learning_rates", "loss_curves", "weights"],
        ["interval_bounds", "networks", "plotting"],
    ],
    "skmlp.onnx": [
        ["__init__"],
        ["transformers"],
        ["converters"],
        ["labels", "network"],
        ["graph", "heads"],
        ["tracing"],
    ],
    "skmlp.tabular": [
        ["__init__"],
        ["classifier", "regressor"],
        ["base", "docs"],
        ["budget", "planning", "importance", "preprocessor"],
        ["members", "splits", "combination", "table", "presets", "saved_state"],
        ["categories", "columns", "dates", "numbers"],
    ],
    "skmlp.data_parallel": [
        ["replica"],
        ["scorer"],
        ["facts", "orders", "session"],
    ],
    "skmlp.training": [
        ["lbfgs", "minibatch", "rate_range"],
        ["chunked"],
        ["sampling", "listener", "report", "undo", "collective", "shuffle_buffer"],
        ["history", "optimizer_state", "shuffling", "stopping", "unfinished"],
        ["background"],
    ],
    "skmlp.backends": [
        ["reference", "cpu", "cuda"],
        ["__init__", "threads", "reference_draws", "reference_rules"],
        ["limits"],
    ],
    "skmlp.backends.cpu": [
        ["__init__"],
        ["session"],
        ["prediction", "evaluation"],
        ["workspace", "binding", "contexts"],
        ["kernels"],
        ["plan", "gemm", "threads"],
        ["intrinsics"],
    ],
    "skmlp.compiler": [
        ["jit"],
        ["disk_cache", "pipeline_choice"],
        ["deferred_linking"],
        ["pipeline", "struct_pointer", "__init__"],
        ["target_context"],
        ["target"],
        ["shipped"],
        ["cache_paths"],
        ["fallback", "forks", "imported_code", "kernel_folder", "memory", "progress"],
        ["compile_thread"],
    ],
}
COMPILED = (
    "skmlp.backends.cpu",
    "skmlp.backends.cuda",
    "skmlp.compiler",
    "skmlp.training.shuffling",
)
COMPILERS = {"numba", "llvmlite"}


def module_name(path):
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imported_names(text):
    """Names of all modules that a source imports, wherever in it."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imports(text):
    """Modules of the package that a source imports."""
    names = set(imported_names(text))
    found = names & MODULES.keys()
    # ``from package import name``: the package's own file only where it has the name.
    packages = {name for name in names if f"{name}.__init__" in MODULES}
    with_children = {name.rpartition(".")[0] for name in found | packages}
    return found | {f"{name}.__init__" for name in packages - with_children}


def diverging(module, other):
    """The package in which two modules part, and their names in it."""
    one, two = module.split("."), other.split(".")
    depth = next(i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    return ".".join(one[:depth]), one[depth], two[depth]


def level(package, name):
    """Number of the line in which a name stands; None where it is not listed."""
    return next((i for i, line in enumerate(ORDER[package]) if name in line), None)


def violations(module, text):
    """The imports of a module that run upward or sideways, as sentences."""
    for other in imports(text) - {module}:
        package, name, other_name = diverging(module, other)
        if package not in ORDER:
            continue
        own, below = level(package, name), level(package, other_name)
        if own is not None and below is not None and own >= below:
            yield f"{module} imports {other}"


def test_imports_run_downward():
    found = [
        sentence
        for module, path in MODULES.items()
        for sentence in violations(module, path.read_text())
    ]
    assert not found


def test_every_listed_name_exists_and_every_name_is_listed():
    for package, lines in ORDER.items():
        folder = PACKAGE.parent.joinpath(*package.split("."))
        present = {path.stem for path in folder.iterdir()} - {"__pycache__"}
        listed = {name for line in lines for name in line}
        assert listed <= present
        optional = {"__init__"} if (folder / "__init__.py").exists() else set()
        assert present - listed <= optional | {"py"}, package


def test_upward_and_sideways_imports_would_be_found():
    upward = "def f():\n    from skmlp.estimators.base import BaseMLP\n"
    assert list(violations("skmlp.training.lbfgs", upward))
    sideways = "from skmlp.backends.cpu import plan\n"
    assert list(violations("skmlp.backends.cuda.plan", sideways))
    assert not list(violations("skmlp.backends.cpu.session", sideways))


def test_no_circles():
    below = {module: imports(path.read_text()) for module, path in MODULES.items()}
    done, open_modules = set(), []

    def visit(module):
        if module in done:
            return
        assert module not in open_modules, [*open_modules, module]
        open_modules.append(module)
        for other in below[module] - {module}:
            visit(other)
        done.add(open_modules.pop())

    for module in MODULES:
        visit(module)


def test_only_compiled_code_imports_the_compiler():
    found = {
        module
        for module, path in MODULES.items()
        if not module.startswith(COMPILED)
        and {name.partition(".")[0] for name in imported_names(path.read_text())}
        & COMPILERS
    }
    assert not found


def test_every_file_says_why_it_is_and_stays_small():
    for module, path in MODULES.items():
        text = path.read_text()
        assert ast.get_docstring(ast.parse(text)), module
        # The estimators' files are long by their docstrings and parameter lists.
        assert len(text.splitlines()) <= 450, module
