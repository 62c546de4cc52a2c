"""Defines what may stand behind a number: scale words, which multiply it, and units, which are compared as written.

A unit is a known symbol or name (with an SI prefix, powers, products and quotients: `km/h`, `N m`, `kg*m/s^2`), a
currency, or a noun phrase of at most three plain words (`18 eggs`, `12 years old`). Words that make a phrase a hedge,
a comparison, another number or a sentence are none of these, so that `5 or six` and `5 maybe` have no unit but are no
quantity at all.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

SCALES: Final = {
    "hundred": 10**2,
    "thousand": 10**3,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
    "quadrillion": 10**15,
    "dozen": 12,
    "lakh": 10**5,
    "crore": 10**7,
    "mn": 10**6,
    "mln": 10**6,
    "mio": 10**6,
    "bn": 10**9,
    "bln": 10**9,
    "tn": 10**12,
}
"""Words and abbreviations that multiply the number before them, as does `k`."""

AMBIGUOUS_SCALES: Final = {"K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
"""Capitals that are a scale or a unit (kelvin, molar, byte, tesla): each reading is kept."""

MONEY_SCALES: Final = {"k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
"""Letters, in either case, that scale an amount of money."""

CURRENCIES: Final = {
    "$": ("us$", "usd", "dollar", "dollars"),
    "€": ("eur", "euro", "euros"),
    "£": ("gbp", "pound sterling", "pounds sterling"),
    "¥": ("jpy", "yen"),
    "₹": ("inr", "rs", "rs.", "rupee", "rupees"),
    "₩": ("krw", "won"),
    "₽": ("rub", "rouble", "roubles", "ruble", "rubles"),
    "CHF": ("chf", "swiss franc", "swiss francs"),
    "CNY": ("cny", "rmb", "yuan"),
    "¢": ("cent", "cents"),
}
"""Currencies with their other spellings in lower case."""

_PREFIXED: Final = {
    "m": ("metre", "meter"),
    "g": ("gram", "gramme"),
    "s": ("second", "sec"),
    "A": ("ampere", "amp"),
    "mol": ("mole",),
    "Hz": ("hertz",),
    "N": ("newton",),
    "Pa": ("pascal",),
    "J": ("joule",),
    "W": ("watt",),
    "Wh": ("watthour", "watt-hour"),
    "V": ("volt",),
    "C": ("coulomb",),
    "F": ("farad",),
    "Ω": ("ohm",),
    "T": ("tesla",),
    "L": ("litre", "liter"),
    "eV": ("electronvolt",),
    "cal": ("calorie",),
    "B": ("byte",),
    "bit": (),
    "bps": (),
    "bar": (),
    "Bq": ("becquerel",),
    "Sv": ("sievert",),
}
_PREFIXES: Final = {
    "p": "pico",
    "n": "nano",
    "µ": "micro",
    "m": "milli",
    "c": "centi",
    "d": "deci",
    "h": "hecto",
    "k": "kilo",
    "M": "mega",
    "G": "giga",
    "T": "tera",
}
_PLAIN: Final = {
    "K": ("kelvin", "kelvins"),
    "°": ("deg", "degree", "degrees"),
    "°C": ("degc", "degree celsius", "degrees celsius", "celsius", "degrees c"),
    "°F": ("degf", "degree fahrenheit", "degrees fahrenheit", "fahrenheit", "degrees f"),
    "rad": ("radian", "radians"),
    "min": ("mins", "minute", "minutes"),
    "h": ("hr", "hrs", "hour", "hours"),
    "d": ("day", "days"),
    "wk": ("week", "weeks"),
    "mo": ("month", "months"),
    "yr": ("yrs", "year", "years"),
    "in": ("inch", "inches"),
    "ft": ("foot", "feet"),
    "yd": ("yds", "yard", "yards"),
    "mi": ("mile", "miles"),
    "mph": ("miles per hour",),
    "kph": ("kmph",),
    "rpm": (),
    "lb": ("lbs", "pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "gal": ("gallon", "gallons"),
    "t": ("tonne", "tonnes", "ton", "tons"),
    "ha": ("hectare", "hectares"),
    "acre": ("acres",),
    "atm": ("atmosphere", "atmospheres"),
    "px": ("pixel", "pixels"),
    "dB": ("decibel", "decibels"),
    "kn": ("knot", "knots"),
    "cc": (),
    "pt": ("pts", "point", "points"),
    "ppm": (),
    "ppb": (),
    "'": (),
    '"': (),
    "M": (),
}
_POWERS: Final = {"square": 2, "sq": 2, "sq.": 2, "cubic": 3, "cu": 3}

_NUMBER_WORDS: Final = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred hundreds thousand thousands million
    millions billion billions trillion trillions dozen dozens score half halves third thirds quarter quarters fourth
    fourths fifth fifths tenth tenths hundredth hundredths thousandth thousandths percent percentage squared cubed
    factorial once twice times fold double triple infinity infinite pi
"""
_OTHER_WORDS: Final = """
    a an the and or nor but if so not no none non neither either both than then to of in on at by for from with without
    within into onto up down off out over under above below between among around about across before after until till
    since ago later earlier ahead behind is are was were be been being am it its this that these those there here
    i you he she we they me my your his her our their who which what where when why how because as also too only just
    maybe perhaps circa ca approx approximate
    almost ish something somewhat some any many much
    more most less least fewer fewest extra additional further several few lot lots other others another else left plus
    minus negative positive equals equal mod modulo divided multiplied power root log ln sin cos tan exp sqrt sum
    maximum minimum max min average mean median total wrong right correct incorrect true false yes unknown unclear
    uncertain unsure each every all apiece together altogether overall combined alone though although however unless
    whereas while indeed anyway anyhow instead exact rounded remainder respective except excluding including
    think guess believe guessing say said see seems seem looks look appears can could may might must
    should would will shall do does did done has have had get got give take tends varies depends bc ad bce ce answer
    option options sorry please error nan null inf per
"""
_STOP: Final = frozenset((_NUMBER_WORDS + _OTHER_WORDS).split())
_WORD: Final = re.compile(r"[^\W\d_]{3,24}(?:-[^\W\d_]{3,24})?")
_FACTOR: Final = re.compile(r"(.+?)(?:\^\(?([+-]?\d)\)?|(?<=[^\W\d_])(-?\d))?")
_PER: Final = re.compile(r"\s*/\s*|\s+per\s+")
_TIMES: Final = re.compile(r"\s*[*\u00b7\u22c5\u00d7]\s*|\s+")
_MAX_WORDS: Final = 3
_MAX_CHARS: Final = 40


@lru_cache(maxsize=4096)
def canonical_unit(text: str) -> str | None:
    """What a unit is called wherever two are compared; None where the text is no unit.

    `kilometres per hour` and `km/h` are both `km/h`, `m s^-1` is `m/s`, and nouns stand in the singular. Nothing is
    converted: `m` and `cm` are two units.
    """
    plain = " ".join(text.split()).removesuffix(" old")
    if not plain or len(plain) > _MAX_CHARS:
        return None
    powers: dict[str, int] = {}
    for place, part in enumerate(_PER.split(plain)):
        factors = _factors(part.removeprefix("(").removesuffix(")") if place else part)
        if factors is None:
            return None
        for name, power in factors:
            powers[name] = powers.get(name, 0) + (-power if place else power)
    above = "*".join(_power(name, power) for name, power in sorted(powers.items()) if power > 0)
    below = "".join(f"/{_power(name, -power)}" for name, power in sorted(powers.items()) if power < 0)
    return above + below


def _factors(text: str) -> list[tuple[str, int]] | None:
    """The units that one side of a quotient is the product of, each with its power; a phrase is a single one."""
    if (name := _known(text)) is not None:
        return [(name, 1)]
    first, _, rest = text.partition(" ")
    if first.lower() in _POWERS and (name := _known(rest)) is not None:
        return [(name, _POWERS[first.lower()])]
    factors: list[tuple[str, int]] = []
    for factor in _TIMES.split(text):
        match = _FACTOR.fullmatch(factor)
        name = None if match is None else _known(match[1])
        if match is None or name is None:
            phrase = _phrase(text)
            return None if phrase is None else [(phrase, 1)]
        factors.append((name, int(match[2] or match[3] or 1)))
    return factors


def _power(name: str, power: int) -> str:
    return name if power == 1 else f"{name}^{power}"


def _known(text: str) -> str | None:
    return _SYMBOLS.get(text) or _NAMES.get(text.lower())


def _phrase(text: str) -> str | None:
    words = text.lower().split()
    if not 1 <= len(words) <= _MAX_WORDS or not all(_is_plain(word) for word in words):
        return None
    phrase = " ".join(words)
    return phrase[:-1] if phrase.endswith("s") and not phrase.endswith("ss") else phrase


def _is_plain(word: str) -> bool:
    """Whether a word may stand in a noun phrase: no number, no comparison, no adverb (`5 roughly`)."""
    if _WORD.fullmatch(word) is None or word.endswith("ly"):
        return False
    return all(part not in _STOP for part in word.split("-"))


def _symbols() -> dict[str, str]:
    symbols = {symbol: symbol for table in (_PREFIXED, _PLAIN, CURRENCIES) for symbol in table}
    symbols |= {prefix + symbol: prefix + symbol for prefix in _PREFIXES for symbol in _PREFIXED}
    # The Greek letter, and the letter that keyboards have, stand for the micro sign.
    for look in ("\u03bc", "u"):
        symbols |= {look + symbol: "µ" + symbol for symbol in _PREFIXED}
    symbols |= {prefix + "l": prefix + "L" for prefix in ("", *_PREFIXES)}
    return symbols | {"\u2126": "Ω", "\u2032": "'", "\u2033": '"', "''": '"', "\u2103": "°C", "\u2109": "°F"}


def _names() -> dict[str, str]:
    names = {name: symbol for table in (_PLAIN, CURRENCIES) for symbol, spelled in table.items() for name in spelled}
    for symbol, spelled in _PREFIXED.items():
        for name in spelled:
            names |= dict.fromkeys((name, f"{name}s"), symbol)
            for prefix, word in _PREFIXES.items():
                names |= dict.fromkeys((word + name, f"{word}{name}s"), prefix + symbol)
    return names


_SYMBOLS: Final = _symbols()
_NAMES: Final = _names()
