import itertools
import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from axpo_envs import parsing
from axpo_envs.examples import BAD_TURNS, call_turn
from axpo_envs.parsing import AnswerFormat, parse_turn
from axpo_envs.turn_format import _call_extent as call_extent
from axpo_envs.types import CallOutcome, ToolCall

CALL = '<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>'


def test_a_json_call_is_read_with_its_span() -> None:
    text = f"Let me see. {CALL} Now."
    (call,) = parse_turn(text).calls
    assert call.call == ToolCall(name="f", arguments='{"a": 1}')
    assert call.arguments == {"a": 1}
    assert call.defect is None
    assert not call.untyped
    assert text[call.span.start : call.span.stop] == CALL


def test_arguments_in_a_json_string_are_read() -> None:
    (call,) = parse_turn('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>').calls
    assert call.arguments == {"a": 1}
    assert call.call.arguments == '{"a": 1}'


def test_missing_arguments_are_none_at_all() -> None:
    (call,) = parse_turn('<tool_call>{"name": "f"}</tool_call>').calls
    assert call.defect is None
    assert call.arguments == {}


def test_a_function_call_is_read_as_bare_text() -> None:
    text = (
        "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n"
        "<parameter=code>\nif x:\n    y = '<b>'\n</parameter>\n</function>\n</tool_call>"
    )
    (call,) = parse_turn(text).calls
    assert call.call.name == "f"
    assert call.arguments == {"a": "1", "code": "if x:\n    y = '<b>'"}
    assert call.untyped


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "not valid JSON"),
        ("{'name': 'f'}", "not valid JSON"),
        ('{"name": "f", "arguments": {}} {"name": "f", "arguments": {}}', "Extra data"),
        ("null", "JSON null"),
        ('[{"name": "f", "arguments": {}}]', "JSON array"),
        ('"f"', "JSON string"),
        ("7", "JSON number"),
        ("true", "JSON boolean"),
        ('{"arguments": {}}', "no name"),
        ('{"name": "", "arguments": {}}', "no name"),
        ('{"name": 3, "arguments": {}}', "no string"),
        ('{"name": "f", "parameters": {}}', "no arguments, only parameters"),
        ('{"name": "f", "arguments": [1]}', "JSON array, not an object"),
        ('{"name": "f", "arguments": null}', "JSON null, not an object"),
        ('{"name": "f", "arguments": "a"}', "not valid JSON"),
        ('{"name": "f", "arguments": {"a": NaN}}', "NaN"),
        ('{"name": "f", "arguments": {"a": -Infinity}}', "Infinity"),
        ('{"name": "f", "arguments": {"a": 1e999}}', "too large"),
        ('{"name": "f", "arguments": {"a": ' + "1" * 5000 + "}}", "too large"),
        ('{"name": "f", "arguments": {"a": "\\ud83d"}}', "surrogate"),
        ('{"name": "f", "arguments": {"a": "\ud83d"}}', "surrogate"),
        ('{"name": "f", "arguments": ' + '{"a": ' * 64 + "1" + "}" * 65, "nested"),
        ("[" * 100_000, "nested"),
        ("<function=f><parameter=a>1</function>", "which is no parameter"),
        ("<function=f>text</function>", "which is no parameter"),
        ("<function=f><parameter=a>1</parameter>", "not valid JSON"),
    ],
)
def test_a_malformed_call_says_what_is_wrong_and_what_was_expected(body: str, problem: str) -> None:
    (call,) = parse_turn(f"<tool_call>{body}</tool_call>").calls
    assert call.defect is CallOutcome.MALFORMED
    assert call.call == ToolCall(name="", arguments=body)
    assert problem in call.problem
    assert "expected" in call.problem


def test_a_call_never_closed_is_unclosed_even_if_it_reads_well() -> None:
    (call,) = parse_turn('<tool_call>{"name": "f", "arguments": {}}').calls
    assert call.defect is CallOutcome.UNCLOSED
    assert call.call == ToolCall(name="", arguments='{"name": "f", "arguments": {}}')


def test_a_forgotten_close_spares_the_next_call() -> None:
    first, second = parse_turn(f'<tool_call>{{"name": "g"}} {CALL}').calls
    assert first.defect is CallOutcome.UNCLOSED
    assert second.call.name == "f"
    assert second.defect is None


TAGS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<answer>", "</answer>", "<tool_response>", "\\boxed{"]


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("before", ["", "I look first.\n", "<think>a</think>"])
def test_any_tag_within_an_argument_is_part_of_it(tag: str, before: str) -> None:
    (call,) = parse_turn(before + call_turn("f", {"a": f"quote {tag} here", tag: [tag]})).calls
    assert call.arguments == {"a": f"quote {tag} here", tag: [tag]}
    assert call.defect is None


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("before", ["", "I look first.\n", "<think>a</think>"])
def test_any_tag_within_a_parameter_is_part_of_it(tag: str, before: str) -> None:
    call = f"<tool_call>\n<function=f>\n<parameter=a>\nquote {tag} here\n</parameter>\n</function>\n</tool_call>"
    first, second = parse_turn(before + call + CALL).calls
    assert first.arguments == {"a": f"quote {tag} here"}
    assert second.arguments == {"a": 1}


def test_the_tags_of_a_call_may_be_escaped() -> None:
    quoted = '<tool_call>{"name": "f", "arguments": {"a": "\\u003ctool_call>\\u003c/tool_call>"}}</tool_call>'
    (call,) = parse_turn(quoted).calls
    assert call.arguments == {"a": "<tool_call></tool_call>"}


def test_a_malformed_call_that_quotes_tags_is_one_malformed_call() -> None:
    text = '<tool_call>{"name": "f", "arguments": {"a": "</think> and </tool_call>"}</tool_call>'
    (call,) = parse_turn(text).calls
    assert call.defect is CallOutcome.MALFORMED
    assert call.span == (0, len(text))


def test_a_call_that_ends_within_a_string_says_so() -> None:
    (call,) = parse_turn('<tool_call>{"name": "f", "arguments": {"a": "split at </think> ple').calls
    assert call.defect is CallOutcome.UNCLOSED
    assert "within a JSON string" in call.problem


def test_a_tag_that_opened_thinking_mentions_is_text() -> None:
    turn = parse_turn(f"I could use <tool_call> here</think>so {CALL}")
    assert turn.thinking == "I could use <tool_call> here"
    assert [call.defect for call in turn.calls] == [None]


def test_a_quotation_mark_never_closed_spares_the_next_call() -> None:
    first, second = parse_turn(f'<tool_call>{{"name": "g</tool_call> {CALL}').calls
    assert first.defect is CallOutcome.MALFORMED
    assert second.defect is None


def test_several_calls_keep_their_order() -> None:
    text = call_turn("f", {}) + " then " + call_turn("g", {"x": None})
    assert [call.call.name for call in parse_turn(text).calls] == ["f", "g"]


@pytest.mark.parametrize(
    ("text", "thinking"),
    [
        (f"<think>I could {CALL}</think>done", f"I could {CALL}"),
        (f"I could {CALL}</think>done", f"I could {CALL}"),
        (f"Well <think>or {CALL} <answer>5</answer>", f"or {CALL} <answer>5</answer>"),
        (f"<think>a<think>{CALL}</think>b", f"a<think>{CALL}"),
    ],
)
def test_tags_within_thinking_are_text(text: str, thinking: str) -> None:
    turn = parse_turn(text)
    assert turn.thinking == thinking
    assert turn.calls == ()
    assert turn.answer is None


def test_thinking_may_be_interleaved_with_calls() -> None:
    turn = parse_turn(f"<think>a</think>{CALL}<think>b</think><answer>5</answer>")
    assert turn.thinking == "a\nb"
    assert [(span.start, span.stop) for span in turn.thinking_spans] == [(0, 16), (16 + len(CALL), 32 + len(CALL))]
    assert len(turn.calls) == 1
    assert turn.answer == "5"


def test_a_turn_without_tags_has_no_thinking_no_call_and_no_answer() -> None:
    turn = parse_turn("The answer is </tool_call> 5 </answer>.")
    assert (turn.thinking, turn.thinking_spans, turn.calls, turn.answer) == (None, (), (), None)


@pytest.mark.parametrize(
    ("text", "tag", "boxed", "either"),
    [
        ("<answer> 5\n</answer>", "5", None, "5"),
        ("<answer>4</answer> no: <answer>5</answer>", "5", None, "5"),
        ("<answer>4 <answer>5</answer>", "5", None, "5"),
        ("<answer></answer>", "", None, ""),
        ("<answer>5</answer> or <answer>6", "5", None, "5"),
        ("a</answer><answer>5</answer>b</answer>", "5", None, "5"),
        ("<answer>5", None, None, None),
        (f"<answer>5 {CALL}", None, None, None),
        (f"<answer>5 {CALL}</answer>", f"5 {CALL}", None, f"5 {CALL}"),
        ("<answer>the <think> tag</answer>", "the <think> tag", None, "the <think> tag"),
        ("<answer>the </think> tag</answer>", "the </think> tag", None, "the </think> tag"),
        ("<answer>the <tool_call> tag</answer>", "the <tool_call> tag", None, "the <tool_call> tag"),
        ("<think>a</think><answer>the </think> tag</answer>", "the </think> tag", None, "the </think> tag"),
        ("<think>is it <answer>5</answer>?</think><answer>6</answer>", "6", None, "6"),
        ("is it <answer>5</answer>?</think><answer>6</answer>", "6", None, "6"),
        ("<think>is it <answer>5</answer>?</think>", None, None, None),
        ("is it <answer>5</answer>?</think>", None, None, None),
        ("\\boxed{the <think> tag}", None, "the <think> tag", "the <think> tag"),
        ("\\boxed{the </think> tag}", None, "the </think> tag", "the </think> tag"),
        ("\\boxed{<answer>5</answer>}", "5", "<answer>5</answer>", "5"),
        ("<answer>5 <think>6</answer></think>7</answer>", None, None, None),
        ("so \\boxed{4} or \\boxed{5}", None, "5", "5"),
        ("\\boxed{\\frac{1}{2}}", None, "\\frac{1}{2}", "\\frac{1}{2}"),
        ("\\boxed{\\{1, 2\\}}", None, "\\{1, 2\\}", "\\{1, 2\\}"),
        ("{ \\boxed{5}", None, "5", "5"),
        ("\\boxed{5", None, None, None),
        ("\\boxed{4} <answer>5</answer> \\boxed{6}", "5", "6", "5"),
        ("<answer>\\boxed{5}</answer>", "5", "5", "5"),
        ("<answer>about \\boxed{5} m</answer>", "about \\boxed{5} m", "5", "about \\boxed{5} m"),
        ("<think>\\boxed{4}</think>", None, None, None),
        (call_turn("f", {"a": "\\boxed{4}<answer>4</answer>"}), None, None, None),
    ],
)
def test_answers_stand_where_the_format_says(text: str, tag: str | None, boxed: str | None, either: str | None) -> None:
    assert parse_turn(text, answers=AnswerFormat.TAG).answer == tag
    assert parse_turn(text, answers=AnswerFormat.BOXED).answer == boxed
    assert parse_turn(text).answer == either


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>\\boxed{5}</answer>", "5"),
        ("<answer>about \\boxed{ \\frac{1}{2} } m</answer>", "\\frac{1}{2}"),
        ("<answer>\\boxed{4} or \\boxed{5}</answer>", "5"),
        ("<answer>5</answer>", None),
        ("\\boxed{5}", None),
        ("<answer>\\boxed{5}</answer><answer>6</answer>", None),
        ("<think><answer>\\boxed{5}</answer></think>", None),
        ("<answer>\\boxed{5</answer>}", None),
    ],
)
def test_an_answer_may_have_to_stand_in_a_box_between_the_tags(text: str, answer: str | None) -> None:
    assert parse_turn(text, answers=AnswerFormat.BOXED_TAG).answer == answer


def test_calls_and_an_answer_are_both_returned() -> None:
    turn = parse_turn(f"{CALL}<answer>5</answer>")
    assert len(turn.calls) == 1
    assert turn.answer == "5"


FRAGMENTS = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "<answer>",
        "</answer>",
        "\\boxed{",
        "{",
        "}",
        CALL,
        *BAD_TURNS,
    ]
)
TEXTS = st.lists(FRAGMENTS | st.text(st.characters(), max_size=8), max_size=12).map("".join)


@given(TEXTS, st.sampled_from(AnswerFormat))
def test_any_text_is_read_without_raising_and_its_spans_are_apart(text: str, answers: AnswerFormat) -> None:
    turn = parse_turn(text, answers=answers)
    spans = sorted([*turn.thinking_spans, *(call.span for call in turn.calls)])
    assert all(0 <= span.start < span.stop <= len(text) for span in spans)
    assert all(one.stop <= other.start for one, other in itertools.pairwise(spans))
    for call in turn.calls:
        assert text[call.span.start :].startswith("<tool_call>")
        assert (call.defect is None) == (call.problem == "")


PLAIN = st.lists(st.sampled_from(TAGS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=4).map(
    "".join
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3),
    max_leaves=6,
)


@given(PLAIN.filter(bool), st.dictionaries(PLAIN, JSON, max_size=4), st.booleans(), st.booleans())
def test_what_is_written_as_a_call_is_read_as_that_call(
    name: str, arguments: dict[str, object], escape: bool, thinks: bool
) -> None:
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=escape)
    thinking = "<think>x</think>" if thinks else ""
    (call,) = parse_turn(f"{thinking}<tool_call>\n{body}\n</tool_call>").calls
    assert call.defect is None
    assert call.call.name == name
    assert call.arguments == arguments
    assert json.loads(call.call.arguments) == arguments


WORDS = st.lists(
    st.sampled_from(TAGS) | st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=6), max_size=4
).map("".join)


@given(st.dictionaries(st.from_regex(r"\A[a-z_]{1,8}\Z"), WORDS, max_size=4))
def test_what_is_written_as_a_function_call_is_read_as_that_call(arguments: dict[str, str]) -> None:
    parameters = "".join(f"<parameter={name}>\n{value}\n</parameter>\n" for name, value in arguments.items())
    (call,) = parse_turn(f"<tool_call>\n<function=f>\n{parameters}</function>\n</tool_call>").calls
    assert call.arguments == arguments


class CountedPattern:
    """A pattern that counts the characters it looks at."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.looked_at = 0

    def match(self, text: str, position: int = 0) -> re.Match[str] | None:
        match = self.pattern.match(text, position)
        # Of those that are tried, only a string that is never closed is looked for to the end in vain.
        is_string = self.pattern.pattern.startswith('"') and text.startswith('"', position)
        vain = len(text) - position if is_string else 1
        self.looked_at += vain if match is None else match.end() - position + 1
        return match

    def search(self, text: str, position: int = 0) -> re.Match[str] | None:
        match = self.pattern.search(text, position)
        self.looked_at += (len(text) if match is None else match.end()) - position
        return match

    def fullmatch(self, text: str) -> re.Match[str] | None:
        self.looked_at += len(text)
        return self.pattern.fullmatch(text)

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        self.looked_at += len(text)
        return self.pattern.finditer(text)


def looked_at(text: str) -> int:
    """Characters that all patterns look at while a turn is read."""
    with pytest.MonkeyPatch.context() as patch:
        counted = []
        for module in (parsing, call_extent):
            for name, value in list(vars(module).items()):
                if isinstance(value, re.Pattern):
                    counted.append(CountedPattern(value))
                    patch.setattr(module, name, counted[-1])
        parsing.parse_turn(text)
    return sum(pattern.looked_at for pattern in counted)


PIECES = st.sampled_from(
    [
        *TAGS,
        '"',
        "\\",
        '\\"',
        '<tool_call>{"',
        '<tool_call>{\\"',
        "<function=f>",
        "<parameter=a>",
        "</parameter>",
        "</function>",
        "{",
        "}",
        " ",
        "x",
    ]
)


@settings(max_examples=300)
@given(st.lists(PIECES, min_size=1, max_size=5).map("".join), st.lists(PIECES, max_size=4).map("".join))
@example('<tool_call>{"a', "")
@example('<tool_call>{\\"', "")
@example("<tool_call><function=f><parameter=a>", "</parameter><parameter=b>")
@example("<tool_call><function=f><parameter=a></parameter>", "")
@example("\\boxed{", "<answer>" + "}" * 400)
@example("<answer>", "")
def test_reading_takes_work_in_proportion_to_the_length(repeated: str, end: str) -> None:
    short, long = repeated * 200 + end, repeated * 400 + end
    assert looked_at(long) <= 2.2 * looked_at(short) + 100
    assert looked_at(long) <= 20 * len(long) + 100


@pytest.mark.parametrize(
    ("body", "form"),
    [
        ("<function=f><parameter=a></function>", "<function=NAME><parameter=NAME>value</parameter></function>"),
        ("<function=f>", "<function=NAME><parameter=NAME>value</parameter></function>"),
        ('{"name": "f", "args": {}}', '{"name": "...", "arguments": {...}}'),
    ],
)
def test_a_malformed_call_is_told_the_form_that_it_began(body: str, form: str) -> None:
    (call,) = parse_turn(f"<tool_call>{body}</tool_call>").calls
    assert call.defect is CallOutcome.MALFORMED
    assert f"expected {form} between the tool_call tags" in call.problem
