"""`ftcot teach` against real servers on loopback, with the embedded SmolLM2; `.ci/nightly` runs it.

``FTCOT_SERVE_PYTHON`` names the Python of an environment with ``transformers[serving]``, and
``FTCOT_LLAMA_PYTHON`` of one with ``llama-cpp-python[server]``; by default it is the one that runs the tests.
Each test prints figures, which ``pytest -rP`` shows.
"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest

from finetune_cot.artifacts.completions import read_completions
from finetune_cot.models.embedded import embedded_model_folder
from finetune_cot.models.packaged import find_packaged_gguf
from tests.pipeline.test_kill_teach_evaluate import finish, ftcot

pytestmark = [pytest.mark.slow, pytest.mark.models]
QUESTIONS = 20
FIGURES = (
    *("completed", "failed", "distinct_rationales", "distinct_rate", "incomplete"),
    *("prompt_tokens", "completion_tokens", "seconds"),
)
PATIENCE = 1200.0
"""Seconds until a server is up, and until it has answered."""


@contextlib.contextmanager
def serving(module: str, words: Sequence[str], variable: str, needs: str) -> Iterator[str]:
    """The address of a server that a module starts on a free port."""
    python = os.environ.get(variable, sys.executable)
    if subprocess.run([python, "-c", f"import {needs}"], capture_output=True, check=False).returncode:
        pytest.skip(f"{python} cannot import {needs}: name another with {variable}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    line = [python, "-m", module, *words, "--host", "127.0.0.1", "--port", str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with (
        tempfile.TemporaryFile() as told,
        subprocess.Popen(line, stdout=told, stderr=told, env=environment) as server,
    ):
        try:
            address = f"http://127.0.0.1:{port}/v1"
            _wait(f"{address}/models", server, told)
            yield address
        finally:
            server.kill()


def _wait(url: str, server: subprocess.Popen[bytes], told: IO[bytes]) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(url):
            return
        if server.poll() is not None:
            told.seek(0)
            pytest.fail(told.read().decode()[-1000:])
        time.sleep(0.5)
    pytest.fail("the server did not start")


def teach(address: str, model: str, endpoint: str, saved_dir: Path) -> None:
    """Have 20 questions answered in two steps, once more, which asks for nothing, and some several times."""
    options = {"model-key": model, "base-url": address, "endpoint": endpoint, "limit": QUESTIONS}
    options |= {
        "max-reasoning-tokens": 16,
        "max-answer-tokens": 8,
        "concurrency": 2,
        "completion-key": "zs_cot",
    }
    line = ["teach", "--teacher", "openai", *(part for k, v in options.items() for part in (f"--{k}", v))]
    with ftcot(*line, saved_dir=saved_dir) as process:
        result = finish(process, PATIENCE)
    assert (result["requested"], result["completed"], result["failed"]) == (QUESTIONS, QUESTIONS, 0)
    assert result["completion_tokens"] > 0
    sys.stdout.write(json.dumps({"endpoint": endpoint, **{name: result[name] for name in FIGURES}}) + "\n")
    for completion in read_completions(Path(result["path"])).completions:
        assert completion.reasoning_completion
        assert completion.finish_reason in ("stop", "length")
    with ftcot(*line, saved_dir=saved_dir) as process:
        assert finish(process)["reused"] == QUESTIONS
    sampled = ["--completion-key", "zs_t70", "--num-completions", "2", "--seed", "5", "--limit", "3"]
    with ftcot(*line, *sampled, saved_dir=saved_dir) as process:
        assert finish(process, PATIENCE)["completed"] == 6  # whatever the server thinks of a seed and of `n`


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_transformers_serve(endpoint: str, tmp_path: Path) -> None:
    folder = str(embedded_model_folder())
    module, needs = "transformers.cli.transformers", "fastapi, uvicorn, transformers"
    with serving(module, ["serve", folder], "FTCOT_SERVE_PYTHON", needs) as address:
        teach(address, folder, endpoint, tmp_path)


@pytest.mark.parametrize("endpoint", ["chat", "completions"])
def test_llama_cpp(endpoint: str, tmp_path: Path) -> None:
    words = ["--model", str(find_packaged_gguf()), "--n_ctx", "1024", "--n_threads", "1"]
    with serving("llama_cpp.server", words, "FTCOT_LLAMA_PYTHON", "llama_cpp.server") as address:
        teach(address, "smollm2", endpoint, tmp_path)
