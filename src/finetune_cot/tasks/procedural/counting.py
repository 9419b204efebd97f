"""Counting letters in words and things in lists."""

from random import Random

from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.words import WORDS, comma_separated, listed
from finetune_cot.tasks.sample import AnswerFormat

CATEGORIES = {
    "fruits": "a pear,a plum,a mango,a banana,a peach,a cherry,an apple,an apricot,a lime,a grape",
    "animals": "a horse,a goat,a sparrow,a hedgehog,a frog,a camel,a badger,an owl,an otter,a salmon",
    "tools": "a hammer,a saw,a wrench,a chisel,a drill,a file,an axe,a screwdriver,a spade,a rake",
    "musical instruments": "a violin,a trumpet,a flute,a harp,a drum,a cello,an oboe,a banjo,a lute,a tuba",
    "pieces of clothing": "a scarf,a shirt,a coat,a sock,a skirt,a glove,an apron,a sweater,a vest,a hat",
    "vehicles": "a bus,a tram,a bicycle,a truck,a canoe,a sled,an airplane,a scooter,a ferry,a tractor",
}
PICTURES = (
    "A picture book shows",
    "A child has drawn",
    "A sheet of stickers shows",
    "A puzzle shows",
    "A painter has painted",
)


def count_letter(rng: Random) -> Problem:
    """How often a letter occurs in three words, at least once."""
    words = rng.sample(WORDS, 3)
    letter = rng.choice("".join(words))
    phrase = " ".join(words)
    question = rng.choice(
        (
            f'How many times does the letter {letter} occur in "{phrase}"?',
            f'Count the letter {letter} in "{phrase}".',
            f'How often do you write {letter} when you write "{phrase}"?',
        )
    )
    counts = [word.count(letter) for word in words]
    total = sum(counts)
    spelling = " ".join(f"{'-'.join(word)} has {count}." for word, count in zip(words, counts, strict=True))
    closing = rng.choice(("Together that is", "In total"))
    return Problem(question, f"{spelling} {closing} {' + '.join(map(str, counts))} = {total}.", str(total))


def count_items(rng: Random) -> Problem:
    """How many things of a list are of one kind, at least one."""
    asked, *others = rng.sample(sorted(CATEGORIES), 3)
    wanted = rng.sample(CATEGORIES[asked].split(","), rng.randint(1, 4))
    rest = [
        thing for other in others for thing in rng.sample(CATEGORIES[other].split(","), rng.randint(1, 2))
    ]
    things = rng.sample([*wanted, *rest], len(wanted) + len(rest))
    question = f"{rng.choice(PICTURES)} {listed(things)}. " + rng.choice(
        (f"How many {asked} are there?", f"How many of these are {asked}?")
    )
    names = [thing.partition(" ")[2] for thing in things if thing in wanted]
    numbered = comma_separated([f"{name} ({number})" for number, name in enumerate(names, start=1)])
    opening = rng.choice((f"Counting only the {asked}", f"Going through the list for {asked}"))
    return Problem(question, f"{opening}: {numbered}. That makes {len(names)}.", str(len(names)))


TASKS = (
    ProceduralTask("count_items", "counting", 1, AnswerFormat("number"), count_items),
    ProceduralTask("count_letter", "counting", 2, AnswerFormat("number"), count_letter),
)
