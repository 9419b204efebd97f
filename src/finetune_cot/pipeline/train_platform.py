"""``ftcot train --platform``: a server with OpenAI's fine-tuning interface trains the student.

Everything that the server names is written down as soon as it is known, and what it may have made without our
knowing is looked for first, so that a run that was killed at any moment goes on with the same job.
"""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import openai

from finetune_cot.artifacts.files import sha256_file, sha256_json
from finetune_cot.artifacts.finetune_data import read_finetune_json, read_finetune_lines
from finetune_cot.artifacts.ids import FinetuneDataId, ModelMetadataId
from finetune_cot.artifacts.keys import check_key, model_slug
from finetune_cot.artifacts.lock import artifact_lock
from finetune_cot.artifacts.students import (
    PLATFORM_TRAIN_KEY,
    PlatformJob,
    Student,
    read_student,
    write_student,
)
from finetune_cot.config.options import flag, option_specs
from finetune_cot.config.train import TrainConfig
from finetune_cot.errors import ArtifactError, TrainingError, UsageError
from finetune_cot.pipeline.progress import say
from finetune_cot.pipeline.train_result import TrainResult
from finetune_cot.prompts.templates import answer_prefixes
from finetune_cot.teachers.access import Access, server_access
from finetune_cot.teachers.asking import CHARACTERS_PER_TOKEN
from finetune_cot.teachers.client import error_line
from finetune_cot.teachers.server_files import JobState, ServerFiles, server_files

_FOLLOWED = frozenset(
    {
        *("model_key", "finetune_key", "train_key", "platform", "epochs", "seed", "run"),
        *("base_url", "api_key_env", "api_key_file", "timeout", "max_retries", "poll_seconds"),
        *("saved_dir", "data_dir", "dry_run", "overwrite"),
    }
)
"""Options that a platform's training follows."""
_ENDED = frozenset({"succeeded", "failed", "cancelled"})
_ELSEWHERE = (
    "OpenAI gives fine-tuning to ever fewer accounts: name another server with the same interface by"
    " --base-url, or train here, without --platform"
)


@dataclass(frozen=True)
class _Order:
    """What is to be trained."""

    config: TrainConfig
    data_path: Path
    student_path: Path
    student: Student
    """Without its job."""
    access: Access
    wanted: Mapping[str, Any]
    """What tells a job from another."""
    tokens: int
    """About, that it is trained on in all epochs."""

    @property
    def run(self) -> str:
        """The run's number."""
        return str(self.config.run)

    def record(self, job: PlatformJob) -> PlatformJob:
        """Write down how far a job is."""
        write_student(self.student_path, dataclasses.replace(self.student, jobs={self.run: job}))
        return job


def train_on_platform(config: TrainConfig) -> TrainResult:
    """Have a server fine-tune a student, or go on with the job that an interrupted run began.

    Raises:
        UsageError: an option that no platform follows, or the server's key is not there.
        ArtifactError: there are no training data, or another student has these keys.
        TeacherError: the server refuses, or does not answer; what was done is kept.
        TrainingError: the job is refused, or ends without a model.
    """
    order = _order(config)
    job = _known(order)
    if config.dry_run:
        return _planned(order, job)
    if job and job.model:
        say(f"{job.model} is there already, trained in the same way: nothing to do")
        return dataclasses.replace(_result(order, job), reused=True)
    started, resumed = time.monotonic(), job is not None
    remedy = "see whether this server fine-tunes, and --base-url and --model-key"
    lock = order.student_path.with_suffix(f".run_{order.run}")
    with (
        artifact_lock(lock, "train"),
        server_files(order.access, config.timeout, config.max_retries, remedy) as server,
    ):
        job = _followed(order, server, _made(order, server, _known(order)))
    result = _result(order, job)
    return dataclasses.replace(result, seconds=round(time.monotonic() - started, 3), resumed=resumed)


def _order(config: TrainConfig) -> _Order:
    for spec in option_specs(type(config)):
        if spec.name not in _FOLLOWED and getattr(config, spec.name) != spec.default:
            where = flag(spec.name)
            raise UsageError("is nothing that a platform follows", where=where, remedy="leave it out")
    if config.finetune_key is None:
        remedy = "name training data that `ftcot build-finetune-data` wrote"
        raise UsageError("is needed with --platform", where="--finetune-key", remedy=remedy)
    path = FinetuneDataId(config.platform, config.finetune_key).path(config.saved_dir)
    rows = read_finetune_lines(path)
    access = server_access(config.base_url, config.api_key_env, config.api_key_file)
    train_key = check_key(config.train_key or PLATFORM_TRAIN_KEY, "train key")
    student = Student(
        model_key=config.model_key,
        finetune_key=config.finetune_key,
        train_key=train_key,
        method="platform",
        template=_template(rows),
        checkpoints={},
        training_samples=len(rows),
        platform=config.platform,
        **_told_of(config.finetune_key, config.saved_dir),
    )
    base = model_slug(config.model_key)
    return _Order(
        config=config,
        data_path=path,
        student_path=ModelMetadataId(base, config.finetune_key, train_key).path(config.saved_dir),
        student=student,
        access=access,
        wanted={
            "base_url": access.base_url,
            "data_sha256": sha256_file(path),
            "epochs": config.epochs,
            "seed": config.seed + config.run,
        },
        tokens=sum(map(_characters, rows)) // CHARACTERS_PER_TOKEN * config.epochs,
    )


def _characters(row: Mapping[str, Any]) -> int:
    """Length of a line's texts."""
    turns = row.get("messages")
    return sum(len(turn["content"]) for turn in turns) if turns else len(row["prompt"] + row["completion"])


def _template(rows: Sequence[Mapping[str, Any]]) -> str:
    """The template of the lines, by the marks in the first of them."""
    first = rows[0]
    prompt = first.get("prompt", "")
    label = first["messages"][-1]["content"] if "messages" in first else first["completion"]
    for name in ("token", "natural"):
        if any(lead in label for lead in answer_prefixes(f"ft_cot_{name}")):
            return f"ft_cot_{name}"
    return "ft_natural" if prompt.endswith("A:") else "ft_token"


def _told_of(finetune_key: str, saved_dir: Path) -> dict[str, Any]:
    """Teacher and number of rationales, where the same data are there in our own form."""
    path = FinetuneDataId("custom", finetune_key).path(saved_dir)
    metadata = read_finetune_json(path).metadata if path.exists() else {}
    return {name: metadata.get(name) for name in ("teacher", "rationales_per_question")}


def _known(order: _Order) -> PlatformJob | None:
    """The job of an earlier run, unless it is to be replaced."""
    if not order.student_path.exists():
        return None
    student = read_student(order.student_path)
    if student.platform is None:
        raise ArtifactError(
            "is of a student that was trained here",
            where=order.student_path,
            remedy="give another --train-key",
        )
    job = student.jobs.get(order.run)
    if job is None:
        return None
    if student.platform == order.student.platform and order.wanted.items() <= asdict(job).items():
        return None if order.config.overwrite and job.status in ("failed", "cancelled") else job
    if not order.config.overwrite:
        told = ", ".join(name for name, value in order.wanted.items() if asdict(job)[name] != value)
        raise ArtifactError(
            f"another student has these keys; what differs: {told or 'platform'}",
            where=order.student_path,
            remedy="give another --train-key, or --overwrite",
        )
    return None


def _made(order: _Order, server: ServerFiles, job: PlatformJob | None) -> PlatformJob:
    """The job, made unless it is there."""
    if job is None:
        name = _file_name(order)
        file_id = server.find_file(name, "fine-tune") or server.upload(
            name, order.data_path.read_bytes(), "fine-tune"
        )
        job = order.record(PlatformJob(**order.wanted, file_id=file_id))
        say(f"{order.data_path} is uploaded as {file_id}")
    if job.job_id is None:
        job_id = server.find_job(job.file_id) or _create(order, server, job)
        job = order.record(dataclasses.replace(job, job_id=job_id, status="queued"))
    return job


def _create(order: _Order, server: ServerFiles, job: PlatformJob) -> str:
    try:
        return server.create_job(job.file_id, order.config.model_key, job.epochs, job.seed)
    except (openai.PermissionDeniedError, openai.NotFoundError, openai.BadRequestError) as error:
        raise TrainingError(
            f"the server makes no fine-tuning job: {error_line(order.access, error)}",
            where=order.access.base_url,
            remedy=_ELSEWHERE
            if order.access.is_openai
            else "see --model-key and what this server fine-tunes",
        ) from None


def _file_name(order: _Order) -> str:
    """A name of the training data that no other job has, and that the next run of this one would give."""
    replaced = None
    if order.student_path.exists():
        earlier = read_student(order.student_path).jobs.get(order.run)
        replaced = earlier and (earlier.job_id or earlier.file_id)
    keys = (order.student.model_key, order.student.finetune_key, order.student.train_key, order.run)
    return f"ftcot-{sha256_json([keys, order.student.platform, dict(order.wanted), replaced])[:32]}.jsonl"


def _followed(order: _Order, server: ServerFiles, job: PlatformJob) -> PlatformJob:
    """The job when it has ended; every change on the way is told and written down."""
    assert job.job_id
    said = ""
    while True:
        state = server.job(job.job_id)
        told = server.last_event(job.job_id)
        line = f"{job.job_id}: {state.status}" + (f", {told}" if told else "")
        if line != said:
            say(line)
            said = line
        now = dataclasses.replace(
            job, status=state.status, model=state.model, trained_tokens=state.trained_tokens
        )
        job = order.record(now) if now != job else job
        if state.status in _ENDED:
            return _checked(order, job, state)
        time.sleep(order.config.poll_seconds)


def _checked(order: _Order, job: PlatformJob, state: JobState) -> PlatformJob:
    if state.status != "succeeded" or not state.model:
        why = f": {state.error}" if state.error else " without a model"
        raise TrainingError(
            f"the job {state.status}{why}",
            where=f"{order.access.base_url}, {job.job_id}",
            remedy="mend what it tells of, and begin another with --overwrite",
        )
    return job


def _result(order: _Order, job: PlatformJob | None) -> TrainResult:
    return TrainResult(
        checkpoint=order.student_path,
        epochs=order.config.epochs,
        steps=0,
        samples=order.student.training_samples,
        served_model=job.model if job else None,
        job_id=job.job_id if job else None,
        platform_run=order.config.run,
    )


def _planned(order: _Order, job: PlatformJob | None) -> TrainResult:
    plan = {
        "model": order.config.model_key,
        "server": order.access.base_url,
        "template": order.student.template,
        "upload": str(order.data_path),
        "tokens": order.tokens,
        "cost": "unknown; no table tells what a token of training costs",
        "state": job.status if job else "new",
        "files": [str(order.student_path)],
    }
    return dataclasses.replace(_result(order, job), plan=plan)
