"""Stacks: fits in threads of 128 KB, and the frames of all compiled functions.

Servers with many threads give each a small stack, and the pool's threads take the same
setting. Machine code does not probe its stack: a frame larger than the guard page
writes into a neighbour's memory.
"""

import platform
import sys

import pytest
from subprocesses import run_apart

# Kernels call one loop at a time, so that the largest kernel and the largest loop add.
MOST_BYTES = 64 * 1024


def fitted_in_small_threads(kilobytes, warm):
    """Whether fits in a thread with a small stack have the usual bits."""
    import threading

    import numpy as np
    from scipy import sparse

    import skmlp
    from skmlp.backends.cpu import plan

    plan.threads_for = lambda work, n_jobs, *least: 2
    x = np.random.default_rng(0).standard_normal((300, 300))
    y = (x[:, 0] > 0).astype(int)

    def result():
        found = b""
        for solver in ("adam", "lbfgs"):
            # The second one packs both factors of its products.
            for hidden in ((10,), (300, 260)):
                model = skmlp.MLPClassifier(
                    hidden, solver=solver, max_iter=2, random_state=0, batch_size=100
                ).fit(x, y)
                found += model.coefs_[0].tobytes() + model.predict_proba(x).tobytes()
        model = skmlp.MLPRegressor(max_iter=2, random_state=0, dtype="float32")
        model.fit(sparse.csr_array(x), x[:, 0])
        return found + model.predict(sparse.csr_array(x)).tobytes()

    expected = result() if warm else None
    found = []
    threading.stack_size(kilobytes * 1024)
    thread = threading.Thread(target=lambda: found.append(result()))
    thread.start()
    thread.join()
    threading.stack_size(0)
    return found == [expected or result()]


def test_warm_fits_in_threads_of_128_kilobytes():
    assert run_apart(fitted_in_small_threads, 128, True)


@pytest.mark.slow
def test_cold_fits_in_threads_of_128_kilobytes():
    found = run_apart(
        fitted_in_small_threads, 128, False, timeout=400, SKMLP_CACHE_DIR=""
    )
    assert found


def frames(suite):
    """Bytes of stack by compiled function and by kernel, from the assembly.

    `suite` is "default", a fit and a prediction, or "all".
    """
    import re
    import warnings

    import numpy as np
    from scipy import sparse

    import skmlp
    from skmlp.compiler import disk_cache

    warnings.simplefilter("ignore")
    sizes = {}

    def record(cache, signature, compiled):
        text = compiled.library.get_asm_str()
        # "subq $1234, %rsp" moves the stack pointer, "pushq" by a word; on ARM it is
        # "sub sp, sp, #1234", or "#3, lsl #12".
        x86 = re.findall(r"\bsubq\s+\$(\d+), %rsp", text)
        x86 += ["8"] * len(re.findall(r"\bpushq\s", text))
        arm = re.findall(r"\bsub\s+sp, sp, #(\d+)(?:, lsl #(\d+))?", text)
        found = [int(n) for n in x86] + [int(n) << int(k or 0) for n, k in arm]
        sizes[f"{cache._key} {len(sizes)}"] = sum(found)

    disk_cache.KernelCache.save_overload = record
    x = np.random.default_rng(0).standard_normal((40, 6))
    y = np.arange(40) % 3
    few = {"max_iter": 1, "random_state": 0, "hidden_layer_sizes": (4, 3)}
    skmlp.MLPClassifier(**few).fit(x, y).predict(x)
    if suite == "all":
        for dtype in ("float32", "float64"):
            skmlp.precompile(dtype=dtype, activation="all", loss="all")
            for settings in (
                {"dropout": 0.2, "input_noise": 0.1},
                {"max_grad_norm": 1.0, "max_norm": 1.0},
                {"normalization": "batch"},
                {"normalization": "layer"},
                {"numeric_embedding": "piecewise"},
            ):
                if set(settings) <= set(skmlp.MLPClassifier().get_params()):
                    skmlp.MLPClassifier(dtype=dtype, **few, **settings).fit(x, y)
            model = skmlp.MLPClassifier(dtype=dtype, **few)
            model.fit(sparse.csr_array(x), y).predict(sparse.csr_array(x))
    return sizes


@pytest.mark.skipif(
    sys.platform == "win32"
    or platform.machine() not in ("x86_64", "AMD64", "arm64", "aarch64"),
    reason="reads the assembly of x86-64 and ARM",
)
@pytest.mark.parametrize(
    "suite", ["default", pytest.param("all", marks=pytest.mark.slow)]
)
def test_no_kernel_needs_more_than_64_kilobytes(suite):
    sizes = run_apart(frames, suite, timeout=1500, SKMLP_CACHE_DIR="")
    loops = {name: n for name, n in sizes.items() if "kernels.train" not in name}
    assert any("gemm" in name for name in loops)
    assert len(sizes) > len(loops)
    # Each is the sum over all functions of a module, whether they call each other.
    assert max(sizes.values()) + max(loops.values()) < MOST_BYTES
    assert max(sizes.values()) > 0
