"""An excerpt as aligned text for a terminal."""

from bias_jax.report.account import Excerpt
from bias_jax.report.words import cell_text, one_line

LONGEST = 40  # characters of a cell


def aligned(excerpt: Excerpt) -> str:
    """Title, names of columns and rows: text to the left, numbers to the right."""
    table = [[column.name for column in excerpt.columns]]
    table += [
        [one_line(cell_text(cell, column.form)) for cell, column in zip(row, excerpt.columns, strict=True)]
        for row in excerpt.rows
    ]
    table = [[cell if len(cell) <= LONGEST else cell[: LONGEST - 3] + "..." for cell in row] for row in table]
    widths = [max(map(len, cells)) for cells in zip(*table, strict=True)]
    texts = [column.form == "text" for column in excerpt.columns]
    lines = [
        "  ".join(
            cell.ljust(width) if text else cell.rjust(width)
            for cell, width, text in zip(row, widths, texts, strict=True)
        ).rstrip()
        for row in table
    ]
    return "\n".join([one_line(excerpt.title), *(f"  {line}" for line in lines)])
