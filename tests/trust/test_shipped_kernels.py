"""Kernels that root compiled in an image, served by nobody from a read-only tree.

Each test is a container in short (`containers`): its own root, all of it read-only, no
home, the user 65534, the package at another path than where the kernels were made.
"""

import os
import pickle
import shutil

import numpy as np
import pytest
import scipy
from containers import can_run, run_in_container
from sklearn.utils.fixes import parse_version
from subprocesses import PACKAGE

import skmlp
from skmlp.compiler import target

pytestmark = pytest.mark.skipif(not can_run(), reason="only root can mount folders")
SOMEBODY = 12345


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A folder with a package, a model, and the kernels of its predictions."""
    folder = tmp_path_factory.mktemp("image")
    shutil.copytree(PACKAGE, folder / "packages" / "skmlp")
    x = np.random.default_rng(0).standard_normal((60, 5))
    model = skmlp.MLPClassifier((9,), solver="lbfgs", random_state=0)
    model.fit(x, x[:, 0] > 0)
    (folder / "models").mkdir()
    (folder / "models" / "model.pkl").write_bytes(pickle.dumps((model, x)))
    baseline = target.baselines()[0]
    skmlp.precompile(estimator=model, cache_dir=folder / "made" / "here", cpu=baseline)
    return folder


def served():
    """What a service finds: kernels that it compiled, its warnings, probabilities."""
    import os
    import pickle
    import warnings

    import numba.core.event

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with open("/srv/models/model.pkl", "rb") as file:
            model, x = pickle.load(file)
        with numba.core.event.install_recorder("numba:compile") as recorder:
            probabilities = model.predict_proba(x)
    compiled = {str(event.data["dispatcher"]) for _, event in recorder.buffer}
    return {
        "user": os.geteuid(),
        "compiled": len(compiled),
        "warnings": [str(warning.message) for warning in caught],
        "probabilities": probabilities.tolist(),
    }


@pytest.fixture
def serve(image, tmp_path):
    """A function that serves with a copy of the kernels' folder, after an attack."""

    def run(spoil=None, *, mounts=(), setting="/opt/kernels", **environment):
        kernels = tmp_path / "kernels"
        if not kernels.exists():
            shutil.copytree(image / "made" / "here", kernels)
        if spoil is not None:
            spoil(kernels)
        lines = [
            ("ro", kernels, "/opt/kernels"),
            ("ro", image / "models", "/srv/models"),
        ]
        if setting:
            environment["SKMLP_CACHE_DIR"] = setting
        found, errors = run_in_container(
            served,
            folder=tmp_path,
            package=image / "packages",
            mounts=[*lines, *mounts],
            **environment,
        )
        assert found["user"] == 65534
        assert not errors
        return found

    return run


@pytest.mark.skipif(
    parse_version(scipy.__version__) < parse_version("1.15"),
    reason="the import of old SciPy writes a temporary file",
)
def test_everything_is_loaded(serve, image):
    found = serve()
    assert found["compiled"] == 0
    assert found["warnings"] == []
    model, x = pickle.loads((image / "models" / "model.pkl").read_bytes())
    expected = model.predict_proba(x)
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-10)


def group_writable(kernels):
    kernels.chmod(0o775)


def of_somebody(kernels):
    os.chown(kernels, SOMEBODY, SOMEBODY)


def a_link(kernels):
    (kernels / "real").mkdir()
    for path in [*kernels.glob("*.*")]:
        path.rename(kernels / "real" / path.name)
        path.symlink_to(f"real/{path.name}")


def files_of_somebody(kernels):
    for path in kernels.iterdir():
        os.chown(path, SOMEBODY, SOMEBODY)


def files_that_a_group_writes(kernels):
    for path in kernels.iterdir():
        path.chmod(0o664)


def files_that_only_root_reads(kernels):
    for path in kernels.iterdir():
        path.chmod(0o600)


def other_versions(kernels):
    for path in kernels.glob("*.json"):
        path.write_text(
            path.read_text().replace('"environment": "', '"environment": "0')
        )
        text = path.read_text().replace('"numba": "', '"numba": "1')
        path.write_text(text)


def another_processor(kernels):
    """A manifest of a baseline that no machine has."""
    for path in kernels.glob("*.json"):
        text = path.read_text().replace(
            f'"cpu": "{target.baselines()[0]}"', '"cpu": "z9"'
        )
        path.write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (group_writable, "other users can write /opt/kernels"),
        (of_somebody, "/opt/kernels belongs to another user"),
        (a_link, "symbolic links"),
        (files_that_only_root_reads, "Permission denied"),
        (files_of_somebody, "json belongs to another user"),
        (files_that_a_group_writes, "other users can write /opt/kernels/"),
        (other_versions, "the kernels in /opt/kernels are for numba 1"),
        (another_processor, "are for z9, another architecture"),
    ],
)
def test_one_warning_says_why_kernels_are_not_used(serve, image, spoil, reason):
    found = serve(spoil)
    assert found["compiled"] > 0
    (message,) = found["warnings"]
    assert reason in message
    assert "precompile" in message
    model, x = pickle.loads((image / "models" / "model.pkl").read_bytes())
    expected = model.predict_proba(x)
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-10)


@pytest.mark.slow
def test_no_home_and_no_folder_is_one_warning(serve):
    found = serve(setting=None, HOME="/nonexistent")
    assert found["compiled"] > 0
    (message,) = found["warnings"]
    assert "SKMLP_CACHE_DIR" in message
    assert "precompile(cache_dir" in message


@pytest.mark.slow
def test_a_private_folder_takes_what_was_not_shipped(serve, tmp_path):
    """Named in the variable, or the user's own in a home that can be written."""

    def one_less(kernels):
        for path in kernels.glob("predict-*"):
            path.unlink()

    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    os.chown(private, 65534, 65534)
    mounts = [("rw", private, "/var/lib/kernels")]
    setting = "/opt/kernels:/var/lib/kernels/own"
    first = serve(one_less, mounts=mounts, setting=setting)
    assert first["compiled"] > 0
    assert first["warnings"] == []
    assert any(path.name.startswith("predict-") for path in (private / "own").iterdir())
    again = serve(mounts=mounts, setting=setting)
    assert again["compiled"] == 0
    assert again["probabilities"] == first["probabilities"]

    shutil.rmtree(private / "own")
    mounts = [("rw", private, "/home/service")]
    assert serve(mounts=mounts, HOME="/home/service")["warnings"] == []
    assert [*(private / ".cache" / "skmlp").glob("predict-*")]
    assert serve(mounts=mounts, HOME="/home/service")["compiled"] == 0
