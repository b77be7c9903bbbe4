"""The pronunciations of a vocabulary as one tree of phones, in flat arrays so that many places are followed at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROOT = 0


@dataclass(frozen=True)
class PhoneTree:
    """A prefix tree; node `ROOT` is its root, and the children of a node have consecutive indices.

    Attributes:
        labels: The phone that leads into each node, [N]; of the root the number given for it.
        first_child: Index of each node's first child, [N].
        num_children: How many there are, [N].
        first_word: Where in `words` the words that end in each node begin, [N].
        num_words: How many end there, [N].
        words: Indices of words, grouped by node.
        best: The highest score of the words at or below each node, [N].
    """

    labels: np.ndarray
    first_child: np.ndarray
    num_children: np.ndarray
    first_word: np.ndarray
    num_words: np.ndarray
    words: np.ndarray
    best: np.ndarray


def phone_tree(pronunciations: Sequence[tuple[int, Sequence[int]]], scores: np.ndarray, root_label: int) -> PhoneTree:
    """The tree of pairs of a word's index and one way to say it.

    Args:
        pronunciations: (word, its phones, one at least); a word may come several times, with different phones.
        scores: Of each word, [V].
        root_label: Stands at the root.
    """
    lengths = np.array([len(phones) for _, phones in pronunciations])
    table = np.zeros((len(lengths), lengths.max()), np.uint8)
    table[np.arange(table.shape[1]) < lengths[:, None]] = [p + 1 for _, phones in pronunciations for p in phones]
    order = np.argsort(table.view(f"S{table.shape[1]}")[:, 0], kind="stable")
    table, lengths = table[order], lengths[order]
    words = np.array([word for word, _ in pronunciations])[order]
    nodes = _nodes(table)
    depths = np.arange(table.shape[1]) < lengths[:, None]
    count = nodes.max() + 1
    labels, parents, best = np.full(count, root_label), np.zeros(count, int), np.full(count, -np.inf)
    labels[nodes[depths]] = table[depths].astype(int) - 1
    parents[nodes[depths]] = np.pad(nodes[:, :-1], ((0, 0), (1, 0)))[depths]
    np.maximum.at(best, nodes[depths], np.broadcast_to(scores[words][:, None], depths.shape)[depths])
    num_children = np.bincount(parents[1:], minlength=count)
    ends = nodes[np.arange(len(nodes)), lengths - 1]
    num_words = np.bincount(ends, minlength=count)
    return PhoneTree(
        labels,
        1 + np.cumsum(num_children) - num_children,
        num_children,
        np.cumsum(num_words) - num_words,
        num_words,
        words[np.argsort(ends, kind="stable")],
        best,
    )


def _nodes(table: np.ndarray) -> np.ndarray:
    """The node of every prefix of sorted rows [R, L], numbered from 1 by length, then in order; 0 behind the end."""
    differs = np.ones_like(table, bool)
    differs[1:] = table[1:] != table[:-1]
    new = np.logical_or.accumulate(differs, axis=1) & (table > 0)
    nodes = np.zeros(table.shape, int)
    nodes.T[new.T] = np.arange(1, new.sum() + 1)
    return np.where(table > 0, np.maximum.accumulate(nodes, axis=0), 0)
