"""Lists of subsets of tasks: a text file with the task numbers of one subset on each line."""

from collections.abc import Sequence
from pathlib import Path

from finetune_cot.artifacts.files import did_you_mean, write_text_atomic
from finetune_cot.artifacts.ids import SampledIndicesId
from finetune_cot.errors import ArtifactError, DataError, FtcotError

Subset = tuple[int, ...]


def write_subsets(path: Path, subsets: Sequence[Subset]) -> None:
    """Write a list.

    Raises:
        ArtifactError: it cannot be written.
    """
    write_text_atomic(path, "".join(" ".join(map(str, subset)) + "\n" for subset in subsets))


def read_subsets(path: Path, tasks: int | None = None) -> list[Subset]:
    """Read a list; numbers may be parted by blanks or commas, and empty lines are passed over.

    Args:
        path: The list.
        tasks: How many tasks there are, where it is known.

    Raises:
        DataError: it is missing, empty, or names a line that is no subset of the tasks.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise DataError("is no readable list of subsets", where=path) from None
    subsets = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        words = line.replace(",", " ").split()
        if not all(word.isascii() and word.isdecimal() for word in words):
            raise _no_subset(path, number, "holds something else than task numbers")
        subset = tuple(sorted({int(word) for word in words}))
        if tasks is not None and subset[-1] >= tasks:
            raise _no_subset(path, number, f"names task {subset[-1]}, but there are {tasks}, from 0")
        subsets.append(subset)
    if not subsets:
        raise DataError("holds no subset", where=path, remedy="write task numbers, a subset on each line")
    return subsets


def find_subset_list(given: str, saved_dir: Path) -> Path:
    """The list that ``--load-sample-task-dir`` means: a file, a folder that holds one, or a saved name.

    Raises:
        DataError: there is none, or several.
        UsageError: it is neither a path nor a name.
    """
    path = Path(given)
    if path.is_file():
        return path
    if path.is_dir():
        found = sorted(path.glob("*.txt"))
        if len(found) == 1:
            return found[0]
        raise DataError(f"holds {len(found)} lists (.txt), not one", where=path, remedy="name the file")
    saved = None
    if len(path.parts) == 1:
        saved = SampledIndicesId(given.removesuffix(".txt")).path(saved_dir)
        if saved.is_file():
            return saved
    missing = saved or path
    remedy = f"{did_you_mean(missing)}see --load-sample-task-dir"
    raise DataError("no list of subsets is there", where=missing, remedy=remedy)


def keep_subsets(path: Path, subsets: Sequence[Subset], overwrite: bool, write: bool = True) -> None:
    """Write a list unless a longer one that begins with it is there.

    Args:
        path: The list.
        subsets: What it is to hold.
        overwrite: Whether another list may be replaced.
        write: Whether it is written; otherwise only what is there is looked at.

    Raises:
        ArtifactError: another list is there.
    """
    if path.exists() and not overwrite:
        try:
            known = read_subsets(path)
        except FtcotError:
            known = []
        shared = min(len(known), len(subsets))
        if known[:shared] != list(subsets[:shared]) or not known:
            raise ArtifactError(
                "holds other subsets",
                where=path,
                remedy="use them with --load-sample-task-dir, give another --save-name, or --overwrite",
            )
        if len(known) >= len(subsets):
            return
    if write:
        write_subsets(path, subsets)


def _no_subset(path: Path, number: int, what: str) -> DataError:
    return DataError(what, where=f"{path}, line {number}")
