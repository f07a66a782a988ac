"""The processor that kernels are compiled for, chosen once, never beyond the host."""

import itertools
import json
import logging
import warnings

import pytest
from numba.core import codegen, config
from subprocesses import run_apart

from skmlp.compiler import fallback, kernel_folder, shipped, target, target_context
from skmlp.exceptions import CompilerFallbackWarning, KernelCacheWarning

LEVELS = ["x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"]
x86 = pytest.mark.skipif(
    target.baselines() != (*LEVELS,), reason="about the levels of x86-64"
)


@pytest.fixture(autouse=True)
def _as_in_a_new_process(monkeypatch):
    monkeypatch.setattr(fallback, "_WARNED", {})
    monkeypatch.delenv("SKMLP_CPU", raising=False)
    monkeypatch.delenv("SKMLP_CACHE_DIR", raising=False)


@pytest.fixture
def host(monkeypatch):
    """A function that gives this machine another processor of x86-64."""

    def pretend(features):
        found = dict.fromkeys(target._BASELINES["x86_64"]["x86-64-v4"], False)
        found |= dict.fromkeys(features, True)
        features = type("Features", (dict,), {"flatten": lambda self: str(self)})(found)
        binding = target.binding
        monkeypatch.setattr(binding, "get_process_triple", lambda: "x86_64-linux-gnu")
        monkeypatch.setattr(binding, "get_host_cpu_features", lambda: features)
        monkeypatch.setattr(binding, "get_host_cpu_name", lambda: "faked")

    return pretend


def features(level):
    return target._BASELINES["x86_64"][level]


def manifest(cpu, *, folder="/opt/kernels", key="", versions=None, is_current=True):
    return shipped.Manifest(folder, cpu, "made-on", key, versions or {}, is_current)


# --- which one ---


def test_without_wishes_it_is_this_processor():
    chosen = target._native()
    assert chosen.name == "native"
    assert chosen.vector_bytes in (16, 32, 64)
    assert target._chosen() == "native"


@pytest.mark.parametrize(
    ("level", "vector_bytes"), [*zip(LEVELS, (16, 16, 32, 64), strict=True)]
)
def test_vectors_are_those_of_the_target(host, monkeypatch, level, vector_bytes):
    host(features("x86-64-v4"))
    monkeypatch.setenv("SKMLP_CPU", level)
    assert target._chosen() == level
    chosen = target._baseline(level)
    assert chosen.vector_bytes == vector_bytes
    assert ("+avx2" in chosen.features.split(",")) == (vector_bytes >= 32)


def test_every_level_has_the_features_of_the_one_below():
    for low, high in itertools.pairwise(LEVELS):
        assert set(features(low)) < set(features(high))


@pytest.mark.parametrize("level", LEVELS)
def test_a_feature_that_the_host_lacks_rules_a_level_out(host, monkeypatch, level):
    """Whichever it is, and whoever asks: the variable, a folder or `precompile`."""
    lower = LEVELS[: LEVELS.index(level)]
    for missing in features(level):
        host(set(features("x86-64-v4")) - {missing})
        assert target.missing_features(level) == [missing]
        monkeypatch.setattr(fallback, "_WARNED", {})
        monkeypatch.setenv("SKMLP_CPU", level)
        with pytest.warns(KernelCacheWarning, match=f"has no {missing}"):
            assert target._chosen() == "native"
        monkeypatch.delenv("SKMLP_CPU")
        monkeypatch.setattr(fallback, "_WARNED", {})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", KernelCacheWarning)
            chosen = target._of_shipped([manifest(name) for name in LEVELS], {})
        runnable = [name for name in lower if missing not in features(name)]
        assert chosen == (runnable[-1] if runnable else "native")


def test_a_name_that_is_none(host, monkeypatch):
    host(features("x86-64-v4"))
    monkeypatch.setenv("SKMLP_CPU", "haswell")
    with pytest.raises(ValueError, match=r"SKMLP_CPU must be one of 'native'.*haswell"):
        target._chosen()


def test_arm(monkeypatch):
    binding = target.binding
    monkeypatch.setattr(binding, "get_process_triple", lambda: "aarch64-linux-gnu")
    monkeypatch.setattr(
        binding, "get_host_cpu_features", lambda: {"fp-armv8": True, "neon": True}
    )
    monkeypatch.setenv("SKMLP_CPU", "generic")
    assert target._chosen() == "generic"
    assert target._baseline("generic").vector_bytes == 16
    monkeypatch.setattr(binding, "get_process_triple", lambda: "riscv64-linux-gnu")
    assert target.baselines() == ()
    assert target._native().vector_bytes == 16


@pytest.mark.parametrize("name", ["CPU_NAME", "CPU_FEATURES"])
def test_numbas_own_settings_come_first(host, monkeypatch, name):
    host(features("x86-64-v4"))
    monkeypatch.setattr(config, name, "+sse2,+avx,-avx512f")
    monkeypatch.setenv("SKMLP_CPU", "x86-64-v2")
    assert target._chosen() == "native"
    if name == "CPU_FEATURES":
        assert target._native().vector_bytes == 32


def test_avx_that_numba_is_told_to_leave(host, monkeypatch):
    host(features("x86-64-v4"))
    assert target._native().vector_bytes == 64
    monkeypatch.setattr(config, "ENABLE_AVX", 0)
    assert target._native().vector_bytes == 16


def test_a_host_that_llvm_cannot_describe(monkeypatch):
    def fail():
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(target.binding, "get_host_cpu_features", fail)
    assert target.host_features() == set()
    assert target._native().vector_bytes == 16


# --- what a folder was filled for ---


def test_the_most_features_win_and_this_processor_before_them(host):
    host(features("x86-64-v3"))
    several = [manifest(name) for name in ("x86-64-v4", "x86-64-v2", "x86-64-v3")]
    assert target._of_shipped(several, {}) == "x86-64-v3"
    native = manifest("native", key=target.native_key())
    assert target._of_shipped([*several, native], {}) == "native"
    assert (
        target._of_shipped([*several, manifest("native", key="x")], {}) == "x86-64-v3"
    )
    assert target._of_shipped([], {}) == "native"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([manifest("x86-64-v4")], "for x86-64-v4, and this processor has no avx512bw"),
        ([manifest("native")], "for the processor made-on, and this is faked"),
        ([manifest("generic")], "for generic, another architecture"),
        (
            [manifest("x86-64", versions={"numba": "0.1"}, is_current=False)],
            "for numba 0.1, here 0",
        ),
        ([manifest("x86-64", is_current=False)], "for other code of skmlp"),
    ],
)
def test_kernels_that_do_not_fit(host, caplog, tmp_path, found, words):
    """A warning only where it happens at each start: the folder cannot be written."""
    host(features("x86-64-v3"))
    caplog.set_level(logging.INFO, logger="skmlp")
    with pytest.warns(KernelCacheWarning, match=words) as caught:
        assert target._of_shipped(found, {}) == "native"
    assert "skmlp.precompile" in str(caught[0].message)
    here = [each._replace(folder=tmp_path) for each in found]
    caplog.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert target._of_shipped(here, {}) == "native"
    assert words.partition(",")[0] in caplog.text


def test_manifests_are_read_as_they_are_written(monkeypatch, tmp_path):
    folder = kernel_folder.prepare(tmp_path / "kernels")
    shipped.write(folder, "x86-64-v2", "x86-64-v2", "x86-64-v2")
    target.leave_manifest(folder)
    assert len([*folder.iterdir()]) == 2
    target.leave_manifest(folder)
    assert shipped.manifests()[0] == []  # nobody has named the folder
    monkeypatch.setenv("SKMLP_CACHE_DIR", str(folder))
    found = {each.cpu: each for each in shipped.manifests()[0]}
    assert [*found] == ["native", "x86-64-v2"]
    assert all(each.is_current for each in found.values())
    assert found["native"].processor_key == target.native_key()
    assert found["native"].versions["skmlp"]
    path = next(folder.glob("*x86-64-v2*"))
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "environment": "another"}))
    assert [each.is_current for each in shipped.manifests()[0]] == [True, False]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\xff\xfe", b'{"cpu": "x", "versions": 3}']
)
def test_a_damaged_manifest_is_none(monkeypatch, tmp_path, content):
    folder = kernel_folder.prepare(tmp_path / "kernels")
    target.leave_manifest(folder)
    for path in folder.iterdir():
        path.write_bytes(content)
    monkeypatch.setenv("SKMLP_CACHE_DIR", str(folder))
    assert shipped.manifests()[0] == []


@pytest.mark.skipif(not kernel_folder._HAS_DESCRIPTORS, reason="no Unix permissions")
def test_a_manifest_that_others_can_write_is_none(monkeypatch, tmp_path):
    folder = kernel_folder.prepare(tmp_path / "kernels")
    target.leave_manifest(folder)
    (path,) = folder.iterdir()
    monkeypatch.setenv("SKMLP_CACHE_DIR", str(folder))
    assert len(shipped.manifests()[0]) == 1
    path.chmod(0o666)
    found, refused = shipped.manifests()
    assert found == []
    assert "other users can write" in str(refused[folder])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert target._of_shipped(found, refused) == "native"
    elsewhere = {tmp_path / "nowhere": refused[folder]}
    with pytest.warns(KernelCacheWarning, match="cannot be read .*other users"):
        assert target._of_shipped(found, elsewhere) == "native"
    path.chmod(0o600)
    folder.chmod(0o777)
    assert shipped.manifests()[0] == []


# --- the machine code ---


def registers(cpu):
    """The vector registers that a kernel and a function of Numba's use, and a sum."""
    import os
    import re

    os.environ["SKMLP_CPU"] = cpu
    import numpy as np
    from numba import njit

    from skmlp.backends.cpu.gemm import matmul, simd
    from skmlp.compiler import jit

    @jit.kernel
    def total(x):
        result = x[0] * np.float32(0)
        for i in range(x.shape[0]):
            result += x[i]
        return result

    @njit(fastmath=True)
    def plain(x):
        result = x[0] * np.float32(0)
        for i in range(x.shape[0]):
            result += x[i]
        return result

    x = np.arange(1000, dtype=np.float32)
    found = {"sums": [float(total(x)), float(plain(x))], "width": simd.VECTOR_BYTES}
    matmul.gemm_address(x.dtype)
    (product,) = matmul._ALIVE
    for name, dispatcher in (("own", total), ("product", product), ("numba", plain)):
        text = "".join(dispatcher.inspect_asm().values())
        found[name] = sorted(set(re.findall(r"%([xyz]mm)", text)))
    return found


@x86
@pytest.mark.parametrize("cpu", ["x86-64-v2", "x86-64-v3"])
def test_no_wider_register_than_the_target_has(cpu):
    if target.missing_features("x86-64-v4"):
        pytest.skip("on this processor nothing would be wider")
    allowed = {"xmm", "ymm"} if cpu == "x86-64-v3" else {"xmm"}
    found = run_apart(registers, cpu, SKMLP_CACHE_DIR="")
    assert found["sums"] == [499500, 499500]
    assert found["width"] == (32 if cpu == "x86-64-v3" else 16)
    assert set(found["own"]) <= allowed
    assert set(found["product"]) == allowed
    # What else a process compiles by Numba is for the processor at hand.
    assert not set(found["numba"]) <= {"xmm"}


def fitted(cpu):
    """Weights of a network, and a prediction, for a target."""
    import os

    os.environ["SKMLP_CPU"] = cpu
    import warnings

    import numpy as np

    import skmlp

    warnings.simplefilter("ignore")
    x = np.random.default_rng(0).normal(size=(70, 5))
    model = skmlp.MLPClassifier((33, 9), max_iter=4, random_state=0)
    model.fit(x, np.arange(70) % 3)
    probabilities = model.predict_proba(x).tolist()
    return [coef.tolist() for coef in model.coefs_], probabilities


@pytest.mark.slow
def test_all_targets_give_the_same_numbers_up_to_rounding(tmp_path, assert_same):
    runnable = [
        name for name in target.baselines() if not target.missing_features(name)
    ]
    assert runnable
    folder = str(tmp_path / "kernels")
    expected = run_apart(fitted, "native", SKMLP_CACHE_DIR=folder)
    for name in runnable:
        found = run_apart(fitted, name, SKMLP_CACHE_DIR=folder)
        for actual, desired in zip(found[0], expected[0], strict=True):
            assert_same(actual, desired, 1e-9)
        assert_same(found[1], expected[1], 1e-9)
        # Loaded, to the bit.
        assert run_apart(fitted, name, SKMLP_CACHE_DIR=folder) == found


# --- private interfaces of Numba ---


@x86
@pytest.mark.parametrize("name", ["_customize_tm_options", "_init"])
def test_a_code_generator_that_cannot_be_had(monkeypatch, name):
    def fail(*arguments):
        raise AttributeError("broken on purpose")

    monkeypatch.setattr(codegen.JITCPUCodegen, name, fail)
    monkeypatch.setattr(target, "current", lambda: target._baseline("x86-64-v2"))
    target_context._own_context.cache_clear()
    try:
        with pytest.warns(CompilerFallbackWarning, match="a target of its own"):
            assert target_context.of_target("Numba's") == "Numba's"
    finally:
        target_context._own_context.cache_clear()


@x86
def test_a_code_generator_that_would_compile_for_the_host(monkeypatch):
    """Its kernels would end other machines; nothing may take them for portable."""

    def ignores(self, options):
        options.update(cpu="this", features="+all")

    monkeypatch.setattr(codegen.JITCPUCodegen, "_customize_tm_options", ignores)
    monkeypatch.setattr(target, "current", lambda: target._baseline("x86-64-v2"))
    with pytest.raises(RuntimeError, match="would compile for"):
        target_context._new_codegen()
