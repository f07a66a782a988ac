"""What happens where numba-cuda no longer has a private interface that is used."""

from importlib import metadata
from types import SimpleNamespace

import pytest

from skmlp.backends.cuda.runtime import cubin_cache, internals, jit, launch
from skmlp.compiler import disk_cache


class Queue:
    def clear(self):
        """Free nothing."""


def test_the_queues_of_a_context_and_of_its_memory_manager():
    one, other = Queue(), Queue()
    manager = SimpleNamespace(deallocations=other)
    context = SimpleNamespace(deallocations=one, memory_manager=manager)
    assert internals.deallocation_queues(context) == [one, other]


def test_a_memory_manager_of_another_library_need_not_have_a_queue():
    one = Queue()
    context = SimpleNamespace(deallocations=one, memory_manager=SimpleNamespace())
    assert internals.deallocation_queues(context) == [one]


@pytest.mark.parametrize(
    "context",
    [SimpleNamespace(), SimpleNamespace(deallocations=[])],
    ids=["no queue", "another queue"],
)
def test_without_queues_the_error_names_the_version(monkeypatch, context):
    monkeypatch.setattr(metadata, "version", lambda name: f"{name} 9.9")
    context = SimpleNamespace(**vars(context))
    with pytest.raises(RuntimeError, match=r"numba-cuda 9\.9 .*pip install"):
        internals.deallocation_queues(context)


def test_the_error_needs_no_metadata(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(RuntimeError, match="numba-cuda unknown"):
        internals.deallocation_queues(SimpleNamespace())


def test_extras_live_on_the_context():
    context = SimpleNamespace(extras={})
    assert internals.context_extras(context) is context.extras
    bare = SimpleNamespace()
    internals.context_extras(bare)["key"] = 1
    assert internals.context_extras(bare) == {"key": 1}
    assert internals.context_extras(SimpleNamespace()) == {}


def test_what_comes_before_a_reset():
    calls = []
    context = SimpleNamespace(reset=lambda: calls.append("reset"))
    internals.before_reset(context, lambda: calls.append("before"))
    context.reset()
    assert calls == ["before", "reset"]
    internals.before_reset(SimpleNamespace(), calls.clear)
    assert len(calls) == 2


def test_a_dispatcher_without_a_cache_attribute_compiles_in_every_process():
    class Dispatcher:
        __slots__ = ()

    internals.set_kernel_cache(Dispatcher(), "a cache")
    dispatcher = SimpleNamespace(_cache=None)
    internals.set_kernel_cache(dispatcher, "a cache")
    assert dispatcher._cache == "a cache"


def test_kernels_have_the_attribute_of_the_cache():
    dispatcher = jit.kernel(lambda x: None, "nothing")
    assert hasattr(dispatcher, "_cache")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SKMLP_CACHE_DIR", str(tmp_path / "kernels"))
    disk_cache.cache_folder.cache_clear()
    yield tmp_path / "kernels"
    monkeypatch.undo()
    disk_cache.cache_folder.cache_clear()


CODEGEN = SimpleNamespace(magic_tuple=lambda: ())


def test_a_kernel_that_cannot_be_serialized_is_not_written(folder):
    cache = cubin_cache.CubinCache("key", "kernel")
    cache.save_overload("signature", SimpleNamespace(codegen=CODEGEN))
    assert list(folder.glob("*")) == []


def test_a_kernel_that_cannot_be_rebuilt_is_not_read(folder, monkeypatch):
    pytest.importorskip("numba.cuda.dispatcher")
    states = {"what": "only another version has"}
    kernel = SimpleNamespace(codegen=CODEGEN, _reduce_states=lambda: states)
    cache = cubin_cache.CubinCache("key", "kernel")
    cache.save_overload("signature", kernel)
    assert len(list(folder.glob("*"))) == 1
    context = SimpleNamespace(codegen=lambda: CODEGEN)
    assert cache.load_overload("signature", context) is None


def test_without_metadata_nothing_is_written(folder, monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    cubin_cache._compiler_version.cache_clear()
    monkeypatch.setattr(metadata, "version", missing)
    kernel = SimpleNamespace(codegen=CODEGEN, _reduce_states=dict)
    cubin_cache.CubinCache("key", "kernel").save_overload("signature", kernel)
    assert list(folder.glob("*")) == []


def test_advice_of_another_text_is_ignored_by_its_category(recwarn):
    errors = pytest.importorskip("numba.cuda.core.errors")

    class WarningKernel:
        def __getitem__(self, configuration):
            import warnings

            advice = errors.NumbaPerformanceWarning("Too few blocks.")
            warnings.warn(advice, stacklevel=2)
            return configuration

    assert launch.configured(WarningKernel(), 4, 256) == (4, 256, 0, 0)
    assert not recwarn


def test_without_the_category_the_text_is_enough(monkeypatch, recwarn):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(launch.importlib, "import_module", missing)
    assert launch._performance_warnings() == ()


def test_the_interfaces_of_the_installed_version():
    """As many as can be seen without a GPU."""
    driver = pytest.importorskip("numba.cuda.cudadrv.driver")
    dispatcher = pytest.importorskip("numba.cuda.dispatcher")
    assert callable(driver._PendingDeallocs.clear)
    assert callable(driver._PendingDeallocs.add_item)
    assert callable(driver.Context.reset)
    assert callable(dispatcher._Kernel._rebuild)
    assert callable(dispatcher._Kernel._reduce_states)
