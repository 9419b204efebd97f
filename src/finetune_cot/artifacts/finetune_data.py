"""Training data under ``saved/finetune_data``: our JSON, and the lines that OpenAI's platform takes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from finetune_cot.artifacts.files import read_json, sha256_json, write_text_atomic
from finetune_cot.artifacts.manifest import Manifest, sidecar, to_dict, write_manifest
from finetune_cot.errors import ArtifactError

_MEND = "mend it, or run `ftcot build-finetune-data --overwrite`"


@dataclass(frozen=True)
class FinetuneRow:
    """A question with the rationale to learn, or with its answer alone."""

    sample_index: int
    completion_index: int
    task: str
    question: str
    reasoning: str | None
    answer: str


@dataclass(frozen=True)
class FinetuneData:
    """Training data that `train` reads."""

    metadata: Mapping[str, Any]
    rows: tuple[FinetuneRow, ...]


def write_finetune_json(
    path: Path, rows: Sequence[FinetuneRow], metadata: Mapping[str, Any], manifest: Manifest, overwrite: bool
) -> bool:
    """Write training data for `train`.

    Returns:
        False where the file already held just this.

    Raises:
        ArtifactError: a different file is there and ``overwrite`` is false, or it cannot be written.
    """
    if not overwrite and not refuse_other_json(path, rows, metadata):
        return False
    data = [asdict(row) for row in rows]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in data)
    signed = {**metadata, "manifest": to_dict(manifest)}
    head = json.dumps({**signed, "sha256": sha256_json([signed, data])}, ensure_ascii=False, indent=1)
    write_text_atomic(path, f'{{"metadata": {head},\n"data": [\n{lines}\n]}}\n')
    return True


def write_finetune_lines(
    path: Path, rows: Sequence[Mapping[str, Any]], manifest: Manifest, overwrite: bool
) -> bool:
    """Write one JSON object a line, with the manifest in a file beside it.

    Returns:
        False where the file already held just this.

    Raises:
        ArtifactError: a different file is there and ``overwrite`` is false, or it cannot be written.
    """
    if not overwrite and not refuse_other_lines(path, rows):
        return False
    write_text_atomic(path, _lines(rows))
    write_manifest(sidecar(path), manifest)
    return True


def refuse_other_json(path: Path, rows: Sequence[FinetuneRow], metadata: Mapping[str, Any]) -> bool:
    """Whether there is still something to write: False where the file holds just these rows.

    Of the metadata, only what tells data apart is compared, not the counts of what was left out.

    Raises:
        ArtifactError: a different file is there, or one that is torn or was edited.
    """
    if not path.exists():
        return True
    there = read_finetune_json(path)
    if there.rows != tuple(rows) or _identity(there.metadata) != _identity(metadata):
        raise _different(path)
    return False


def refuse_other_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is still something to write: False where the file holds just these lines.

    Raises:
        ArtifactError: a different file is there.
    """
    if not path.exists():
        return True
    if path.read_bytes() != _lines(rows).encode():
        raise _different(path)
    return False


def read_finetune_json(path: Path) -> FinetuneData:
    """Read training data.

    Raises:
        ArtifactError: it is missing, torn, edited, or holds a row of another form; names the row.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not isinstance(content.get("data"), list):
        raise ArtifactError(
            "has no list of `data`", where=path, remedy="`ftcot build-finetune-data` writes it"
        )
    metadata = content.get("metadata", {})
    if not isinstance(metadata, dict):
        raise ArtifactError("its `metadata` are no object", where=path, remedy=_MEND)
    signed = {name: value for name, value in metadata.items() if name != "sha256"}
    if "sha256" in metadata and metadata["sha256"] != sha256_json([signed, content["data"]]):
        raise ArtifactError(
            "was edited or is torn: its checksum does not fit",
            where=path,
            remedy="run `ftcot build-finetune-data --overwrite`; or, to keep an edit, remove its `sha256`",
        )
    return FinetuneData(
        metadata, tuple(_row(row, f"{path}, row {number}") for number, row in enumerate(content["data"]))
    )


def read_finetune_lines(path: Path) -> list[Mapping[str, Any]]:
    """Read training data for a platform: a prompt and a completion on each line, or messages.

    Raises:
        ArtifactError: it is missing, empty, or a line is of another form; names the line.
    """
    if not path.is_file():
        raise ArtifactError("is not there", where=path, remedy="`ftcot build-finetune-data` writes it")
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            row = json.loads(line)
            texts = (
                [turn["content"] for turn in row["messages"]]
                if "messages" in row
                else [row["prompt"], row["completion"]]
            )
        except (ValueError, KeyError, TypeError):
            texts = [None]
        if not texts or not all(isinstance(text, str) for text in texts):
            what = "is neither a prompt with its completion nor messages"
            raise ArtifactError(what, where=f"{path}, line {number}", remedy=_MEND)
        rows.append(row)
    if not rows:
        raise ArtifactError("is empty", where=path, remedy=_MEND)
    return rows


def _row(row: Any, where: str) -> FinetuneRow:
    kinds = {
        "sample_index": int,
        "completion_index": int,
        "task": str,
        "question": str,
        "reasoning": str | None,
        "answer": str,
    }
    for name, kind in kinds.items():
        if not isinstance(row, dict) or name not in row or not isinstance(row[name], kind):
            what = f"its {name!r} is missing or of the wrong type"
            raise ArtifactError(what, where=where, remedy=_MEND)
    return FinetuneRow(**{name: row[name] for name in kinds})


def _lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _identity(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name not in ("counts", "manifest", "sha256")}


def _different(path: Path) -> ArtifactError:
    return ArtifactError(
        "other training data of this name is there",
        where=path,
        remedy="use --overwrite, or another --finetune-key",
    )
