"""Defines `query_similarity`, how like a reference a search query is: what MMSearch scores the stage requery by.

It is the mean of BLEU-1 (Papineni et al., 2002) and of ROUGE-L's F1 (Lin, 2004), as the packages that MMSearch uses
compute them: words are parted by white space and differ by case; ROUGE-L counts each distinct word once, parts texts
at full stops, and unites what the common subsequences of their sentences hold.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import product


def query_similarity(reference: str, query: str) -> float:
    """Mean of BLEU-1 and ROUGE-L's F1, 0 to 1.

    Worked value: "a b" against "a b c d" has precision 1, brevity penalty exp(1 - 4/2), recall 2/4 and F1 2/3.
    """
    return (bleu_1(reference, query) + rouge_l(reference, query)) / 2


def bleu_1(reference: str, query: str) -> float:
    """Share of the query's words that the reference has as often, less where the query is shorter."""
    expected, given = reference.split(), query.split()
    shared = (Counter(expected) & Counter(given)).total()
    if not shared:
        return 0.0
    brevity = 1.0 if len(given) > len(expected) else math.exp(1 - len(expected) / len(given))
    return brevity * shared / len(given)


def rouge_l(reference: str, query: str) -> float:
    """F1 of the distinct words in the longest common subsequences of the texts' sentences."""
    expected, given = _sentences(reference), _sentences(query)
    shared = {word for one, other in product(expected, given) for word in _common(one, other)}
    words, said = ({word for sentence in text for word in sentence} for text in (expected, given))
    return 2 * len(shared) / (len(words) + len(said)) if shared else 0.0


def _sentences(text: str) -> list[list[str]]:
    return [sentence.split() for sentence in text.split(".")]


def _common(one: Sequence[str], other: Sequence[str]) -> list[str]:
    """A longest common subsequence; of several the one that leaves out words of `other` first, from the end."""
    lengths = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, word in enumerate(one):
        for j, said in enumerate(other):
            lengths[i + 1][j + 1] = lengths[i][j] + 1 if word == said else max(lengths[i][j + 1], lengths[i + 1][j])
    found, i, j = [], len(one), len(other)
    while i and j:
        if one[i - 1] == other[j - 1]:
            found.append(one[i - 1])
            i, j = i - 1, j - 1
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found
