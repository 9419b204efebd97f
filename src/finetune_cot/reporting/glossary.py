"""Words that a report uses, for those who meet them for the first time."""

from collections.abc import Iterator

from finetune_cot.reporting.findings import Findings
from finetune_cot.reporting.naming import naming

METHOD_WORDS = {
    "zs": ("zero-shot", "The model is given the question alone."),
    "zs_cot": (
        "zero-shot-CoT",
        "The model is asked to think step by step (a chain of thought), then for its answer.",
    ),
    "fs_cot": ("few-shot-CoT", "Questions with worked answers stand before the question."),
    "ft_token": ("fine-tune", "A student that learned right answers alone."),
    "ft_cot_token": (
        "fine-tune-CoT",
        "A student that learned rationales, worked answers that a larger model or a person wrote.",
    ),
}
"""Name and meaning of each method, by its template."""


def glossary(findings: Findings) -> Iterator[tuple[str, str]]:
    """The words that what was found needs, each with its meaning."""
    names = [naming(item) for item in findings.measurements]
    templates = {name.template.replace("natural", "token") for name in names}
    yield from (words for template, words in METHOD_WORDS.items() if template in templates)
    if any(name.is_student for name in names):
        yield "student", "A model after fine-tuning; a base model is one before."
    if findings.measurements:
        yield "accuracy", "The share of the questions whose answer is right."
    if any(name.rationales and name.rationales > 1 for name in names):
        yield "diverse reasoning, k", "The student learned k rationales of each question."
    if findings.training_runs or findings.results:
        yield "loss", "How badly a model foretells held-out texts, in nats a token; lower is better."
    if findings.results:
        yield "task, subset", "A task is one source of data; a subset is some of the sources."
        yield "truth", "The losses of a model that was really fine-tuned on a subset."
        yield "estimate", "The same losses computed from gradients, without that fine-tuning."
