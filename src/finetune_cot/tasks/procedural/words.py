"""Names, things and words that the problems are told with."""

from collections.abc import Sequence
from dataclasses import dataclass


def split_words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


NAMES = split_words(
    "Ada Amir Anouk Bela Bruno Carmen Chidi Dalia Dmitri Elif Emeka Esther Farid Felix Freya Gita Goran Hana "
    "Henrik Hugo Ilse Imran Ingrid Jonas Juno Kaito Kira Kofi Lars Leila Luca Lucia Marek Mei Milan Nadia "
    "Nils Noor Odette Omar Oskar Paola Pavel Priya Quentin Rania Ravi Rosa Samir Sofia Sven Tamar Thabo "
    "Tomas Uma Vera Viktor Wanda Wim Xenia Yara Yusuf Zainab Zoltan"
)

PLAYERS = tuple(name for name in NAMES if name[0] not in "ABCD")
"""Names that cannot be mistaken for the letter of an option."""

WORDS = split_words(
    "acorn actor anchor apron arrow autumn badge bakery balcony barrel basket beach bicycle blanket bottle "
    "branch bridge bronze bucket cabin camera candle canvas carpet castle cellar chair chimney cloud coast "
    "compass copper corner cotton crane cushion dance desert diamond dinner doctor dragon drawer eagle "
    "earth echo elbow engine evening fabric falcon farmer feather fence ferry field flame forest fountain "
    "galaxy garden garlic gate ginger glacier glove grain guitar hammer harbor hazel helmet hill honey "
    "horizon hotel insect island ivory jacket jelly jewel journey jungle kernel kettle kitchen kite ladder "
    "lake lantern laundry leaf lemon letter library lion magnet maple market meadow melody mirror morning "
    "mountain museum napkin needle nest night north number oak ocean office olive onion orchard otter "
    "paddle palace paper parcel pebble pepper piano pillow planet pocket pond prairie puzzle quartz queen "
    "quilt rabbit radio rain raven ribbon river rocket saddle salt sandal shadow silver sister spoon spring "
    "station stone summer table teapot temple thunder ticket tiger tower tunnel umbrella uncle valley "
    "velvet village violin wagon walnut water whistle willow window winter yacht yard yellow zebra zipper "
    "zone"
)


@dataclass(frozen=True)
class Noun:
    """A thing that can be counted."""

    one: str
    many: str

    def count(self, number: int) -> str:
        """The number with the right form of the noun."""
        return f"{number} {self.one if number == 1 else self.many}"


ITEMS = tuple(
    Noun(*forms.split("/"))
    for forms in split_words(
        "apple/apples badge/badges balloon/balloons bead/beads biscuit/biscuits book/books brush/brushes "
        "button/buttons candle/candles card/cards cherry/cherries coin/coins cookie/cookies crayon/crayons "
        "daisy/daisies envelope/envelopes fig/figs flag/flags key/keys leaf/leaves lemon/lemons "
        "magnet/magnets marble/marbles muffin/muffins peach/peaches pear/pears pebble/pebbles "
        "pencil/pencils plum/plums postcard/postcards radish/radishes ribbon/ribbons shell/shells "
        "stamp/stamps sticker/stickers ticket/tickets tile/tiles tomato/tomatoes walnut/walnuts"
    )
)


def listed(words: Sequence[object]) -> str:
    """The words with commas and a last "and"."""
    *head, last = map(str, words)
    return f"{', '.join(head)} and {last}" if head else last


def comma_separated(words: Sequence[object]) -> str:
    """The words with commas between them."""
    return ", ".join(map(str, words))
