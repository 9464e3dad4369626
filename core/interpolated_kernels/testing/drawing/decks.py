"""A shuffled deck of choices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

import numpy as np

Card = TypeVar("Card")


class Deck(Generic[Card]):
    """Deals every card once, in random order, before it deals any again.

    Examples
    --------
    >>> deck = Deck(["a", "b", "c"], np.random.default_rng(0))
    >>> sorted(deck.deal() for _ in range(6))
    ['a', 'a', 'b', 'b', 'c', 'c']
    """

    def __init__(self, cards: Sequence[Card], rng: np.random.Generator) -> None:
        self._cards, self._rng = list(cards), rng
        self._left: list[Card] = []

    def deal(self) -> Card:
        """Return the next card."""
        if not self._left:
            self._left = [self._cards[index] for index in self._rng.permutation(len(self._cards))]
        return self._left.pop()
