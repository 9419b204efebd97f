"""The stories that word problems are made from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Story:
    """A story about numbers that are combined from left to right."""

    operators: str
    """Between the numbers a, b, c, d: one or more of + - * /."""
    text: str
    """With the numbers, ``{name}``, ``{other}`` and ``{items}``."""
    steps: tuple[str, ...]
    """One sentence for each operator; ``{}`` stands for its calculation, such as 3 + 4 = 7."""


ONE_STEP = (
    Story(
        "+",
        "{name} has {a} {items} and buys {b} more. How many {items} does {name} have now?",
        ("{name} had {a} {items} and got {b} more, so now {name} has {} {items}.",),
    ),
    Story(
        "+",
        "There are {a} {items} on the shelf and {b} {items} in the box. How many {items} are there "
        "altogether?",
        ("The {items} on the shelf and in the box together make {} {items}.",),
    ),
    Story(
        "+",
        "{name} found {a} {items} in the morning and {b} {items} in the evening. How many {items} did "
        "{name} find that day?",
        ("Morning and evening together, {name} found {} {items}.",),
    ),
    Story(
        "+",
        "{name} owns {a} {items}. {other} owns {b} {items} more than {name}. How many {items} does {other} "
        "own?",
        ("Adding {b} to the {a} {items} of {name} gives {} {items}.",),
    ),
    Story(
        "-",
        "{name} has {a} {items} and gives {b} of them to {other}. How many {items} does {name} keep?",
        ("{b} of the {a} {items} go to {other}, so {name} keeps {} {items}.",),
    ),
    Story(
        "-",
        "A basket holds {a} {items}. {name} takes out {b} of them. How many {items} stay in the basket?",
        ("{name} takes {b} of the {a} {items} away, so {} {items} stay in the basket.",),
    ),
    Story(
        "-",
        "{name} needs {a} {items} and already has {b}. How many {items} are still missing?",
        ("Of the {a} {items}, {b} are there, so {} {items} are missing.",),
    ),
    Story(
        "-",
        "{name} collected {a} {items}, and {other} collected {b} fewer. How many {items} did {other} "
        "collect?",
        ("{other} has {b} fewer than {a}, which is {} {items}.",),
    ),
)

TWO_STEPS = (
    Story(
        "+-",
        "{name} has {a} {items}, buys {b} more and then gives {c} to {other}. How many {items} does {name} "
        "have in the end?",
        ("After buying, {name} has {} {items}.", "After the gift to {other}, {name} has {} {items}."),
    ),
    Story(
        "-+",
        "A shop had {a} {items}. It sold {b} of them, and then {c} new ones were delivered. How many "
        "{items} does the shop have now?",
        ("After the sale there were {} {items}.", "With the delivery there are {} {items}."),
    ),
    Story(
        "--",
        "{name} had {a} {items}. {b} of them got lost and {c} were given to {other}. How many {items} are "
        "left?",
        (
            "Without the lost ones there are {} {items}.",
            "Without those given away, {} {items} are left.",
        ),
    ),
    Story(
        "++",
        "{name} found {a} {items} on Friday, {b} on Saturday and {c} on Sunday. How many {items} is that in "
        "all?",
        ("On Friday and Saturday {name} found {} {items}.", "Together with Sunday that is {} {items}."),
    ),
    Story(
        "*+",
        "{name} buys {a} bags with {b} {items} each and finds {c} more {items} at home. How many {items} "
        "does {name} have?",
        ("The bags hold {} {items}.", "With those at home, {name} has {} {items}."),
    ),
    Story(
        "*-",
        "{name} packed {a} boxes with {b} {items} each. Then {other} took out {c} {items}. How many {items} "
        "are still in the boxes?",
        ("At first the boxes held {} {items}.", "After {other} took some, {} {items} are still there."),
    ),
    Story(
        "+*",
        "Each parcel holds {a} large and {b} small {items}. How many {items} do {c} such parcels hold?",
        ("One parcel holds {} {items}.", "{c} parcels hold {} {items}."),
    ),
    Story(
        "+/",
        "{name} has {a} {items} and {other} has {b}. They put them together and share them equally among "
        "{c} children. How many {items} does each child get?",
        ("Together they have {} {items}.", "Each of the {c} children gets {} {items}."),
    ),
)

THREE_STEPS = (
    Story(
        "*-+",
        "{name} bought {a} packs with {b} {items} each. {c} of the {items} were damaged, and {name} got {d} "
        "new ones. How many good {items} does {name} have?",
        (
            "The packs held {} {items}.",
            "Without the damaged ones there were {} {items}.",
            "With the new ones {name} has {} good {items}.",
        ),
    ),
    Story(
        "+-/",
        "{name} had {a} {items} and was given {b} more. {name} kept {c} of them and shared the rest equally "
        "among {d} friends. How many {items} did each friend get?",
        (
            "With the gift {name} had {} {items}.",
            "That left {} {items} to share.",
            "Each of the {d} friends got {} {items}.",
        ),
    ),
    Story(
        "+*-",
        "Every day {name} collects {a} {items} before lunch and {b} after lunch. After {c} days, {other} "
        "gets {d} of all these {items}. How many {items} are left?",
        (
            "In one day {name} collects {} {items}.",
            "In {c} days that is {} {items}.",
            "After {other} got some, {} {items} are left.",
        ),
    ),
    Story(
        "*+/",
        "{name} empties {a} bags of {b} {items} and adds {c} loose ones. All of them are put into {d} "
        "bowls, the same number in each. How many {items} are in a bowl?",
        (
            "The bags held {} {items}.",
            "With the loose ones there are {} {items}.",
            "Each of the {d} bowls holds {} {items}.",
        ),
    ),
    Story(
        "-*+",
        "A tray holds {a} {items}, but {name} removes {b} from every tray. There are {c} such trays and {d} "
        "{items} on the table. How many {items} are there altogether?",
        (
            "A tray now holds {} {items}.",
            "The {c} trays hold {} {items}.",
            "With those on the table there are {} {items}.",
        ),
    ),
    Story(
        "++-",
        "A jar holds {a} red, {b} green and {c} yellow {items}. {name} takes out {d} of them. How many "
        "{items} remain in the jar?",
        (
            "Red and green together make {} {items}.",
            "With the yellow ones the jar holds {} {items}.",
            "After {name} has taken some, {} {items} remain.",
        ),
    ),
)
