"""Words to listen for: a bonus for every label of a phrase while it is being said, taken back if it is not finished.

An automaton over the labels of all phrases (Aho, Corasick 1975): each state is the longest beginning of a phrase that
was just said, and what has been given for it is its length times the bonus.
"""

from collections import deque
from collections.abc import Iterable, Sequence


class HotWords:
    """The phrases.

    Args:
        phrases: Labels of each.
        bonus: Added to the log-probability of a hypothesis for every label.
    """

    START = 0

    def __init__(self, phrases: Iterable[Sequence[int]], bonus: float) -> None:
        self._bonus = bonus
        self._next: list[dict[int, int]] = [{}]
        self._length, self._ends, self._shorter = [0], [False], [self.START]
        for phrase in phrases:
            self._add(phrase)
        self._link()

    def advance(self, state: int, label: int) -> tuple[int, float]:
        """The state after `label`, and what to add to the score; a finished phrase keeps its bonus."""
        given = self._length[state]
        while label not in self._next[state] and state != self.START:
            state = self._shorter[state]
        state = self._next[state].get(label, self.START)
        gain = self._bonus * (self._length[state] - given)
        return (self.START if self._ends[state] else state), gain

    def owed(self, state: int) -> float:
        """What a hypothesis in `state` has been given for a phrase it has not finished."""
        return self._bonus * self._length[state]

    def _add(self, phrase: Sequence[int]) -> None:
        state = self.START
        for label in phrase:
            if label not in self._next[state]:
                self._next[state][label] = len(self._next)
                self._next.append({})
                self._length.append(self._length[state] + 1)
                self._ends.append(False)
                self._shorter.append(self.START)
            state = self._next[state][label]
        self._ends[state] = state != self.START

    def _link(self) -> None:
        """For every state the longest shorter beginning that it ends with, breadth first."""
        waiting = deque(self._next[self.START].values())
        while waiting:
            state = waiting.popleft()
            for label, after in self._next[state].items():
                shorter = self._shorter[state]
                while label not in self._next[shorter] and shorter != self.START:
                    shorter = self._shorter[shorter]
                self._shorter[after] = self._next[shorter].get(label, self.START)
                waiting.append(after)
