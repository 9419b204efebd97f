"""Letters of words: picked, reversed, removed, replaced."""

from random import Random

from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.words import NAMES, WORDS, comma_separated, listed
from finetune_cot.tasks.sample import AnswerFormat

VOWELS = "aeiou"
CONSONANTS = "bdfgklmnprstvz"


def last_letter_concatenation(rng: Random) -> Problem:
    """The last letters of three or four names, joined."""
    names = rng.sample(NAMES, rng.choice((3, 4)))
    phrase = " ".join(names)
    question = rng.choice(
        (
            f'What do you get when you join the final letters of "{phrase}"?',
            f'Write down the last letter of every name in "{phrase}", one after the other.',
            f'Which letters end the names in "{phrase}"? Join them in order.',
        )
    )
    answer = "".join(name[-1] for name in names)
    verb = rng.choice(("ends in", "ends with"))
    endings = comma_separated([f"{name} {verb} {name[-1]}" for name in names])
    return Problem(question, f'{endings}. Joined in order, the letters are "{answer}".', answer)


def reverse_word(rng: Random) -> Problem:
    """An invented word of two to four syllables, spelled backwards."""
    word = "".join(rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(rng.choice((2, 3, 3, 4))))
    question = rng.choice(
        (
            f'How is "{word}" spelled backwards?',
            f'Reverse the letters of "{word}".',
            f'Read "{word}" from right to left. What does it say?',
        )
    )
    answer = word[::-1]
    forwards, backwards = " ".join(word), " ".join(answer)
    rationale = rng.choice(
        (
            f'The letters are {forwards}. From last to first they are {backwards}. That spells "{answer}".',
            f'Spelled out, it is {forwards}. Turned around, it is {backwards}. Joined, that is "{answer}".',
        )
    )
    return Problem(question, rationale, answer)


def remove_vowels(rng: Random) -> Problem:
    """What two words become without their vowels."""
    words = rng.sample(WORDS, 2)
    phrase = " ".join(words)
    question = rng.choice(
        (
            f'Leave out every vowel (a, e, i, o, u) of "{phrase}". What is left?',
            f'What remains of "{phrase}" without the letters a, e, i, o and u?',
            f'Write "{phrase}" without its vowels (a, e, i, o, u).',
        )
    )
    bare = ["".join(letter for letter in word if letter not in VOWELS) for word in words]
    verb = rng.choice(("becomes", "turns into"))
    steps = ". ".join(
        f"Without {listed(_vowels_of(word))}, {word} {verb} {rest}"
        for word, rest in zip(words, bare, strict=True)
    )
    answer = " ".join(bare)
    return Problem(question, f'{steps}. Together that is "{answer}".', answer)


def replace_letter(rng: Random) -> Problem:
    """What two words become when one letter gives way to another."""
    words = rng.sample(WORDS, 2)
    phrase = " ".join(words)
    old = rng.choice(sorted(set(phrase.replace(" ", ""))))
    new = rng.choice([letter for letter in "aeioubdgklmnprst" if letter not in phrase])
    question = rng.choice(
        (
            f'Replace every {old} in "{phrase}" with {new}.',
            f'What does "{phrase}" become when each {old} is changed to {new}?',
            f'Write "{phrase}" with {new} in place of {old}.',
        )
    )
    changed = [word.replace(old, new) for word in words]
    steps = ". ".join(
        f"{word} becomes {after}" if old in word else f"{word} has no {old} and stays {word}"
        for word, after in zip(words, changed, strict=True)
    )
    answer = " ".join(changed)
    closing = rng.choice(("Together that is", "The result is"))
    return Problem(question, f'{steps}. {closing} "{answer}".', answer)


def _vowels_of(word: str) -> list[str]:
    return list(dict.fromkeys(letter for letter in word if letter in VOWELS))


_LETTERS = AnswerFormat("letters")

TASKS = (
    ProceduralTask("last_letter_concatenation", "symbols", 2, _LETTERS, last_letter_concatenation),
    ProceduralTask("reverse_word", "symbols", 2, _LETTERS, reverse_word),
    ProceduralTask("remove_vowels", "symbols", 2, _LETTERS, remove_vowels),
    ProceduralTask("replace_letter", "symbols", 2, _LETTERS, replace_letter),
)
