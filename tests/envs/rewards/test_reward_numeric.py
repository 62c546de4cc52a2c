"""Numbers as answers: how they are read, and when two are equal."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from axpo_envs import EnvConfigError, EpisodeState, Question
from axpo_envs.rewards._numeric import Numeric
from axpo_envs.rewards._quantity import Quantity, read_quantity


def score(reference: str, answer: str | None, **parameters: float) -> float:
    question = Question(id="q", prompt=("?",), answer=reference)
    (term,) = Numeric(**parameters)(question, answer, EpisodeState(question=question, seed=0))
    assert term.name == "numeric"
    return term.value


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("1,234.5", "1234.5", ""),
        ("12,345,678", "12345678", ""),
        ("-7", "-7", ""),
        ("\u22127", "-7", ""),
        ("- 7", "-7", ""),
        (".5", "0.5", ""),
        ("+3.", "3", ""),
        (" 42 ", "42", ""),
        ("0042", "42", ""),
        ("3/4", "3/4", ""),
        ("-3 / 4", "-3/4", ""),
        ("1.5/2", "3/4", ""),
        ("1 1/2", "3/2", ""),
        (r"\frac{3}{4}", "3/4", ""),
        (r"-\dfrac{3}{4}", "-3/4", ""),
        ("50%", "1/2", ""),
        (r"12.5\%", "1/8", ""),
        ("1.2e-3", "0.0012", ""),
        ("1E5", "100000", ""),
        ("1.2 x 10^-3", "0.0012", ""),
        ("1.2 \u00d7 10^{3}", "1200", ""),
        (r"1.2 \times 10^{-3} \text{ m}", "0.0012", "m"),
        ("2*10**3", "2000", ""),
        ("10^6", "1000000", ""),
        ("$12.50", "12.5", "$"),
        ("\u20ac 3", "3", "\u20ac"),
        ("12 km/h", "12", "km/h"),
        ("12km", "12", "km"),
        ("3 m^2", "3", "m^2"),
        ("20 °C", "20", "°C"),
        (r"90^\circ", "90", "°"),
        (r"5\text{ cm}", "5", "cm"),
        ("5 square metres.", "5", "m^2"),
        ("$1.5M", "1500000", "$"),
        ("5 million dollars", "5000000", "$"),
        ("$5/hour", "5", "$/h"),
        ("\u00bd", "1/2", ""),
        ("10\u00b2", "100", ""),
        ("x = 5", "5", ""),
        ("\u2248 5", "5", ""),
        ("$5$", "5", ""),
        (r"\(5\)", "5", ""),
        (r"\boxed{$5$}", "5", ""),
        (r"\boxed{\frac{1}{2}}", "1/2", ""),
        (r"\frac12", "1/2", ""),
        (r"\frac{1}2", "1/2", ""),
        (r"2\frac{1}{2}", "5/2", ""),
        (r"-2\dfrac12", "-5/2", ""),
        ("12.50.", "25/2", ""),
        ("1,234.5.", "2469/2", ""),
        ("12.5,", "25/2", ""),
        (r"\boxed{12.50}.", "25/2", ""),
        ("**12.50**.", "25/2", ""),
        ("$12.50$.", "25/2", ""),
        ("$12.50.", "25/2", "$"),
    ],
)
def test_a_number_is_read_exactly_and_its_unit_beside_it(text: str, value: str, unit: str) -> None:
    assert read_quantity(text) == Quantity(value=Fraction(value), unit=unit)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "five",
        "about 5",
        "5 or 6",
        "5, 6",
        "3 4",
        "1.2.3",
        "12.5..",
        "12.5...",
        "1/0",
        "1,2345",
        "12,34",
        "inf",
        "NaN",
        "1e401",
        "1e-999999999999",
        "10^1000000",
        "9" * 301,
        "5:30",
        "2024-01-02",
        "5!",
        "The answer is 5",
        "2\u2075",
        "x\u2082",
        "\u0663",
        "$",
        "%",
        "5 apples; 3 pears",
    ],
)
def test_what_is_more_or_less_than_one_number_is_none(text: str) -> None:
    assert read_quantity(text) is None


@given(st.text(max_size=40))
def test_any_text_is_read_without_raising(text: str) -> None:
    read_quantity(text)


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**12), max_value=10**12, places=6))
def test_decimals_are_read_back(number: object) -> None:
    assert read_quantity(f"{number:,f}") == Quantity(value=Fraction(str(number)))


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        ("391", "391.0", True),
        ("0.1", "10%", True),
        ("1/10", "0.1", True),
        ("50%", "50", False),
        ("1000000", "1000001", False),
        ("1000000", "1000002", False),
        ("0", "0.0000001", False),
        ("12 km", "12", True),
        ("12", "12 km", True),
        ("12 km", "12km", True),
        ("12 km", "12 m", False),
        ("1 mW", "1 MW", False),
        ("$5", "5 euros", False),
        ("7", "seven", False),
        ("7", None, False),
        ("not a number", "not a number", False),
    ],
)
def test_equal_numbers_are_right_and_units_are_never_converted(reference: str, answer: str | None, right: bool) -> None:
    assert score(reference, answer) == float(right)


@pytest.mark.parametrize(
    ("answer", "tolerance", "relative", "right"),
    [
        ("1.01", 0.01, 0, True),
        ("0.99", 0.01, 0, True),
        ("1.0100001", 0.01, 0, False),
        ("1.1", 0, 0.1, True),
        ("1.1000001", 0, 0.1, False),
        ("1.1", 0.01, 0.1, True),
        ("1.0000001", 0, 0, False),
        ("1.0000001", 0, 1e-6, True),
        ("2", 0, 1, True),
    ],
)
def test_the_larger_tolerance_counts_and_its_bound_is_within(
    answer: str, tolerance: float, relative: float, right: bool
) -> None:
    assert score("1", answer, tolerance=tolerance, relative=relative) == float(right)


def test_references_that_are_no_numbers_are_told() -> None:
    question = Question(id="q", prompt=("?",), answer="a few")
    problem = Numeric().problem(question)
    assert problem is not None
    assert "expected a number" in problem
    assert "'a few'" in problem


@pytest.mark.parametrize("parameters", [{"tolerance": -1}, {"relative": float("nan")}, {"tolerance": "small"}])
def test_unusable_tolerances_are_told(parameters: dict[str, float]) -> None:
    with pytest.raises(EnvConfigError, match="to be a number from 0"):
        Numeric(**parameters)


def test_a_capital_behind_a_number_is_read_both_ways() -> None:
    assert read_quantity("300K") == Quantity(value=Fraction(300), unit="K", scaled=Fraction(300_000))
    assert read_quantity("5M users") == Quantity(value=Fraction(5_000_000), unit="user")


def test_any_of_several_references_will_do() -> None:
    question = Question(id="q", prompt=("?",), answer="5", alternatives=("6 km", "7"))
    state = EpisodeState(question=question, seed=0)
    assert [Numeric()(question, answer, state)[0].value for answer in ("5", "6", "7", "8")] == [1, 1, 1, 0]
    bad = Question(id="q", prompt=("?",), answer="5", alternatives=("few",))
    assert "'few'" in (Numeric().problem(bad) or "")
