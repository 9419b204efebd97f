import re


def numbers(question: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", question)]


def sorted_words(question: str) -> str:
    listed = re.search(r"order: (.+)\.|list (.+)\?|Sort (.+) from A", question)
    assert listed
    words = re.split(r", | and ", next(group for group in listed.groups() if group))
    assert len(words) in (4, 5)
    return ", ".join(sorted(words))


def by_length(question: str) -> str:
    one, two = re.findall(r'"(\w+)"', question)
    return max(one, two, key=len) if "longer" in question else min(one, two, key=len)


def test_sorted_numbers(check_answers) -> None:
    check_answers(
        "sort_numbers",
        lambda question: ", ".join(
            map(str, sorted(numbers(question), reverse="from largest to smallest" in question))
        ),
    )


def test_sorted_words(check_answers) -> None:
    check_answers("sort_words", sorted_words)


def test_largest_of_a_list(check_answers) -> None:
    check_answers("list_maximum", lambda question: str(max(numbers(question))))


def test_larger_and_smaller(check_answers) -> None:
    check_answers(
        "compare_numbers",
        lambda question: str((max if "larger" in question else min)(numbers(question))),
    )


def test_longer_and_shorter(check_answers) -> None:
    check_answers("compare_word_lengths", by_length)
