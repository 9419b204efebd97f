"""Keeping track of what changes: coins that are turned, things that change hands."""

from itertools import accumulate
from random import Random

from finetune_cot.tasks.procedural.problem import Problem, ProceduralTask
from finetune_cot.tasks.procedural.words import NAMES, PLAYERS, comma_separated, listed
from finetune_cot.tasks.sample import AnswerFormat

SIDES = ("heads", "tails")
TURNED = ("turns it over", "flips it over", "puts it down on its other side")
KEPT = ("leaves it as it is", "does not touch it", "only looks at it")
THINGS = tuple(
    f"the {thing}"
    for thing in (
        "red scarf",
        "blue kite",
        "green mug",
        "old map",
        "silver ring",
        "wooden flute",
        "paper crown",
        "brass bell",
        "glass jar",
        "toy train",
        "striped hat",
        "small drum",
        "leather purse",
        "yellow lamp",
    )
)


def coin_flip(rng: Random) -> Problem:
    """Whether a coin shows heads after three or four people, some of whom turned it."""
    people = rng.sample(NAMES, rng.choice((3, 4)))
    turns = [rng.random() < 0.5 for _ in people]
    start = rng.randrange(2)
    acts = " ".join(
        f"{name} {rng.choice(TURNED if turn else KEPT)}." for name, turn in zip(people, turns, strict=True)
    )
    opening, asking = rng.choice(
        (
            ("A coin lies on a table with {} facing up.", "Does it show heads now?"),
            ("A coin shows {}.", "Is heads on top at the end?"),
            ("Somebody puts down a coin with {} on top.", "Is heads on top after that?"),
        )
    )
    question = f"{opening.format(SIDES[start])} {acts} {asking}"
    end = (start + sum(turns)) % 2
    yes_no = "no" if end else "yes"
    if rng.random() < 0.5:
        count = sum(turns)
        times = ("0 times", "once", "twice", "3 times", "4 times")[count]
        effect = "an odd number, so it changes to" if count % 2 else "an even number, so it is still"
        steps = f"The coin begins with {SIDES[start]} and is turned {times}, {effect} {SIDES[end]}."
    else:
        sides = [SIDES[(start + done) % 2] for done in accumulate(turns)]
        changes = [f"After {name} it shows {side}." for name, side in zip(people, sides, strict=True)]
        steps = f"The coin begins with {SIDES[start]}. {' '.join(changes)}"
    return Problem(question, f"{steps} It ends with {SIDES[end]} up, so {yes_no}.", yes_no)


def tracking_shuffled_objects(rng: Random) -> Problem:
    """Which of three things somebody holds after three swaps."""
    names = rng.sample(PLAYERS, 3)
    things = rng.sample(THINGS, 3)
    held = dict(zip(names, things, strict=True))
    verb = rng.choice(("swap", "trade", "exchange"))
    swaps, states = [], []
    for word in ("First", "Then", "Finally"):
        one, two = rng.sample(names, 2)
        held[one], held[two] = held[two], held[one]
        swaps.append(f"{word}, {one} and {two} {verb} what they hold.")
        states.append(f"{word}: {comma_separated([f'{name} has {held[name]}' for name in names])}.")
    asked = rng.choice(names)
    options = rng.sample(things, 3)
    letter = "ABC"[options.index(held[asked])]
    start = listed([f"{name} holds {thing}" for name, thing in zip(names, things, strict=True)])
    choices = comma_separated([f"({label}) {thing}" for label, thing in zip("ABC", options, strict=True)])
    asking = rng.choice((f"What does {asked} hold in the end?", f"What is in {asked}'s hands at the end?"))
    return Problem(
        f"{start}. {' '.join(swaps)} {asking} Options: {choices}.",
        f"{' '.join(states)} {asked} ends up with {held[asked]}, which is ({letter}).",
        letter,
    )


TASKS = (
    ProceduralTask("coin_flip", "tracking", 1, AnswerFormat("yes_no"), coin_flip),
    ProceduralTask(
        "tracking_shuffled_objects",
        "tracking",
        3,
        AnswerFormat("choice", choices="ABC"),
        tracking_shuffled_objects,
    ),
)
