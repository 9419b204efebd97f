"""Completion in the shells themselves: each is asked what it makes of the beginning of a line."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.terminals import on_terminal

COMPLETED = {
    "ftcot sample-truth --leav": "--leave-one-out",
    "ftcot train --model-key distil": "distilgpt2",
    "ftcot data show bundled_coin": "bundled_coin_flip",
    "ftcot train --save-name kit": "kittens",
    "ftcot train --devices 0 1 --logger tensorboard wan": "wandb",
}
"""Beginnings of lines, and what their last word becomes: options, and values of each kind."""


@pytest.fixture(scope="module")
def shell_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home with `ftcot` on its path, whose `saved` folder holds something to complete."""
    home = tmp_path_factory.mktemp("home")
    for folder in ("bin", "saved/checkpoints/kittens_run_0"):
        (home / folder).mkdir(parents=True)
    program = home / "bin" / "ftcot"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m finetune_cot "$@"\n')
    program.chmod(0o755)
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    own = {"HOME": str(home), "ZDOTDIR": str(home), "PATH": path, "TERM": "xterm"}
    return {**os.environ, **own, "FTCOT_SAVED_DIR": str(home / "saved")}


def _run(shell: str, script: str, environment: dict[str, str]) -> list[str]:
    """Lines that a script of a shell prints; the test is skipped where there is no such shell."""
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} on this machine")
    shown = subprocess.run([shell, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert shown.stderr == ""
    return shown.stdout.splitlines()


def test_bash(shell_environment: dict[str, str]) -> None:
    ask = "\n".join(
        f"COMP_WORDS=({line}); COMP_CWORD={len(line.split()) - 1}; _ftcot_completion ftcot;"
        ' echo "${COMPREPLY[*]}"'
        for line in COMPLETED
    )
    shown = _run("bash", f"source <(ftcot --show-completion)\n{ask}", shell_environment)
    assert shown == [*COMPLETED.values()]


def test_bash_parts_a_word_at_an_equals_sign(shell_environment: dict[str, str]) -> None:
    words = "COMP_WORDS=(ftcot train --method = lo); COMP_CWORD=4"
    ask = f"source <(ftcot --show-completion)\n{words}; _ftcot_completion ftcot; echo $COMPREPLY"
    assert _run("bash", ask, shell_environment) == ["lora"]


def test_fish(shell_environment: dict[str, str]) -> None:
    ask = "\n".join(f"complete -C {shlex.quote(line)}" for line in COMPLETED)
    shown = _run("fish", f"ftcot --show-completion | source\n{ask}", shell_environment)
    assert [line.partition("\t")[0] for line in shown] == [*COMPLETED.values()]


def test_zsh(shell_environment: dict[str, str]) -> None:
    if shutil.which("zsh") is None:
        pytest.skip("there is no zsh on this machine")
    home = Path(shell_environment["HOME"])
    written = home / "completed"
    (home / ".zshrc").write_text(
        "PS1='ready> '\n"
        "autoload -Uz compinit && compinit -u -D\n"
        'eval "$(ftcot --show-completion)"\n'
        f"note() {{ print -r -- $BUFFER >> {written}; BUFFER= }}\n"
        "zle -N note && bindkey '^X' note\n"
    )
    # A tab completes the line, Ctrl-X notes it down and empties it, Ctrl-D ends the shell.
    typed = "".join(f"{line}\t\x18" for line in COMPLETED) + "\x04"
    code, shown = on_terminal(
        ["zsh", "-d", "-i"], dialogue=[("ready> ", typed)], environment=shell_environment
    )
    assert code == 0, shown
    lines = written.read_text().splitlines()
    assert [line.split()[-1] for line in lines] == [*COMPLETED.values()]
