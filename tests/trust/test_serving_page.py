"""The files of docs/serving.md: each is written as the page has it, and run.

The services are asked over HTTP. gunicorn and FastAPI are tried where they are
installed; the same WSGI service runs under the server of the standard library.
"""

import contextlib
import json
import os
import re
import shlex
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.datasets import load_digits

import skmlp
from skmlp.compiler import target

PAGE = Path(__file__).parents[2] / "docs" / "serving.md"
if not PAGE.is_file():
    pytest.skip("no documentation here", allow_module_level=True)
BLOCK = re.compile(r"^`([\w.]+)`:\n\n```\w*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
WSGI = """
from wsgiref.simple_server import make_server
import sys
from service import application
make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
"""


def files():
    return dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


def run(arguments, folder, **environment):
    package = str(Path(skmlp.__file__).parents[1])
    done = subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": package, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """A folder with the page's files, the model, and its kernels as in the image."""
    folder = tmp_path_factory.mktemp("image")
    for name, text in files().items():
        (folder / name).write_text(text, encoding="utf-8")
    run([sys.executable, "train.py"], folder)
    dockerfile = (folder / "Dockerfile").read_text().replace("\\\n", "")
    (command,) = re.findall(r"RUN python (-m skmlp precompile .*)", dockerfile)
    command = command.replace("/srv/", f"{folder}/").replace("/opt/", f"{folder}/")
    baseline = command.rpartition(" ")[2]
    assert baseline == "x86-64-v3"
    if baseline not in target.baselines() or target.missing_features(baseline):
        command = command.replace(baseline, "native")
    done = run([sys.executable, *shlex.split(command)], folder)
    assert "MB" in done.stdout
    return folder


@contextlib.contextmanager
def serving(image, *arguments):
    """The URL of a service that a command starts in the image."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [each.replace("PORT", str(port)) for each in arguments]
    environment = {
        **os.environ,
        "PYTHONPATH": f"{image}{os.pathsep}{Path(skmlp.__file__).parents[1]}",
        "SKMLP_CACHE_DIR": str(image / "skmlp-kernels"),
        "MODEL": str(image / "model.joblib"),
        "PYTHONWARNINGS": "error::UserWarning",
    }
    with open(image / "log", "w+") as log:
        process = subprocess.Popen(
            [sys.executable, *command], cwd=image, env=environment, stderr=log
        )
        try:
            end = time.monotonic() + 120
            while time.monotonic() < end and process.poll() is None:
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                time.sleep(0.1)
            assert process.poll() is None, (image / "log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def ask(url, rows):
    """Status and answer to a POST request."""
    body = json.dumps(rows).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def check(url, image, refused):
    x = load_digits().data[:20]
    model = joblib.load(image / "model.joblib")
    for _ in range(4):
        status, answer = ask(url, x.tolist())
        assert status == 200
        np.testing.assert_allclose(answer, model.predict_proba(x), rtol=1e-8)
    assert model.score(*load_digits(return_X_y=True)) > 0.95
    for rows in ([[1.0, 2.0]], "nonsense", [["a"] * 64]):
        status, answer = ask(url, rows)
        assert status == refused
        assert answer


@pytest.mark.slow
def test_a_wsgi_service(image):
    with serving(image, "-c", WSGI, "PORT") as url:
        check(url, image, refused=400)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("gunicorn") is None, reason="gunicorn is not installed")
def test_gunicorn_prefork(image):
    bind = ("--bind", "127.0.0.1:PORT")
    with serving(image, "-m", "gunicorn", *bind, "service:application") as url:
        check(url, image, refused=400)
    assert "Booting worker" in (image / "log").read_text()


@pytest.mark.slow
@pytest.mark.skipif(
    find_spec("fastapi") is None or find_spec("uvicorn") is None,
    reason="FastAPI or uvicorn is not installed",
)
def test_fastapi(image):
    command = ("-m", "uvicorn", "api:app", "--port", "PORT", "--workers", "2")
    with serving(image, *command) as url:
        check(f"{url}/predict", image, refused=422)


def test_the_page_has_the_files_and_names_what_exists():
    names = "train.py service.py gunicorn.conf.py Dockerfile api.py"
    assert " ".join(files()) == names
    text = PAGE.read_text(encoding="utf-8")
    for link in re.findall(r"\]\(([\w./]+)\)", text):
        assert (PAGE.parent / link).exists()
    named = set(re.findall(r"`'([\w-]+)'`", text))
    known = {name for names in target._BASELINES.values() for name in names}
    assert named == {*known, "native"}
