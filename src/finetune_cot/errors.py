"""Errors for the user: what is wrong, where, and what to do about it."""


class FtcotError(Exception):
    """A failure that the user can act on; shown as one line, never as a traceback.

    Args:
        what: What is wrong, in the user's words, without a full stop.
        where: File (and line), option or key that it concerns.
        remedy: What the user can do next.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: object = None, remedy: str | None = None) -> None:
        self.what = what
        self.where = None if where is None else str(where)
        self.remedy = remedy
        super().__init__(what, self.where, remedy)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        way_out = f"; {self.remedy}" if self.remedy else ""
        return " ".join(f"{place}{self.what}{way_out}".split())

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.remedy)


def _rebuild(kind: type[FtcotError], what: str, where: str | None, remedy: str | None) -> FtcotError:
    return kind(what, where=where, remedy=remedy)


class UsageError(FtcotError):
    """An option, key or combination of options that cannot be used."""

    exit_code = 2


class DataError(FtcotError):
    """A data set, split or instruction file that is missing, torn or of the wrong form."""


class ArtifactError(FtcotError):
    """Something under ``saved/`` that is missing, torn, edited, held by another run or not writable."""


class ModelError(FtcotError):
    """A model, tokenizer or adapter that cannot be found, trusted, or fitted together."""


class TeacherError(FtcotError):
    """A teacher that does not answer, refuses, or answers with something that is no completion."""


class TrainingError(FtcotError):
    """A training run that cannot go on, such as one whose loss is not a number."""


class InUseError(ArtifactError):
    """Another process is writing the artifact just now."""


class StoppedByAnotherError(FtcotError):
    """Another process of the same run failed and tells why; this one ends without a word."""
