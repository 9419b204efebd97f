from pathlib import Path

from finetune_cot.reporting.scoring import OTHER, Yardstick, score_part, yardstick
from finetune_cot.tasks.sample import AnswerFormat, Sample
from tests.reporting.made_up import completion_of

NUMBER = AnswerFormat("number")
BUNDLED = "bundled_one_step_word_problem"


def samples(count: int) -> list[Sample]:
    return [Sample(index, f"question {index}", str(index), "task") for index in range(count)]


def test_only_the_part_is_scored() -> None:
    completions = [completion_of(sample, "zs", right=sample.sample_index < 3) for sample in samples(6)]
    measure = Yardstick("test", frozenset({1, 2, 3, 9}), dict.fromkeys(range(10), NUMBER))
    scored = score_part(completions, "zs", measure, "task", "published")
    assert scored is not None
    assert (scored.score.n, scored.score.correct, scored.expected) == (3, 2, 4)
    assert scored.answered == {1, 2, 3}
    assert scored.part == "test"


def test_completions_of_another_part_are_scored_apart() -> None:
    completions = [completion_of(sample, "zs", right=True) for sample in samples(2)]
    measure = Yardstick("test", frozenset({5}), dict.fromkeys(range(6), NUMBER))
    scored = score_part(completions, "zs", measure, "task", "published")
    assert scored is not None
    assert (scored.part, scored.score.n, scored.expected) == (OTHER, 2, None)


def test_what_cannot_be_graded_is_no_answer_and_foreign_samples_are_counted() -> None:
    gold = [Sample(0, "q", "no number", "task"), *samples(4)[1:]]
    completions = [completion_of(sample, "zs", right=True) for sample in gold]
    measure = Yardstick("all", frozenset({0, 1, 2}), dict.fromkeys(range(3), NUMBER))
    scored = score_part(completions, "zs", measure, "task", "published")
    assert scored is not None
    assert (scored.answered, scored.score.n, scored.score.ungradable, scored.foreign) == ({1, 2}, 2, 1, 1)


def test_completions_of_no_known_sample_are_not_scored() -> None:
    completions = [completion_of(sample, "zs", right=True) for sample in samples(2)]
    measure = Yardstick("test", frozenset({5}), {5: NUMBER})
    assert score_part(completions, "zs", measure, "task", "published") is None


def test_without_a_data_set_everything_is_scored_by_what_answers_look_like() -> None:
    completions = [completion_of(sample, "zs", right=True) for sample in samples(4)]
    scored = score_part(
        completions, "zs", yardstick("no_such", Path("nowhere"), "test", "default"), "no_such", "published"
    )
    assert scored is not None
    assert (scored.part, scored.as_asked, scored.expected) == ("all", False, None)
    assert (scored.score.n, scored.score.correct) == (4, 4)


def test_the_part_of_a_bundled_data_set() -> None:
    train, test, whole = (
        yardstick(BUNDLED, Path("nowhere"), part, "default") for part in ("train", "test", "all")
    )
    assert train.questions is not None
    assert test.questions is not None
    assert train.questions | test.questions == whole.questions
    assert not train.questions & test.questions
    assert test.problem is None


def test_an_unknown_split_is_told_of_and_everything_scored() -> None:
    measure = yardstick(BUNDLED, Path("nowhere"), "test", "template")
    assert measure.part == "all"
    assert "no split 'template'" in str(measure.problem)


def test_every_split_of_a_data_set_is_scored_on_its_own_test_part() -> None:
    completions = [completion_of(sample, "zs", right=sample.sample_index < 3) for sample in samples(6)]
    tests = {"default": frozenset({1, 2, 3}), "template": frozenset({4, 9}), "none": frozenset({8})}
    formats = dict.fromkeys(range(10), NUMBER)
    measure = Yardstick("test", tests["default"], formats, tests=tests)
    scored = score_part(completions, "zs", measure, "task", "published")
    assert scored is not None
    assert [(item.split, item.n, item.is_whole, round(item.accuracy, 2)) for item in scored.by_split] == [
        ("default", 3, True, 0.67),
        ("template", 1, False, 0.0),
    ]


def test_a_data_set_of_one_split_has_no_other() -> None:
    assert yardstick(BUNDLED, Path("nowhere"), "test", "default").tests == {}
