"""``python -m skmlp`` and `skmlp.show_versions`, as a user calls them."""

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import joblib
import numpy as np
import pytest

import skmlp
from skmlp import command_line, quick_benchmark, system_info
from skmlp.compiler import kernel_folder, target

ROOT = Path(skmlp.__file__).parents[1]


def command(*arguments, **environment):
    """Exit code, output and errors of ``python -m skmlp``."""
    done = subprocess.run(
        [sys.executable, "-m", "skmlp", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def kernels(monkeypatch, tmp_path):
    """A folder that is the cache, with two files of it and one that is not."""
    folder = kernel_folder.prepare(tmp_path / "kernels")
    for name in ("gemm", "predict"):
        kernel_folder.write(folder, f"{name}-{'0' * 32}.bin", bytes(500_000))
    (folder / "mine").write_text("mine")
    monkeypatch.setenv("SKMLP_CACHE_DIR", str(folder))
    return folder


# --- what it runs on ---


def test_both_print_the_same(capsys, kernels):
    code, printed, errors = command()
    assert (code, errors) == (0, "")
    skmlp.show_versions()
    assert capsys.readouterr().out == printed
    assert f"skmlp {skmlp.__version__}" in re.sub(" +", " ", printed)
    titles = re.findall(r"^\w.*", printed, re.MULTILINE)
    assert titles == [
        "Versions",
        "Processor",
        "Threads",
        "GPU",
        "Cache of compiled kernels",
    ]
    assert "2 files, 1.0 MB, can be written" in printed


def test_nothing_is_made_or_compiled(tmp_path):
    folder = tmp_path / "new" / "kernels"
    code, printed, _ = command(SKMLP_CACHE_DIR=str(folder))
    assert code == 0
    assert re.search(rf"{folder}\s+does not exist; made when", printed)
    assert not folder.parent.exists()


def test_packages_are_not_imported_for_their_versions():
    program = "import skmlp, sys; skmlp.show_versions(); print([*sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "matplotlib" in done.stdout
    assert "'matplotlib'" not in done.stdout
    assert "'numba.cuda'" not in done.stdout


def test_the_processor(monkeypatch):
    found = system_info.system_info()["Processor"]
    chosen = target.current()
    assert found["kernels are for"].startswith(f"{chosen.name}, vectors of ")
    assert str(chosen.vector_bytes) in found["kernels are for"]
    assert set(target.baselines()) >= set(found["can run kernels for"].split(", ")[1:])

    def fail():
        raise ValueError("SKMLP_CPU must be another")

    monkeypatch.setattr(target, "current", fail)
    found = system_info.system_info()["Processor"]
    assert found["kernels are for"] == "none: SKMLP_CPU must be another"


def test_what_limits_the_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    found = system_info.system_info()["Threads"]
    assert found["a fit may use"] == "1"
    assert found["OMP_NUM_THREADS"] == "1"
    assert found["NUMBA_NUM_THREADS"] == os.environ.get("NUMBA_NUM_THREADS", "not set")


class Driver:
    """An NVIDIA driver without a GPU."""

    def cuda_version(self):
        return 13010


def test_a_gpu_and_its_driver(monkeypatch):
    device = system_info.device
    monkeypatch.setattr(device, "open_driver", lambda: None)
    assert system_info.system_info()["GPU"] == {"NVIDIA driver": "none"}
    monkeypatch.setattr(device, "open_driver", Driver)
    obstacle = device.Obstacle(RuntimeError, "There is no GPU", "Plug one in.")
    monkeypatch.setattr(device, "obstacle", lambda device_id: obstacle)
    found = system_info.system_info()["GPU"]
    assert found["NVIDIA driver"].endswith("supports CUDA 13.1")
    assert found["device='cuda'"] == "There is no GPU.\nPlug one in."
    monkeypatch.setattr(device, "obstacle", lambda device_id: None)
    assert system_info.system_info()["GPU"]["device='cuda'"] == "can be used"


def test_a_cache_that_is_turned_off_or_refused(monkeypatch, tmp_path):
    def found():
        return system_info.system_info()["Cache of compiled kernels"]

    monkeypatch.setenv("SKMLP_CACHE_DIR", "")
    assert found()["no folder"] == "the cache is turned off"
    monkeypatch.setenv("SKMLP_CACHE_DIR", "kernels")
    assert "not absolute" in found()["no folder"]
    if hasattr(os, "geteuid"):
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o777)
        monkeypatch.setenv("SKMLP_CACHE_DIR", f"{tmp_path / 'shared'}")
        text = found()[str(tmp_path / "shared")]
        assert "not used: other users can write" in text


def test_a_folder_that_was_filled(monkeypatch, kernels):
    target.leave_manifest(kernels)
    found = system_info.system_info()["Cache of compiled kernels"][str(kernels)]
    assert found.endswith("filled by skmlp.precompile for native")
    (path,) = kernels.glob("*.json")
    text = path.read_text().replace('"processor_key": "', '"processor_key": "x')
    path.write_text(text)
    found = system_info.system_info()["Cache of compiled kernels"][str(kernels)]
    assert "native: not used, it is for the processor" in found


@pytest.mark.parametrize(
    ("flag", "words"),
    [(1, "the file system is read-only"), (0, "it belongs to user 0 and has the mode")],
)
@pytest.mark.skipif(not hasattr(os, "statvfs"), reason="no Unix permissions")
def test_why_a_folder_cannot_be_written(monkeypatch, kernels, flag, words):
    status = type("Status", (), {"f_flag": flag, "st_uid": 0, "st_mode": 0o40755})
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(os, "statvfs", lambda path: status)
    monkeypatch.setattr(Path, "stat", lambda path: status)
    assert words in system_info.folder_in_words(kernels)


# --- commands ---


def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as caught:
        command_line.main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: python -m skmlp")
    for name in ("precompile", "cache", "benchmark"):
        assert name in printed
        with pytest.raises(SystemExit):
            command_line.main([name, "--help"])
        assert f"usage: python -m skmlp {name}" in capsys.readouterr().out


def test_an_unknown_command(capsys):
    with pytest.raises(SystemExit) as caught:
        command_line.main(["serve"])
    assert caught.value.code == 2
    assert "invalid choice: 'serve'" in capsys.readouterr().err


def test_the_cache_is_shown_and_cleared(capsys, kernels):
    assert command_line.main(["cache"]) == 0
    assert capsys.readouterr().out == (f"{kernels}: 2 files, 1.0 MB, can be written\n")
    assert command_line.main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == (
        f"{kernels}: 2 files removed\n{kernels}: 0 files, 0.0 MB, can be written\n"
    )
    assert [path.name for path in kernels.iterdir()] == ["mine"]


def test_a_cache_that_is_off_is_not_cleared(capsys, monkeypatch):
    monkeypatch.setenv("SKMLP_CACHE_DIR", "")
    assert command_line.main(["cache", "--clear"]) == 0
    assert "turned off" in capsys.readouterr().out


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no Unix permissions")
def test_a_folder_of_others_is_not_cleared(capsys, kernels):
    kernels.chmod(0o777)
    assert command_line.main(["cache", "--clear"]) == 1
    assert "other users can write" in capsys.readouterr().err
    assert len([*kernels.iterdir()]) == 3


def test_arguments_of_precompile(capsys, monkeypatch, kernels, tmp_path):
    calls = []
    monkeypatch.setattr(
        command_line, "precompile", lambda **keywords: calls.append(keywords)
    )
    path = tmp_path / "model.joblib"
    joblib.dump({"a": 1}, path)
    for arguments in (
        [],
        ["--dtype", "float32", "--solver", "sgd", "--activation", "relu", "tanh"],
        ["--activation", "all", "--loss", "all", "--normalization", "batch"],
        ["--estimator", str(path), "--cache-dir", str(kernels), "--cpu", "x86-64-v3"],
    ):
        assert command_line.main(["precompile", *arguments]) == 0
    assert calls == [
        {"cpu": "native"},
        {
            "dtype": "float32",
            "solver": "sgd",
            "activation": ["relu", "tanh"],
            "cpu": "native",
        },
        {"activation": "all", "loss": "all", "normalization": "batch", "cpu": "native"},
        {"estimator": {"a": 1}, "cache_dir": str(kernels), "cpu": "x86-64-v3"},
    ]
    assert capsys.readouterr().out.count("2 files, 1.0 MB") == 4


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "model.pkl cannot be loaded"),
        (b"not a pickle", "model.pkl"),
        (pickle.dumps(3), "there is none"),
        (None, "No such file"),
    ],
)
def test_errors_are_one_line(tmp_path, content, words, capsys):
    path = tmp_path / "model.pkl"
    if content is not None:
        path.write_bytes(content)
    assert command_line.main(["precompile", "--estimator", str(path)]) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("python -m skmlp precompile: ")
    assert words in errors
    assert errors.count("\n") == 1
    assert command_line.main(["precompile", "--activation", "none"]) == 1
    assert "activation must be 'all', or one" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_model_is_precompiled_into_a_folder(tmp_path):
    x = np.random.default_rng(0).standard_normal((20, 3))
    model = skmlp.MLPRegressor(solver="lbfgs", max_iter=30, random_state=0)
    joblib.dump(model.fit(x, x[:, 0]), tmp_path / "model.joblib")
    folder = tmp_path / "kernels"
    code, printed, errors = command(
        *("precompile", "--estimator", str(tmp_path / "model.joblib")),
        *("--cache-dir", str(folder)),
    )
    assert (code, errors) == (0, "")
    assert re.match(rf"{folder}: [5-9] files, 0\.\d MB, can be written\n", printed)
    assert [*folder.glob("predict-*.bin")]
    assert [*folder.glob("kernels-for-native-*.json")]


# --- the benchmark ---


def test_the_benchmark_prints_a_table(capsys, monkeypatch):
    monkeypatch.setattr(quick_benchmark, "_WATCHED_SECONDS", 0.05)
    monkeypatch.setattr(quick_benchmark, "_SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(quick_benchmark, "_MIN_SECONDS", 0.0)
    monkeypatch.setattr(quick_benchmark, "_ROUNDS", {True: 2})
    cases = [
        quick_benchmark.Case((60, 4), 3, (5,), 20, 2, "float64"),
        quick_benchmark.Case((60, 4), 0, (5, 4), 20, 2, "float32"),
    ]
    monkeypatch.setattr(quick_benchmark, "_QUICK", cases)
    assert command_line.main(["benchmark", "--quick"]) == 0
    printed = capsys.readouterr().out
    assert len(re.findall(r"^fit: 60 rows, 4 x 5", printed, re.MULTILINE)) == 2
    assert len(re.findall(r" ms +[\d.]+ ms +[\d.]+x$", printed, re.MULTILINE)) == 6
    assert "fits, geometric mean: " in printed
    assert "scikit-learn" in printed.splitlines()[1]


def test_the_benchmark_ends_in_time(capsys, monkeypatch):
    monkeypatch.setattr(quick_benchmark, "_WATCHED_SECONDS", 0.05)
    monkeypatch.setattr(quick_benchmark, "_LIMIT_SECONDS", {True: 0.0})
    assert quick_benchmark.run(quick=True) == []
    assert "no time was left for 4 cases" in capsys.readouterr().out


def test_at_least_one_round_counts():
    calls = []
    found = quick_benchmark._medians(calls.append, 5, end=0.0)
    assert len(found) == 2
    assert {module.__name__ for module in calls} == {
        "skmlp.estimators",
        "sklearn.neural_network",
    }


@pytest.mark.parametrize(
    ("busy", "words"),
    [(None, "load unknown"), (0.0, "quiet"), (64.0, "NOT QUIET, 64.0 cores busy")],
)
def test_the_heading_says_whether_the_machine_is_quiet(busy, words):
    assert words in quick_benchmark.heading(busy)
