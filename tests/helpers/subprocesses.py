"""Runs a function of a test module in a fresh interpreter.

For code that could crash pytest, and for effects that only a new process shows.
"""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import skmlp

PACKAGE = Path(skmlp.__file__).parent


def run_apart(
    function, *arguments, helpers=(), folder=None, timeout=120, **environment
):
    """The result of a function of a test module, run in a fresh interpreter."""
    call = f"{function.__name__}(*json.loads({json.dumps(arguments)!r}))"
    parts = [inspect.getsource(part) for part in (*helpers, function)]
    source = "\n".join([*parts, "import json", f"print(json.dumps({call}))"])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        cwd=folder or PACKAGE.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])
