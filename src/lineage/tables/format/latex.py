"""A table as LaTeX, ready for \\input: needs the package booktabs and nothing else."""

# ruff: noqa: RUF001 (the letters that papers use are the subject here)
from __future__ import annotations

from lineage.tables.format.view import PRINTED, CellText, Section, TableView
from lineage.tables.numbers import EMPTY

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "±": r"$\pm$", "×": r"$\times$",
    "−": "$-$", "→": r"$\rightarrow$", "≥": r"$\geq$", "≤": r"$\leq$", "–": "--", "—": "---", "’": "'",
    "λ": r"$\lambda$", "α": r"$\alpha$", "γ": r"$\gamma$", "η": r"$\eta$", "Δ": r"$\Delta$", "†": r"\dag{}",
    "“": "``", "”": "''", "²": "$^2$", "σ": r"$\sigma$", "µ": r"$\mu$", "μ": r"$\mu$",
}  # fmt: skip


LINES = 46  # of a page that a float may fill
LONG = 24  # characters from which a label is broken
BREAKABLE = r"p{0.28\linewidth}"


def render_latex(view: TableView) -> str:
    """Return one float per setting, or more if it is longer than a page; the notes stand below the last."""
    parts = [(block.title, sections) for block in view.blocks for sections in _split_pages(block.sections)]
    floats = [_render_float(view, title, sections, i) for i, (title, sections) in enumerate(parts)]
    notes = "".join(rf"\par {escape(note)}" + "\n" for note in [*view.notes, view.source])
    floats[-1] = floats[-1].replace("\\end{table}", f"\\smallskip\\scriptsize\\raggedright\n{notes}\\end{{table}}")
    return f"% {view.name}: \\usepackage{{booktabs}}\n" + "\n".join(floats)


def _split_pages(sections: list[Section]) -> list[list[Section]]:
    pages: list[list[Section]] = []
    room = 0
    for section in sections:
        lines = len(section.body) + 4
        if lines > room:
            pages.append([])
            room = LINES
        pages[-1].append(section)
        room -= lines
    return pages


def escape(text: str) -> str:
    """Return the text as LaTeX prints it; a minus sign is as long as a plus sign."""
    return "".join(SPECIAL.get(letter, letter if letter.isascii() else "?") for letter in text)


def _render_float(view: TableView, title: str, sections: list[Section], i: int) -> str:
    caption = escape(f"{view.title}: {view.message} {title}.")
    label = f"tab:{view.name.replace('_', '-')}" + (f"-{i}" if i else "")
    lines = [r"\begin{table}", r"\centering\scriptsize\setlength{\tabcolsep}{3pt}"]
    lines += [rf"\caption{{{caption}}}", rf"\label{{{label}}}"]
    for section in sections:
        lines += [_render_tabular(section), r"\par\smallskip"]
    return "\n".join([*lines[:-1], r"\end{table}"]) + "\n"


def _render_tabular(section: Section) -> str:
    """Render a section; the remark of a claim, which is a sentence, stands on a line of its own below it."""
    # 1. The columns: of claims those on paper, in their order.
    claims = section.has_claims
    head = tuple(name for name in PRINTED if name in section.head) if claims else section.head
    order = [section.head.index(name) for name in head] if claims else range(len(head))
    body = [[line[i] for i in order] for line in section.body]
    # 2. Their alignment; a long label may break.
    label = len(head) - 1 if claims else 0
    alignment = ["r" if any(line[i].number for line in body) else "l" for i in range(len(head))]
    if any(len(line[label].text) > LONG for line in body):
        alignment[label] = BREAKABLE
    # 3. Title, head and rows.
    title = rf"\multicolumn{{{len(head)}}}{{l}}{{\emph{{{escape(section.title)}}}}} \\"
    lines = [rf"\begin{{tabular}}{{{''.join(alignment)}}}", r"\toprule", title, r"\midrule"]
    lines += [" & ".join(map(escape, head)) + r" \\", r"\midrule"]
    for line, cells in zip(section.body, body, strict=True):
        lines.append(" & ".join(map(_render_cell, cells)) + r" \\")
        if claims and line[-1].text:
            remark = rf"\quad {escape(line[-1].text)}"
            lines.append(rf"\multicolumn{{{len(head)}}}{{p{{0.9\linewidth}}}}{{{remark}}} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _render_cell(cell: CellText) -> str:
    if cell.text == EMPTY:
        return "--"
    plain = escape(cell.text).replace(r"\_", r"\_\allowbreak{}")  # names of rows are long
    if cell.number and plain[0] in "+-":
        plain = f"${plain[0]}$" + plain[1:]
    return rf"\textbf{{{plain}}}" if cell.bold else plain
