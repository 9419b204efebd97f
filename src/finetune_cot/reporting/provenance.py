"""Where everything comes from: the manifests of what is saved, what it cost, and how to make it again."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from shlex import quote

from finetune_cot.artifacts.ids import FinetuneDataId
from finetune_cot.artifacts.manifest import Manifest, read_manifest
from finetune_cot.artifacts.results import read_results
from finetune_cot.reporting.findings import Made, Measurement, TrainingData
from finetune_cot.reporting.naming import naming
from finetune_cot.reporting.tables import Cell, Table, Value, table

MANIFESTS = (
    "checkpoints/*/manifest.json",
    "exported_model/*/manifest.json",
    "finetune_data/*/*.manifest.json",
    "gradients/*/manifest.json",
    "results/*/manifest.json",
    "results/*/truth.json",
    "sampled_indices/*.manifest.json",
)
"""Patterns of manifests that lie beside what they tell of; completion files hold theirs."""
_SIDECAR, _FOLDERS, _TRUTH = ".manifest.json", "manifest.json", "truth.json"


def read_made(saved_dir: Path, path: Path) -> Made:
    """What a manifest tells of.

    Raises:
        ArtifactError: it is torn or no manifest.
    """
    manifest = read_manifest(path)
    name = path.relative_to(saved_dir)
    is_sidecar = path.name.endswith(_SIDECAR)
    artifact = name.with_name(name.name.removesuffix(_SIDECAR)) if is_sidecar else name.parent
    results = path.with_name("results.csv")
    if path.name == _TRUTH and results.exists():
        # it is written before the first fine-tuning, whose seconds are in the table
        seconds = sum(row.seconds or 0.0 for row in read_results(results))
        manifest = replace(manifest, seconds=seconds, cpu_seconds=None)
    return Made(artifact.as_posix(), manifest, str(path.parent if path.name == _FOLDERS else path))


def made_completions(saved_dir: Path, measurements: Iterable[Measurement]) -> Iterator[Made]:
    """The completion files that hold a manifest."""
    for item in measurements:
        if item.manifest is not None:
            yield Made(item.file, item.manifest, str(saved_dir / item.file))


def made_training_data(saved_dir: Path, every: Iterable[TrainingData]) -> Iterator[Made]:
    """The training data that hold a manifest."""
    for item in every:
        path = FinetuneDataId("custom", item.finetune_key).path(Path())
        if item.manifest is not None:
            yield Made(path.as_posix(), item.manifest, str(saved_dir / path))


def provenance_table(every: Iterable[Made]) -> Table:
    """Every artifact with its command, seed and versions, in the order in which they were made."""
    ordered = sorted(every, key=lambda item: (item.manifest.started, item.path))
    return table(
        "provenance",
        ["artifact", "command", "started", "seed", "inputs", "versions", "again"],
        (
            [
                *(item.path, item.manifest.command, item.manifest.started, item.manifest.seed),
                *(len(item.manifest.inputs), _versions(item.manifest), _again(item)),
            ]
            for item in ordered
        ),
        headings=["artifact", "command", "started (UTC)", "seed", "inputs", "versions", "to make it again"],
        csv_only=["versions"],
        notes=[
            "A manifest holds every option, and the SHA-256 of each input and output.",
            "Commands are to be typed where the report was made.",
        ],
    )


def version_table(every: Iterable[Made]) -> Table:
    """The versions of packages that artifacts were made with."""
    counts = Counter(_versions(item.manifest) for item in every)
    return table("versions", ["versions", "artifacts"], ([told, count] for told, count in counts.items()))


def cost_table(every: Iterable[Made], measurements: Iterable[Measurement]) -> Table:
    """Wall time, memory, tokens and dollars of what was made."""
    tokens = {item.file: (item.prompt_tokens, item.completion_tokens) for item in measurements}
    rows: list[list[Cell | Value]] = []
    for item in sorted(every, key=lambda item: (-item.manifest.seconds, item.path)):
        prompt, completion = tokens.get(item.path, (0, 0))
        seconds, memory = item.manifest.seconds, item.manifest.peak_memory_bytes / 2**30
        measured = Cell(seconds, f"{seconds:.1f}"), Cell(memory, f"{memory:.2f}"), _dollars(item.manifest)
        rows.append([item.path, item.manifest.command, *measured, prompt or None, completion or None])
    return table(
        "costs",
        ["artifact", "command", "seconds", "memory_gib", "dollars", "prompt_tokens", "completion_tokens"],
        rows,
        headings=[
            *("artifact", "command", "seconds", "GiB at most", "US dollars"),
            *("tokens read", "tokens written"),
        ],
        notes=[
            "Wall time and memory of the command that last wrote the artifact.",
            "Dollars are those that a server took for the artifact in all.",
            "Tokens are those of the completions that are scored here.",
        ],
    )


def time_table(every: Iterable[Made]) -> Table:
    """Time by command; what one run left in several files counts once."""
    runs = {
        (item.manifest.command, item.manifest.started, item.manifest.seconds): item.manifest for item in every
    }
    by_command: dict[str, list[Manifest]] = {}
    for manifest in runs.values():
        by_command.setdefault(manifest.command, []).append(manifest)
    return table(
        "time",
        ["command", "runs", "seconds", "cpu_seconds", "gpu_seconds", "gpu"],
        (
            [
                *(command, len(made), _seconds(item.seconds for item in made)),
                _seconds(item.cpu_seconds for item in made),
                _seconds(item.seconds if item.gpu else None for item in made),
                ", ".join(sorted({item.gpu for item in made if item.gpu})),
            ]
            for command, made in by_command.items()
        ),
        headings=["command", "runs", "seconds", "CPU seconds", "GPU seconds", "GPU"],
        notes=[
            "CPU seconds: of all cores together. GPU seconds: wall time of the runs that used one.",
            "Of an artifact that took several runs the last one counts.",
        ],
    )


def token_table(measurements: Iterable[Measurement]) -> Table:
    """Tokens that each model read and wrote, where the files tell."""
    totals: dict[tuple[str, str], list[int]] = {}
    for item in measurements:
        if item.completion_tokens:
            name = naming(item)
            total = totals.setdefault((name.model, name.method), [0, 0, 0])
            for place, count in enumerate((item.score.n, item.prompt_tokens, item.completion_tokens)):
                total[place] += count
    return table(
        "tokens",
        ["model", "method", "n", "prompt_tokens", "completion_tokens"],
        ([*key, *total] for key, total in totals.items()),
        headings=["model", "method", "n", "tokens read", "tokens written"],
        notes=["n: completions."],
    )


def _seconds(every: Iterable[float | None]) -> Cell:
    """The sum of what is known; nothing where nothing is."""
    known = [seconds for seconds in every if seconds is not None]
    return Cell(sum(known), f"{sum(known):.1f}") if known else Cell(None, "")


def _dollars(manifest: Manifest) -> Cell:
    """What a server took; nothing where none was asked."""
    if manifest.config.get("teacher") != "openai":
        return Cell(None, "")
    return Cell(manifest.cost, "unknown" if manifest.cost is None else f"{manifest.cost:.4f}")


def _versions(manifest: Manifest) -> str:
    return ", ".join(f"{name} {number}" for name, number in manifest.versions.items())


def _again(item: Made) -> str:
    return f"ftcot {item.manifest.command} --config {quote(item.replays)}"
