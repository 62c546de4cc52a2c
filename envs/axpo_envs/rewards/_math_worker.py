"""A process that compares mathematical answers for `MathVerify`, one line of JSON in and one out.

Reads `{"reference": str, "answer": str | null, "seconds": float}`; writes `{"parsed": bool, "equal": bool}`: whether
the reference could be read, and whether the answer equals it. The kernel ends the process when a comparison has used
`seconds` of processor time, whatever it is doing: sympy spends minutes in single operations that no exception
interrupts. Time that the process waits for a processor does not count.
"""

from __future__ import annotations

import json
import logging
import resource
import signal
import sys
from typing import Any

from math_verify import parse, verify
from sympy import Expr  # type: ignore[import-untyped]

_MEMORY_BYTES = 4 << 30
_CLOSE = 1.000001e-6


def main() -> None:
    """Serves until the input ends."""
    logging.disable()
    sys.set_int_max_str_digits(10_000)
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whatever the packages load at their first use is no part of the first comparison's time.
    compare("1", "1")
    for line in sys.stdin:
        request = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, request["seconds"])
        reply = compare(request["reference"], request["answer"])
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(reply), flush=True)


def compare(reference: str, answer: str | None) -> dict[str, bool]:
    """Whether the reference can be read as mathematics, and whether the answer equals it."""
    try:
        expected = parse(boxed(reference), parsing_timeout=None)
        given = [] if answer is None else parse(boxed(answer), parsing_timeout=None)
        equal = bool(expected and given and verify(expected, given, timeout_seconds=None))
        equal = equal and not are_far_apart(expected[0], given[0])
    except (Exception, MemoryError, RecursionError):
        # What cannot be read or compared is not equal; math-verify itself catches most of it.
        return {"parsed": False, "equal": False}
    return {"parsed": bool(expected), "equal": equal}


def are_far_apart(one: Any, other: Any) -> bool:
    """Whether two numbers differ by more than a millionth of the larger: math-verify rounds to six decimals, which
    makes all tiny numbers equal."""
    if not all(isinstance(number, Expr) and number.is_number for number in (one, other)):
        return False
    left, right = complex(one.evalf()), complex(other.evalf())
    return abs(left - right) > _CLOSE * max(abs(left), abs(right))


def boxed(text: str) -> str:
    r"""The text as LaTeX that math-verify looks at: in `\boxed{}` unless it has that or dollar signs already."""
    return text if "\\boxed" in text or "$" in text else f"\\boxed{{{text}}}"


if __name__ == "__main__":
    main()
