"""How quickly ``ftcot --help`` starts, beside ``python -c 'import typer'``.

    python -m tests.benchmarks.start [--repeats 15]

Prints one JSON object: user CPU seconds of both as medians (and least and most), from runs taken in turn.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys

COMMANDS = {
    "help": [sys.executable, "-m", "finetune_cot", "--help"],
    "import_typer": [sys.executable, "-c", "import typer"],
}


def user_seconds(command: list[str]) -> float:
    """User CPU seconds of one run of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before


def main() -> None:
    """Time both commands in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    for command in COMMANDS.values():
        user_seconds(command)
    seconds = {name: [] for name in COMMANDS}
    for _ in range(repeats):
        for name, command in COMMANDS.items():
            seconds[name].append(user_seconds(command))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    report = {
        "repeats": repeats,
        "help_user_seconds": medians["help"],
        "import_typer_user_seconds": medians["import_typer"],
        "ratio": medians["help"] / medians["import_typer"],
        "spread": {name: [min(values), max(values)] for name, values in seconds.items()},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
