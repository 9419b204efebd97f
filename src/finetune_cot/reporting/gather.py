"""Reads everything under ``saved/`` once; what cannot be read is told of and hides nothing else."""

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from finetune_cot.artifacts.checkpoints import EPOCH_LOG
from finetune_cot.artifacts.completions import read_completions
from finetune_cot.artifacts.files import read_json
from finetune_cot.artifacts.finetune_data import read_finetune_json
from finetune_cot.artifacts.ids import (
    CompletionId,
    parse_completion_path,
    parse_finetune_data_path,
    parse_model_metadata_path,
)
from finetune_cot.artifacts.manifest import parse_manifest
from finetune_cot.artifacts.results import read_results
from finetune_cot.artifacts.students import PLATFORM_TRAIN_KEY, Student, read_student
from finetune_cot.errors import ArtifactError, FtcotError
from finetune_cot.evaluation.checkers import CHECKERS
from finetune_cot.prompts.templates import temperature_of, template_of
from finetune_cot.reporting.chosen import SELECTIONS, read_selection
from finetune_cot.reporting.comparisons import ESTIMATES, Comparison, read_comparison
from finetune_cot.reporting.findings import (
    Approximation,
    Findings,
    LeftOut,
    Measurement,
    SubsetResults,
    TrainingData,
)
from finetune_cot.reporting.lengths import training_lengths
from finetune_cot.reporting.logs import read_training_run
from finetune_cot.reporting.naming import train_key_and_run
from finetune_cot.reporting.provenance import (
    MANIFESTS,
    made_completions,
    made_training_data,
    read_made,
)
from finetune_cot.reporting.scoring import Yardstick, score_part, yardstick

APPROXIMATION = "approximation.json"

Found = TypeVar("Found")
Students = dict[tuple[str, str, str], Student]


@dataclass(frozen=True)
class Scope:
    """What of ``saved/`` is reported, and on what it is measured."""

    saved_dir: Path
    data_dir: Path
    dataset_key: str | None
    """The only data set whose completions are read; None for all."""
    split: str
    split_key: str
    checker: str


def completion_files(scope: Scope) -> list[Path]:
    """Completion files, those with nothing but a journal too, sorted."""
    folder = scope.saved_dir / "completion_data"
    finished = set(_visible(folder.glob("*/*.json")))
    journals = _visible(folder.glob("*/*.journal.jsonl"))
    begun = {path.with_name(path.name.removesuffix(".journal.jsonl") + ".json") for path in journals}
    return sorted(path for path in finished | begun if _concerns(path, scope.dataset_key))


def gather(scope: Scope, on_file: Callable[[int], None]) -> Findings:
    """Read everything that a report shows.

    Args:
        scope: What is reported.
        on_file: Called after each completion file with how many are done.

    Raises:
        UsageError: the answer checker's package is not installed.
    """
    CHECKERS[scope.checker]()  # a missing package is told of once, not for every file
    saved = scope.saved_dir
    reader = _Reader(saved)
    students: Students = {}
    for path in _visible(saved.glob("model_metadata/*/*.json")):
        for key, student in reader.read(path, _student):
            students[key] = student
    yardsticks: dict[str, Yardstick] = {}
    measurements = tuple(_measurements(scope, students, yardsticks, reader, on_file))
    facts = (yardsticks[key].facts for key in sorted({item.id.dataset_key for item in measurements}))
    logs = _visible(saved.glob(f"checkpoints/*/{EPOCH_LOG}"))
    runs = [run for path in logs for run in reader.read(path, read_training_run)]
    data = _visible(saved.glob("finetune_data/P_custom/*.json"))
    results = _visible(saved.glob("results/*/results.csv"))
    estimates = _visible(saved.glob(f"results/*/{ESTIMATES}"))
    approximations = _visible(saved.glob(f"gradients/*/{APPROXIMATION}"))
    selections = _visible(saved.glob(SELECTIONS))
    manifests = _visible(path for pattern in MANIFESTS for path in saved.glob(pattern))
    made = [item for path in manifests for item in reader.read(path, partial(read_made, saved))]
    training_data = tuple(item for path in data for item in reader.read(path, _training_data))
    return Findings(
        measurements=measurements,
        students=tuple(students.values()),
        training_runs=tuple(sorted(runs, key=lambda run: (run.save_name, run.run))),
        training_data=training_data,
        results=tuple(item for path in results for item in reader.read(path, _results)),
        comparisons=tuple(_comparisons(estimates, reader)),
        approximations=tuple(item for path in approximations for item in reader.read(path, _approximation)),
        datasets=tuple(item for item in facts if item is not None),
        selections=tuple(item for path in selections for item in reader.read(path, read_selection)),
        made=(*made_completions(saved, measurements), *made_training_data(saved, training_data), *made),
        left_out=tuple(dict.fromkeys(reader.left_out)),
        inputs=tuple(dict.fromkeys(reader.inputs)),
    )


class _Reader:
    """Reads files, and keeps account of those that were read and those that could not be."""

    def __init__(self, saved_dir: Path) -> None:
        self.left_out: list[LeftOut] = []
        self.inputs: list[str] = []
        self._saved_dir = saved_dir

    def read(self, path: Path, how: Callable[[Path], Found]) -> Iterator[Found]:
        """What a file holds; nothing where it cannot be read."""
        try:
            found = how(path)
        except FtcotError as error:
            self.leave_out(path, _reason(error, path))
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            self.leave_out(path, f"cannot be read: {error}")
        else:
            self.inputs.append(self.name(path))
            yield found

    def leave_out(self, path: Path | str, reason: str) -> None:
        """Remember what could not be used."""
        self.left_out.append(LeftOut(self.name(path) if isinstance(path, Path) else path, reason))

    def name(self, path: Path) -> str:
        """A path relative to ``saved/``."""
        return path.relative_to(self._saved_dir).as_posix()


def _measurements(
    scope: Scope,
    students: Students,
    yardsticks: dict[str, Yardstick],
    reader: _Reader,
    on_file: Callable[[int], None],
) -> Iterator[Measurement]:
    files: dict[CompletionId, str] = {}
    for done, path in enumerate(completion_files(scope), start=1):
        for item in reader.read(path, partial(_measurement, scope, students, yardsticks)):
            if item.id in files:
                reader.leave_out(path, f"holds the same as {files[item.id]}, which is reported")
                continue
            if item.foreign:
                reader.leave_out(path, f"{item.foreign} completions are of samples that the data set lacks")
            files[item.id] = item.file
            yield item
        on_file(done)
    for key in dict.fromkeys(id.dataset_key for id in files):
        if yardsticks[key].problem is not None:
            reader.leave_out(f"data set {key}", str(yardsticks[key].problem))


def _measurement(
    scope: Scope, students: Students, yardsticks: dict[str, Yardstick], path: Path
) -> Measurement:
    id = parse_completion_path(path)
    template = template_of(id.completion_key)
    content = read_completions(path)
    completions = content.completions
    limit, student = content.metadata.get("max_reasoning_tokens"), _student_of(id, students)
    key = id.dataset_key
    if key not in yardsticks:
        yardsticks[key] = yardstick(key, scope.data_dir, scope.split, scope.split_key)
    limit = limit if isinstance(limit, int) else None
    scored = score_part(completions, template, yardsticks[key], key, scope.checker, limit)
    if scored is None:
        raise ArtifactError(f"holds no completion of the data set {key}", where=path)
    if scored.score.n == 0:
        raise ArtifactError("none of its right answers can be read by the checker", where=path)
    return Measurement(
        id=id,
        file=path.relative_to(scope.saved_dir).as_posix(),
        template=template,
        temperature=temperature_of(id.completion_key),
        student=student,
        platform=_platform(id, student, content.metadata.get("teacher")),
        manifest=content.manifest,
        **vars(scored),
    )


def _student(path: Path) -> tuple[tuple[str, str, str], Student]:
    id = parse_model_metadata_path(path)
    return (id.base_model, id.finetune_key, id.train_key), read_student(path)


def _platform(id: CompletionId, student: Student | None, teacher: object) -> str | None:
    """Where the model ran: as its completions say, as its training says, or as the file's name says."""
    if isinstance(teacher, str):
        return teacher
    if student is not None and student.platform is not None:
        return student.platform
    return None if id.finetune_key is None else "server" if id.train_key is None else "local"


def _student_of(id: CompletionId, students: Students) -> Student | None:
    if id.finetune_key is None:
        return None
    named = id.train_key or PLATFORM_TRAIN_KEY
    train_key, _ = train_key_and_run(named)
    for key in (named, train_key):
        if (id.base_model, id.finetune_key, key) in students:
            return students[id.base_model, id.finetune_key, key]
    return None


def _training_data(path: Path) -> TrainingData:
    content = read_finetune_json(path)
    rationales: dict[tuple[str, int], int] = {}
    for row in content.rows:
        question = row.task, row.sample_index
        rationales[question] = rationales.get(question, 0) + (row.reasoning is not None)
    teacher, counts = content.metadata.get("teacher"), content.metadata.get("counts")
    counts, stated = counts if isinstance(counts, dict) else {}, content.metadata.get("manifest")
    return TrainingData(
        finetune_key=parse_finetune_data_path(path).finetune_key,
        samples=len(content.rows),
        questions=len(rationales),
        rationales=max(rationales.values(), default=0),
        tasks=tuple(dict.fromkeys(row.task for row in content.rows)),
        teacher=str(teacher) if teacher is not None else None,
        counts={str(reason): count for reason, count in counts.items() if isinstance(count, int)},
        lengths=training_lengths(content.rows),
        manifest=None if stated is None else parse_manifest(stated, path),
    )


def _results(path: Path) -> SubsetResults:
    return SubsetResults(path.parent.name, tuple(read_results(path)))


def _comparisons(estimates: Iterable[Path], reader: _Reader) -> Iterator[Comparison]:
    for path in estimates:

        def read(file: Path, how: Callable[[Path], Found]) -> Found | None:
            return next(reader.read(file, how), None) if file.exists() else None

        def compare(file: Path) -> Comparison | None:
            return read_comparison(file.parent, read, lambda reason: reader.leave_out(file, reason))

        yield from (found for found in reader.read(path, compare) if found is not None)


def _approximation(path: Path) -> Approximation:
    values = read_json(path)
    try:
        distances = tuple(float(distance) for distance in values["distances"])
        errors = [
            tuple(tuple(float(error) for error in seeds) for seeds in values[key])
            for key in ("with_gradient", "without_gradient")
        ]
    except (TypeError, KeyError, ValueError):
        raise ArtifactError("does not tell of errors by distance", where=path) from None
    finite = all(math.isfinite(error) for kind in errors for seeds in kind for error in seeds)
    whole = {len(distances)} == {len(kind) for kind in errors} and all(map(all, errors))
    if not (distances and whole and finite):
        raise ArtifactError("does not have errors for each distance", where=path)
    samples = values.get("samples")
    samples = samples if isinstance(samples, int) else None
    return Approximation(path.parent.name, distances, errors[0], errors[1], samples)


def _concerns(path: Path, dataset_key: str | None) -> bool:
    if dataset_key is None:
        return True
    try:
        return parse_completion_path(path).dataset_key == dataset_key
    except FtcotError:
        return True  # it will be told of as one that cannot be read


def _visible(paths: Iterable[Path]) -> list[Path]:
    """Sorted, without what a write under way or a lock leaves beside."""
    return sorted(path for path in paths if not path.name.startswith("."))


def _reason(error: FtcotError, path: Path) -> str:
    place = (error.where or "").removeprefix(str(path)).lstrip(", ")
    remedy = f"; {error.remedy}" if error.remedy else ""
    return f"{error.what}{f' ({place})' if place else ''}{remedy}"
