"""A table of figures, the one form in which benchmarks, scores, reports and result files pass them on."""

from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]


@dataclass
class Table:
    """Rows of figures under named columns.

    Attributes:
        title: What the table shows.
        rows: Each with the key `"name"` and, for the columns it has a figure for, a number or an interval (low, high).
        units: Column → unit, `""` for a pure number; also the columns' order.
        note: How it was measured, in a sentence or two.
    """

    title: str
    rows: list[Row] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def figures(self) -> list[Row]:
        """One `{"name", "value", "unit", "row", "column"}` for each number, for machines; an interval is two."""
        return [
            {"name": f"{row['name']}: {column}", "value": value, "unit": unit, "row": row["name"], "column": column}
            for row in self.rows
            for heading, unit in self.units.items()
            for column, value in _numbers(heading, row.get(heading))
        ]

    def headings(self) -> list[str]:
        """The columns' names with their units, after the one of the names."""
        return ["", *(f"{column} ({unit})" if unit else column for column, unit in self.units.items())]

    def cells(self, row: Row) -> list[str]:
        """A row as text, its name first."""
        return [str(row["name"]), *(format_figure(row.get(column)) for column in self.units)]

    def markdown(self) -> str:
        """The table in Markdown, for model cards and result files."""
        lines = [self.headings(), ["---", *["--:"] * len(self.units)], *map(self.cells, self.rows)]
        return "\n".join(f"| {' | '.join(line)} |" for line in lines) + (f"\n\n{self.note}" if self.note else "") + "\n"


def _numbers(column: str, value: Any) -> list[tuple[str, Any]]:
    """The numbers of a cell with the names of their columns."""
    if isinstance(value, (list, tuple)):
        return [(f"{column}, {end}", bound) for end, bound in zip(("low", "high"), value, strict=True)]
    return [] if value is None else [(column, value)]


def format_figure(value: Any) -> str:
    """A number with three significant digits; a pair (low, high) as a range; nothing as a dash."""
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return " – ".join(map(format_figure, value))
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)
