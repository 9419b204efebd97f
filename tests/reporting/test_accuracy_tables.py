from dataclasses import replace

from finetune_cot.artifacts.ids import CompletionId
from finetune_cot.reporting.accuracy import best_epochs, by_family, detail, overview
from finetune_cot.reporting.runs import entries
from finetune_cot.reporting.tables import to_csv
from tests.reporting.made_up import measured, student_id

BASE = CompletionId("m", "zs_cot", "gsm8k")


def test_overview_puts_data_sets_across_and_marks_the_best() -> None:
    other = replace(BASE, dataset_key="aqua")
    found = overview(entries([measured(BASE, 2), measured(student_id(), 5), measured(other, 5)]))
    assert found.columns == ("model", "method", "training", "aqua", "gsm8k")
    assert found.headings[3:] == ("aqua (n = 10)", "gsm8k (n = 10)")
    assert [[cell.text for cell in row[3:]] for row in found.rows] == [
        ["50.0 ± 15.8", "20.0 ± 12.6"],
        ["", "50.0 ± 15.8"],
    ]
    assert [[cell.strong for cell in row[3:]] for row in found.rows] == [[False, False], [False, True]]


def test_the_best_is_not_chosen_among_those_that_answered_other_questions() -> None:
    partial = replace(measured(student_id(), 9), answered=frozenset(range(5)))
    found = overview(entries([measured(BASE, 2), partial]))
    assert [row[3].text for row in found.rows] == ["20.0 ± 12.6 (n = 10)", "90.0 ± 9.5 (n = 5) †"]
    assert not any(row[3].strong for row in found.rows)
    assert any(note.startswith("†") for note in found.notes)


def test_data_sets_that_are_not_at_hand_are_marked() -> None:
    unknown = replace(measured(BASE, 2), expected=None, as_asked=False, part="all")
    assert overview(entries([unknown])).rows[0][3].text == "20.0 ± 12.6 ‡"


def test_runs_are_counted() -> None:
    found = overview(entries([measured(student_id(), 4), measured(student_id("lora_run_1"), 6)]))
    assert found.rows[0][3].text == "50.0 ± 14.1 (2 runs)"


def test_detail_has_every_run_with_its_counts() -> None:
    found = detail(entries([measured(student_id(), 4), measured(student_id("lora_run_3"), 6)]))
    lines = to_csv(found).splitlines()
    assert lines[0] == (
        "model,method,training,dataset,part,run,epoch,questions,expected,"
        "n,correct,accuracy,stderr,contains_answer,correct_format,complete,ungradable,file"
    )
    assert lines[1].startswith('m,fine-tune-CoT (token),"ft_cot_*, lora",gsm8k,test,0,,10,10,10,4,0.4,')
    assert lines[2].startswith('m,fine-tune-CoT (token),"ft_cot_*, lora",gsm8k,test,3,,10,10,10,6,0.6,')


def test_the_best_epoch_stands_beside_the_last_one() -> None:
    epochs = [measured(student_id(epoch=epoch), correct) for epoch, correct in ((1, 3), (2, 9), (3, 5))]
    found = best_epochs(entries([*epochs, measured(BASE, 2)]))
    assert [[cell.value for cell in row[3:]] for row in found.rows] == [["gsm8k", 0, 10, 3, 2, 0.9, 0.5]]


def test_families_stand_by_platform_and_size() -> None:
    made = [
        replace(measured(CompletionId(model, "zs_cot", "gsm8k"), 2), platform=platform)
        for platform, models in (("local", ("opt-1.3b", "gpt2", "opt-125m")), ("openai", ("x",)))
        for model in models
    ]
    rows = [[cell.text for cell in row] for row in by_family(entries(made)).rows]
    assert [row[:4] for row in rows] == [
        ["local", "gpt2", "124", "gpt2"],
        ["local", "opt", "125", "opt-125m"],
        ["local", "opt", "1300", "opt-1.3b"],
        ["openai", "x", "", "x"],
    ]
    assert rows[0][-2:] == ["10", "20.0 ± 12.6"]
