"""What a newcomer reads first: what was found, how far to trust it, and the next command."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import hypot, isfinite, sqrt

from finetune_cot.estimation.agreement import Agreement
from finetune_cot.reporting.absent import absent_table
from finetune_cot.reporting.agreement import ALL, HOLDING, NOT_HOLDING, Agreements
from finetune_cot.reporting.findings import Findings
from finetune_cot.reporting.runs import Entry

MAX_DATASETS = 6
"""Data sets that are told of."""
MAX_NEXT = 3
"""Commands that are named."""
FAIR_SUBSETS = 50
"""Subsets from which on a correlation is known well enough."""
CLEAR = 2.0
"""Standard errors that chance hardly explains."""


@dataclass(frozen=True)
class Summary:
    """A report in a few sentences, each with the numbers that it rests on."""

    found: tuple[str, ...] = ()
    trust: tuple[str, ...] = ()
    """What speaks for and against what was found."""
    next: tuple[tuple[str, str], ...] = ()
    """What is missing, and the command that makes it."""


def summary(findings: Findings, rows: Sequence[Entry], compared: Sequence[Agreements]) -> Summary:
    """Students beside their base models, and estimates beside the truth."""
    missing = absent_table(findings, compared).rows[:MAX_NEXT]
    several = len(compared) > 1
    guesses = {item.key: item.random for item in findings.datasets}
    return Summary(
        found=(*_gains(rows, guesses), *map(_estimate, compared)),
        trust=(*_trust(findings, rows), *(told for found in compared for told in _trust_of(found, several))),
        next=tuple((what.text, command.text) for what, command in missing),
    )


def _gains(rows: Sequence[Entry], guesses: dict[str, float | None]) -> Iterator[str]:
    """The best student of each data set beside the best method of its base model, on the same questions."""
    datasets = sorted({entry.dataset for entry in rows})
    for dataset in datasets[:MAX_DATASETS]:
        here = [entry for entry in rows if entry.dataset == dataset]
        guess = guesses.get(dataset)
        guessing = "" if guess is None else f" Guessing would give {100 * guess:.1f} %."
        yield f"{dataset}: {_gain(here)}.{guessing}"
    if len(datasets) > MAX_DATASETS:
        yield f"{len(datasets) - MAX_DATASETS} more data sets are in the tables."


def _gain(here: Sequence[Entry]) -> str:
    students = [entry for entry in here if entry.naming.is_student]
    if not students:
        best = max(here, key=lambda entry: entry.accuracy)
        by = f"{best.naming.model} by {best.naming.method}, not fine-tuned"
        return f"{_share(best)} of the answers right (n = {best.n} questions): {by}"
    student = max(students, key=lambda entry: entry.accuracy)
    best_of = f", the best of {len(students)} students" if len(students) > 1 else ""
    by = f"{student.naming.method}{best_of}"
    bases = [
        entry
        for entry in here
        if not entry.naming.is_student
        and entry.naming.model == student.naming.model
        and entry.answered == student.answered
    ]
    if not bases:
        return (
            f"{_share(student)} of the answers right after fine-tuning (n = {student.n} questions);"
            f" before it was not measured on the same questions. {student.naming.model} by {by}"
        )
    base = max(bases, key=lambda entry: entry.accuracy)
    gain = student.accuracy - base.accuracy
    errors = gain / hypot(_uncertainty(base), _uncertainty(student))
    chance = "more than chance explains" if abs(errors) >= CLEAR else "which chance may explain"
    return (
        f"{_share(base)} of the answers right before fine-tuning, {_share(student)} after"
        f" (n = {student.n} questions): {100 * gain:+.1f} points, {chance} ({errors:+.1f} standard errors)."
        f" {student.naming.model}; before by {base.naming.method}, after by {by}"
    )


def _share(entry: Entry) -> str:
    if len(entry.runs) == 1 and entry.accuracy in (0, 1):
        return "100 % (all)" if entry.accuracy else "0 % (none)"
    return f"{100 * entry.accuracy:.1f} % ± {100 * entry.error:.1f}"


def _uncertainty(entry: Entry) -> float:
    """The standard error; where all or no questions are right, that of one more of each."""
    if entry.error:
        return entry.error
    share = (entry.accuracy * entry.n + 1) / (entry.n + 2)
    return sqrt(share * (1 - share) / max(entry.n, 1))


def _trust(findings: Findings, rows: Sequence[Entry]) -> Iterator[str]:
    if rows:
        fewest = min(max(entry.n, 1) for entry in rows)
        # twice the standard error of the difference of two shares, where it is widest
        points = min(100.0, 200 * sqrt(0.5 / fewest))
        yield (
            "± is one standard error, n the number of questions. Two accuracies of the fewest questions"
            f" here, n = {fewest}, may well be equal if they differ by less than {points:.0f} points."
        )
    students = [entry for entry in rows if entry.naming.is_student]
    if students and all(len(entry.runs) == 1 for entry in students):
        yield "Every student was trained once: with another seed it would be somewhat better or worse."
    if not all(entry.is_whole and entry.is_of_asked_part for entry in rows):
        yield "Some accuracies are not of the whole part that was asked for; marks in the tables tell which."
    broken = sum(not isfinite(run.epochs[-1].train_loss) for run in findings.training_runs)
    if broken:
        yield f"{broken} of {len(findings.training_runs)} trainings diverged: their loss is no number."
    if findings.left_out:
        yield f"Not used, for reasons that the section Left out tells: {len(findings.left_out)}."


def _estimate(found: Agreements) -> str:
    of = found.main.by_stratum[ALL]
    speedup = found.comparison.costs.speedup
    faster = "" if speedup is None else f" It is {speedup:.1f} times faster than fine-tuning on 100 subsets."
    done = (
        f"{found.comparison.name}: {len(found.comparison.truth)} subsets of {len(found.comparison.tasks)}"
        " tasks were truly fine-tuned on."
    )
    if of.spearman is None:
        return f"{done} Their losses, or those that {found.main.name} estimates, have no order.{faster}"
    return (
        f"{done} The order that {found.main.name} gives them agrees with that of their true losses by a rank"
        f" correlation of {_correlation(of)} (1: the same order, 0: none).{faster}"
    )


def _trust_of(found: Agreements, several: bool) -> Iterator[str]:
    """Of several estimates each sentence names the one that it is about."""
    name = f"{found.comparison.name}: " if several else ""
    strata, subsets = found.main.by_stratum, len(found.comparison.truth)
    inner = [strata[HOLDING], strata[NOT_HOLDING]]
    shown = all(item.interval is not None and item.interval[0] > 0 for item in inner)
    if strata[ALL].spearman is None:
        return
    yield (
        f"{name}Whether the target task itself is in a subset decides most of its loss. Within the subsets"
        f" that hold it the correlation is {_correlation(inner[0])}, within the others"
        f" {_correlation(inner[1])}: "
        + ("both are above 0." if shown else "not clearly above 0, so choose no data by this estimate alone.")
    )
    others = [(item.by_stratum[ALL].spearman or 0.0, item.name) for item in found.methods[1:]]
    best, main = max(others, default=(0.0, "")), strata[ALL].spearman or 0.0
    if others and best[0] >= main:
        yield f"{name}{best[1]} does as well ({best[0]:.2f}) as {found.main.name} ({main:.2f})."
    if subsets < FAIR_SUBSETS:
        yield f"{name}{subsets} true runs are few; {FAIR_SUBSETS} would tell well."
    noise = found.noise_floor
    itself = None if noise is None else noise.scored.by_stratum[ALL].spearman
    if noise is not None and itself is not None:
        yield (
            f"{name}The truth with another seed agrees with itself by {itself:.2f}"
            f" (n = {noise.subsets} subsets); more cannot be asked of an estimate."
        )
    else:
        yield f"{name}How much another seed changes the truth was not measured."


def _correlation(of: Agreement) -> str:
    interval = "" if of.interval is None else f" [{of.interval[0]:.2f}, {of.interval[1]:.2f}]"
    return "not known" if of.spearman is None else f"{of.spearman:.2f}{interval}"
