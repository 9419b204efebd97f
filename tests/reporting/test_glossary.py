from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.reporting.findings import Findings, SubsetResults
from finetune_cot.reporting.glossary import glossary
from tests.reporting.made_up import measured, student_id


def words(findings: Findings) -> set[str]:
    return {word for word, _ in glossary(findings)}


def test_only_words_that_are_used_are_explained() -> None:
    assert words(Findings()) == set()
    base = measured(CompletionId("m", "zs_cot", "gsm8k"), 5)
    assert words(Findings(measurements=(base,))) == {"zero-shot-CoT", "accuracy"}
    both = Findings(measurements=(base, measured(student_id(), 7)))
    assert words(both) == {"zero-shot-CoT", "fine-tune-CoT", "student", "accuracy"}
    losses = Findings(results=(SubsetResults("x", ()),))
    assert words(losses) == {"loss", "task, subset", "truth", "estimate"}
