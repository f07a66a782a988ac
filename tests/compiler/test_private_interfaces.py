"""Every private interface of Numba may break: fits go on, with the same numbers.

Each is broken on purpose. Quick tests do so in this process and compile a small kernel;
the slow ones fit a network in a process of its own, with an empty cache.
"""

import os
import sys
import warnings

import numpy as np
import pytest
from numba import njit, types
from numba.core import caching, codegen, compiler, cpu, entrypoints, errors
from numba.core.compiler import Compiler
from subprocesses import PACKAGE, run_apart

from skmlp import Activation, MLPRegressor
from skmlp.compiler import (
    deferred_linking,
    disk_cache,
    fallback,
    jit,
    pipeline,
    pipeline_choice,
)
from skmlp.compiler.pipeline_choice import DeferredOrTrimmed, TrimmedOrNumba
from skmlp.exceptions import CompilerFallbackWarning


def fail(*arguments, **options):
    raise AttributeError("broken on purpose")


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch):
    """Nothing has been chosen or warned of, and there is no cache on disk."""
    monkeypatch.setattr(fallback, "_WARNED", {})
    monkeypatch.setattr(TrimmedOrNumba, "chosen", None)
    monkeypatch.setattr(DeferredOrTrimmed, "chosen", None)
    monkeypatch.setattr(disk_cache, "cache_folder", lambda: None)


def new_kernel():
    """A kernel that calls a function that calls another one; 7 for 3."""

    @jit.inline
    def plus_one(x):
        return x + 1

    @jit.inline
    def square_plus_one(x):
        return plus_one(x * x)

    def kernel(x):
        return square_plus_one(x) - x

    return jit.kernel(kernel)


def warnings_of(work):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        work()
    assert {warning.category for warning in caught} <= {CompilerFallbackWarning}
    return [str(warning.message) for warning in caught]


def assert_one_warning_and_right_results(what):
    def work():
        assert [new_kernel()(3), new_kernel()(3.0)] == [7, 7.0]

    (message,) = warnings_of(work)
    assert f"does without {what}," in message


# --- the results of compilations ---


def test_results_of_another_kind_keep_their_source(monkeypatch):
    kernel = new_kernel()
    assert kernel(3) == 7
    monkeypatch.setattr(compiler.CompileResult, "_replace", fail)
    (message,) = warnings_of(lambda: jit.forget_source(kernel))
    assert "does without compiled code without its source," in message


# --- compiler pipelines ---


def test_nothing_is_replaced_with_this_version_of_numba():
    assert warnings_of(lambda: new_kernel()(3)) == []
    assert TrimmedOrNumba.chosen is pipeline.TrimmedCompiler
    assert DeferredOrTrimmed.chosen is deferred_linking.DeferredLinkingCompiler


def test_no_pipeline_can_be_imported(monkeypatch):
    monkeypatch.setitem(sys.modules, "skmlp.compiler.pipeline", None)
    assert_one_warning_and_right_results("the trimmed compiler pipeline")
    assert TrimmedOrNumba.chosen is Compiler


def test_deferred_linking_cannot_be_imported(monkeypatch):
    name = "skmlp.compiler.deferred_linking"
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delattr("skmlp.compiler.deferred_linking")
    assert_one_warning_and_right_results("deferred linking")
    assert DeferredOrTrimmed.chosen is TrimmedOrNumba
    assert TrimmedOrNumba.chosen is pipeline.TrimmedCompiler


@pytest.mark.parametrize("name", ["_get_module_for_linking", "finalize"])
def test_libraries_that_cannot_be_linked(monkeypatch, name):
    monkeypatch.setattr(deferred_linking._InnerLibrary, name, fail)
    assert_one_warning_and_right_results("deferred linking")


def test_libraries_that_are_linked_wrongly(monkeypatch):
    link = deferred_linking._library_of_probe
    monkeypatch.setattr(
        deferred_linking, "_library_of_probe", lambda library, _: link(library, None)
    )
    assert_one_warning_and_right_results("deferred linking")


def test_a_pipeline_that_fails_on_every_function(monkeypatch):
    monkeypatch.setattr(pipeline.TrimmedCompiler, "define_pipelines", fail)
    assert_one_warning_and_right_results("the trimmed compiler pipeline")
    assert TrimmedOrNumba.chosen is Compiler


def test_a_last_pass_that_fails(monkeypatch):
    monkeypatch.setattr(deferred_linking._InnerLowering, "run_pass", fail)
    assert_one_warning_and_right_results("deferred linking")
    assert DeferredOrTrimmed.chosen is TrimmedOrNumba
    assert TrimmedOrNumba.chosen is pipeline.TrimmedCompiler


def test_no_compiler_to_fall_back_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "skmlp.compiler.pipeline_choice", None)
    found = []
    (message,) = warnings_of(lambda: found.extend(jit._pipelines()))
    assert "compiler pipelines of its own" in message
    assert found == [{}, {}]


def test_errors_of_functions_are_raised_once_and_nothing_is_replaced():
    calls = []

    @jit.inline
    def add(x):
        return x + "a word"

    def kernel(x):
        return add(x)

    plain = pipeline_choice._Fallible._compile_by_fallback

    def counted(self, function):
        calls.append(function.__name__)
        return plain(self, function)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")
        patch.setattr(pipeline_choice._Fallible, "_compile_by_fallback", counted)
        with pytest.raises(errors.TypingError, match="unicode_type"):
            jit.kernel(kernel)(1)
    assert TrimmedOrNumba.chosen is pipeline.TrimmedCompiler
    assert DeferredOrTrimmed.chosen is deferred_linking.DeferredLinkingCompiler
    assert len(calls) <= 6


def test_errors_of_users_rules_are_those_of_the_rules():
    def word(z):
        return type(z)(len(repr([]))) * z

    def slope(a):
        return type(a)(len(repr([])))

    rule = Activation("word", word, slope, init="he_uniform", about="no function")
    x = np.zeros((4, 2))
    model = MLPRegressor(hidden_layer_sizes=(3,), activation=rule)

    def work():
        with pytest.raises(ValueError, match="cannot compile the functions of 'word'"):
            model.fit(x, x[:, 0])

    assert warnings_of(work) == []


# --- options and addresses ---


def without_option(monkeypatch, name):
    for cls in cpu.CPUTargetOptions.__mro__:
        if name in vars(cls):
            monkeypatch.delattr(cls, name)


@pytest.mark.parametrize("name", sorted(jit._PRIVATE_OPTIONS))
def test_an_option_that_numba_does_not_know(monkeypatch, name):
    without_option(monkeypatch, name)
    found = {}
    (message,) = warnings_of(lambda: found.update(jit._supported(jit._INNER)))
    assert f"unknown: {name}" in message
    for options in ("_INNER", "_KERNEL", "_LOOP"):
        supported = {**getattr(jit, options)}
        supported.pop(name, None)
        monkeypatch.setattr(jit, options, supported)
    assert found == jit._INNER
    assert warnings_of(lambda: new_kernel()(3)) == []
    assert new_kernel()(3) == 7


def test_references_are_never_counted(monkeypatch):
    """By the option, else by the flag; where there is neither, nothing is compiled."""
    monkeypatch.setattr(jit, "_INNER", {**jit._INNER})
    monkeypatch.setattr(jit, "_KERNEL", {**jit._KERNEL})
    del jit._INNER["_nrt"], jit._KERNEL["_nrt"]

    def first(x):
        y = x
        return y[0] + len(y)

    kernel, plain = jit.kernel(first), njit(first)
    assert kernel(np.arange(3.0)) == plain(np.arange(3.0)) == 3
    assert "NRT_" in "".join(plain.inspect_llvm().values())
    assert "NRT_" not in "".join(kernel.inspect_llvm().values())
    monkeypatch.setattr(cpu, "CPUTargetOptions", object)
    with pytest.raises(ImportError, match="does not work with Numba"):
        jit._supported({"_nrt": False})


def test_addresses_that_cannot_be_had(monkeypatch):
    @jit.inline
    def plus_one(x):
        return x + 1

    def twice(x):
        return 2 * plus_one(x)

    call = jit.caller(types.int64)
    monkeypatch.setattr(jit, "_entry_address", fail)
    found = []

    def work():
        for _ in range(2):
            found.append(jit.loop(twice, types.int64(types.int64), None))

    (message,) = warnings_of(work)
    assert "the addresses of cached loops" in message
    caller = jit.kernel(lambda address, x: call(address, (x,)))
    assert [caller(address, 20) for _, address in found] == [42, 42]


# --- the cache on disk ---


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(disk_cache, "cache_folder", lambda: tmp_path)
    return tmp_path


BROKEN_CACHES = {
    "no class to serialize with": (caching, "CompileResultCacheImpl", None),
    "another base class": (caching, "NullCache", type("Other", (), {})),
    "no serialization": (caching.CompileResultCacheImpl, "reduce", fail),
    "no method": (caching._Cache, "__abstractmethods__", frozenset({"load_all"})),
}


@pytest.mark.parametrize("name", BROKEN_CACHES)
def test_no_cache_on_disk(folder, monkeypatch, name):
    monkeypatch.setattr(*BROKEN_CACHES[name])
    assert_one_warning_and_right_results("the kernel cache on disk")
    assert not [*folder.iterdir()]


def test_numba_does_not_describe_the_processor(folder, monkeypatch):
    kernel = new_kernel()
    key = kernel._cache._processor(kernel.targetctx.codegen())
    monkeypatch.delattr(codegen.CPUCodegen, "magic_tuple")
    assert_one_warning_and_right_results("Numba's description of the processor")
    assert len([*folder.iterdir()]) == 2
    assert new_kernel()._cache._processor(None)[:2] == key[:2]
    kernel = new_kernel()
    assert kernel(3) == 7
    assert sum(kernel.stats.cache_hits.values()) == 1


# --- whole fits ---


def fitted(broken):
    """Weights of a network, and warnings, with interfaces of Numba broken."""
    import sys
    import warnings

    import numpy as np
    from numba.core import codegen, cpu
    from numba.core.caching import CompileResultCacheImpl

    def fail(*arguments, **options):
        raise AttributeError("broken on purpose")

    if broken == "import":
        sys.modules["skmlp.compiler.pipeline"] = None
    if broken == "options":
        # Numba itself has bound the class by now, and uses these options, too.
        cpu.CPUTargetOptions = object
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from skmlp import MLPClassifier
        from skmlp.compiler import jit
        from skmlp.exceptions import CompilerFallbackWarning

        if broken == "pipeline":
            from skmlp.compiler import pipeline

            pipeline.TrimmedCompiler.define_pipelines = fail
        if broken == "libraries":
            from skmlp.compiler import deferred_linking

            deferred_linking._InnerLibrary._get_module_for_linking = fail
        if broken == "entry points":
            jit._entry_address = fail
            CompileResultCacheImpl.reduce = fail
            del codegen.CPUCodegen.magic_tuple
        x = np.random.default_rng(0).normal(size=(60, 5))
        model = MLPClassifier(hidden_layer_sizes=(9, 4), max_iter=4, random_state=0)
        model.fit(x, x[:, 0] + x[:, 1] ** 2 > 1)
    own = [each for each in caught if each.category is CompilerFallbackWarning]
    assert {each.filename for each in own} <= {"<string>"}
    return [coef.tolist() for coef in model.coefs_], [str(w.message) for w in own]


TIMEOUT = 600
PIPELINE = "the trimmed compiler pipeline"
ENTRY_POINTS = [
    "Numba's description of the processor",
    "the addresses of cached loops",
    "the kernel cache on disk",
]


@pytest.fixture(scope="module")
def weights():
    weights, messages = run_apart(fitted, None, timeout=TIMEOUT)
    assert messages == []
    return weights


@pytest.mark.slow
@pytest.mark.parametrize(
    ("broken", "replaced", "same_bits"),
    [
        ("import", [PIPELINE], False),
        ("pipeline", [PIPELINE], False),
        ("libraries", ["deferred linking"], False),
        ("options", ["private compiler options"], False),
        ("entry points", ENTRY_POINTS, True),
    ],
)
def test_a_fit_gives_the_same_numbers(weights, tmp_path, broken, replaced, same_bits):
    cache = str(tmp_path / "kernels")
    found, messages = run_apart(fitted, broken, SKMLP_CACHE_DIR=cache, timeout=TIMEOUT)
    rtol = 0 if same_bits else 1e-12
    for expected, actual in zip(weights, found, strict=True):
        np.testing.assert_allclose(actual, expected, rtol=rtol, atol=rtol)
    whats = [text.partition("does without ")[2].partition(",")[0] for text in messages]
    assert sorted(whats) == replaced


EXTENSION = """
def init():
    from numba.extending import typeof_impl

    class Another: pass

    typeof_impl.register(Another)(lambda value, context: None)
"""


def types_before_the_first_compilation():
    """Whether an extension has registered its type when a fit could look types up."""
    from numba.extending import typeof_impl

    before = [cls.__name__ for cls in typeof_impl.registry]
    import skmlp.backends.cpu  # noqa: F401

    after = [cls.__name__ for cls in typeof_impl.registry]
    return ["Another" in before, "Another" in after]


def test_extensions_are_loaded_before_threads_look_types_up(tmp_path):
    (tmp_path / "extending_numba.py").write_text(EXTENSION)
    info = tmp_path / "extending_numba-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: extending-numba\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[numba_extensions]\ninit = extending_numba:init\n"
    )
    path = os.pathsep.join([str(tmp_path), str(PACKAGE.parent)])
    found = run_apart(types_before_the_first_compilation, PYTHONPATH=path)
    assert found == [False, True]


def test_extensions_without_numbas_function(monkeypatch):
    monkeypatch.delattr(entrypoints, "init_all")
    jit._load_extensions()
