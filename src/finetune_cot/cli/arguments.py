"""Command lines as people write them: ``--devices 0 1 2`` beside repetition and commas."""

import shlex
from collections.abc import MutableMapping, Sequence

LIST_OPTIONS = frozenset(
    {
        *(
            "--devices",
            "--task-idxes",
            "--lora-targets",
            "--train-layers",
            "--logger",
            "--platform",
            "--figure-format",
            "--points",
            "--estimator",
        ),
    }
)
"""Options that take several words; a test holds them against the configs."""


def spread_lists(arguments: Sequence[str]) -> list[str]:
    """Repeat the name of a list option before each of the words that follow it.

    ``--devices 0 1 2`` becomes ``--devices 0 --devices 1 --devices 2``.
    """
    spread: list[str] = []
    current = ""
    for word in arguments:
        if word.startswith("--"):
            current = word if word in LIST_OPTIONS else ""
        elif current and spread[-1] != current:
            spread.append(current)
        spread.append(word)
    return spread


def spread_completion(shell: MutableMapping[str, str]) -> None:
    """Spread the words that a shell wants completed, where Typer reads them; the last is the unfinished one.

    Words of a line with an open quotation mark cannot be told, and stay as they are.

    Args:
        shell: The environment that the shell's completion script sets.
    """
    bash = "COMP_CWORD" in shell
    variable = "COMP_WORDS" if bash else "_TYPER_COMPLETE_ARGS"
    line = shell.get(variable, "")
    try:
        words = shlex.split(line)
    except ValueError:
        return
    if bash:
        words = [*words, ""][: int(shell["COMP_CWORD"]) + 1]
        # bash makes three words of --method=lora
        words = [word for word in words[:-1] if word != "="] + [words[-1].removeprefix("=")]
    elif line.endswith(" "):
        words.append("")
    spread = spread_lists(words)
    if bash:
        shell["COMP_CWORD"] = str(len(spread) - 1)
    shell[variable] = shlex.join(spread)
