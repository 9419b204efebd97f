"""Rules that forgive how an answer is written, for models that were not taught the published form."""

import re
from collections.abc import Sequence
from decimal import Decimal

from finetune_cot.evaluation.reading import Reading, Rules, choose
from finetune_cot.tasks.sample import AnswerFormat

TOLERANCE = Decimal("1e-6")
"""Largest difference of equal numbers."""

_ANNOUNCEMENT = re.compile(r"\banswer(?:\s+is\b|\s*:)|####|\\boxed\b", re.IGNORECASE)
"""What announces an answer where the template's own prefix is missing."""

_NUMBER = re.compile(
    r"""(?:(?<![\w.)\]])(?P<sign>[-\u2212]))?       # a minus, but not that of 10-3
        (?:[$\u20ac\xa3\xa5]\s?(?P<inner>-)?)?      # $5, -$5, $-5
        (?:(?P<whole>\d{1,3}(?:[,'\u2019\xa0\u202f]\d{3})+(?!\d)|\d+)(?P<part>\.\d+)?
          |(?<![\w.])(?P<bare>\.\d+))""",
    re.VERBOSE,
)
_YES_OR_NO = re.compile(r"(?<![^\W_])(?:yes|no)(?![^\W_])", re.IGNORECASE)
_SENTENCE_END = re.compile(r"\n|[.!?](?=\s|$)")
_QUOTED = re.compile(r"[\"\u201c]([^\"\u201c\u201d]+)[\"\u201d]|\*\*(.+?)\*\*")
_MARKUP = re.compile(r"\\text\b|[*_`\"'\u2018\u2019\u201c\u201d$\\{}\s]")


def _candidates(text: str, answer_format: AnswerFormat) -> list[str]:
    match answer_format.kind:
        case "choice":
            return _choices(text, answer_format.choices)
        case "number":
            return _numbers(text)
        case "yes_no":
            return [word.lower() for word in _YES_OR_NO.findall(text)]
        case _:
            return phrases(text)


def _numbers(text: str) -> list[str]:
    """Numbers in plain digits; of an equation such as ``3 + 4 = 7`` only what it comes to."""
    found: list[str] = []
    end = start_of_term = 0
    for match in _NUMBER.finditer(text):
        link = text[end : match.start()]
        if not found or re.search(r"[.,;:!?\n]|^[^-+*/\xd7\xf7=]*$", link):
            start_of_term = len(found)
        elif "=" in link:
            del found[start_of_term:]
        found.append(_plain_number(match))
        end = match.end()
    return found


def _plain_number(match: re.Match[str]) -> str:
    minus = "-" if match["sign"] or match["inner"] else ""
    whole = re.sub(r"\D", "", match["whole"] or "0")
    return f"{minus}{whole}{match['part'] or match['bare'] or ''}"


def _choices(text: str, letters: str) -> list[str]:
    """Letters that are words of their own or in brackets (then also small ones), without articles."""
    either = re.escape(letters + letters.lower())
    pattern = (
        rf"\(([{either}])\)"
        rf"|(?<![^\W_])(?<!['\u2019])([{re.escape(letters)}])(?![^\W_]|['\u2019])"
    )
    return [
        (match[1] or match[2]).upper()
        for match in re.finditer(pattern, text)
        if match[1] or not _is_word_of_english(text, match)
    ]


def _is_word_of_english(text: str, match: re.Match[str]) -> bool:
    """Whether the letter is an article that opens a later sentence, or the pronoun I."""
    if not re.match(r" [a-z]", text[match.end() : match.end() + 2]):
        return False
    before = text[: match.start()]
    spoken = before.rstrip()
    opens = bool(spoken) and (spoken[-1] in ".!?" or "\n" in before[len(spoken) :])
    return match[0] == "I" or (match[0] == "A" and opens)


def phrases(text: str) -> list[str]:
    """Sentences that could be an answer: of each what is quoted or in bold, else what follows a colon."""
    found = []
    for sentence in _SENTENCE_END.split(text):
        quoted = [first or second for first, second in _QUOTED.findall(sentence)]
        phrase = quoted[0] if len(quoted) == 1 else re.split(r":(?=\s|$)", sentence)[-1]
        if _letters(phrase):
            found.append(phrase.strip())
    return found


def _letters(text: str) -> str:
    """A text without markup, white space and the end of its sentence, in small letters."""
    return _MARKUP.sub("", text).rstrip(".!?").casefold()


def _read_gold(answer: str, answer_format: AnswerFormat) -> str | None:
    if answer_format.kind == "letters":
        return answer.strip() if _letters(answer) else None
    candidates = set(_candidates(answer, answer_format))
    return candidates.pop() if len(candidates) == 1 else None


def read_completion(text: str, prefixes: Sequence[str], answer_format: AnswerFormat) -> Reading:
    """The candidates after the template's prefix, or another announcement; else those of the whole text.

    As in the published rules the first of those after a prefix counts, and the last where one is missing.
    """
    rest = _after_announcement(text, prefixes)
    candidates = _candidates(text if rest is None else rest, answer_format)
    return choose(candidates, first=rest is not None or not prefixes)


def _after_announcement(text: str, prefixes: Sequence[str]) -> str | None:
    own = re.search("|".join(map(re.escape, prefixes)), text, re.IGNORECASE) if prefixes else None
    found = own or _ANNOUNCEMENT.search(text)
    return text[found.end() :] if found else None


def _same_answer(candidate: str, gold: str, answer_format: AnswerFormat) -> bool:
    if answer_format.kind == "number":
        return _same_number(candidate, gold)
    if answer_format.kind == "letters":
        return _letters(candidate) == _letters(gold) or _same_written_number(candidate, gold)
    return candidate == gold


def _same_written_number(candidate: str, gold: str) -> bool:
    """Whether both texts are nothing but a number, and the same one."""
    matches = [_NUMBER.fullmatch(text.strip().rstrip(".")) for text in (candidate, gold)]
    numbers = [_plain_number(match) for match in matches if match]
    return len(numbers) == 2 and _same_number(*numbers)


def _same_number(one: str, other: str) -> bool:
    return abs(Decimal(one) - Decimal(other)) <= TOLERANCE


ROBUST = Rules(_read_gold, read_completion, _same_answer)
"""Letters as whole words, numbers as numbers with currency and thousands marks, texts without markup."""
