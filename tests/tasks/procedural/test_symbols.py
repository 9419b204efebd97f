import re


def quoted(question: str) -> str:
    found = re.search(r'"(.+?)"', question)
    assert found
    return found[1]


def replaced(question: str) -> str:
    letters = re.search(
        r"every (\w) in .* with (\w)\.|each (\w) is changed to (\w)\?|with (\w) in place of (\w)\.", question
    )
    assert letters
    one, two = [letter for letter in letters.groups() if letter]
    old, new = (two, one) if "in place of" in question else (one, two)
    return new.join(quoted(question).split(old))


def test_last_letters(check_answers) -> None:
    check_answers(
        "last_letter_concatenation",
        lambda question: "".join(re.findall(r"(\w)\b", quoted(question))),
    )


def test_reversed_words(check_answers) -> None:
    check_answers("reverse_word", lambda question: "".join(reversed(quoted(question))))


def test_words_without_vowels(check_answers) -> None:
    check_answers("remove_vowels", lambda question: re.sub("[aeiou]", "", quoted(question)))


def test_replaced_letters(check_answers) -> None:
    check_answers("replace_letter", replaced)
