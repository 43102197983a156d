"""A table as LaTeX, ready for \\input: needs the package booktabs and nothing else."""

# ruff: noqa: RUF001 (the letters that papers use are the subject here)
from __future__ import annotations

from lineage.tables.column import EMPTY
from lineage.tables.format.view import CLAIM_HEAD, PRINTED, Section, Sheet, Text

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


def latex(sheet: Sheet) -> str:
    """One float per setting, or more where a page is too short; the notes stand below the last."""
    parts = [(block.title, sections) for block in sheet.blocks for sections in _pages(block.sections)]
    floats = [_float(sheet, title, sections, i) for i, (title, sections) in enumerate(parts)]
    notes = "".join(rf"\par {escape(note)}" + "\n" for note in [*sheet.notes, sheet.source])
    floats[-1] = floats[-1].replace("\\end{table}", f"\\smallskip\\scriptsize\\raggedright\n{notes}\\end{{table}}")
    return f"% {sheet.name}: \\usepackage{{booktabs}}\n" + "\n".join(floats)


def _pages(sections: list[Section]) -> list[list[Section]]:
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
    """Text as LaTeX prints it; a minus sign is as long as a plus sign."""
    return "".join(SPECIAL.get(letter, letter if letter.isascii() else "?") for letter in text)


def _float(sheet: Sheet, title: str, sections: list[Section], i: int) -> str:
    caption = escape(f"{sheet.title}: {sheet.message} {title}.")
    label = f"tab:{sheet.name.replace('_', '-')}" + (f"-{i}" if i else "")
    lines = [r"\begin{table}", r"\centering\scriptsize\setlength{\tabcolsep}{3pt}"]
    lines += [rf"\caption{{{caption}}}", rf"\label{{{label}}}"]
    for section in sections:
        lines += [_tabular(section), r"\par\smallskip"]
    return "\n".join([*lines[:-1], r"\end{table}"]) + "\n"


def _tabular(section: Section) -> str:
    """As in a terminal: what is missing for a claim stands below it, for no line has room for a sentence."""
    claims = section.head == CLAIM_HEAD
    head = PRINTED if claims else section.head
    at = [section.head.index(name) for name in head] if claims else range(len(head))
    body = [[line[i] for i in at] for line in section.body]
    named = len(head) - 1 if claims else 0
    aligned = ["r" if any(line[i].number for line in body) else "l" for i in range(len(head))]
    if any(len(line[named].text) > LONG for line in body):
        aligned[named] = BREAKABLE
    title = rf"\multicolumn{{{len(head)}}}{{l}}{{\emph{{{escape(section.title)}}}}} \\"
    lines = [rf"\begin{{tabular}}{{{''.join(aligned)}}}", r"\toprule", title, r"\midrule"]
    lines += [" & ".join(map(escape, head)) + r" \\", r"\midrule"]
    for line, cells in zip(section.body, body, strict=True):
        lines.append(" & ".join(map(_cell, cells)) + r" \\")
        if claims and line[-1].text:
            said = rf"\quad {escape(line[-1].text)}"
            lines.append(rf"\multicolumn{{{len(head)}}}{{p{{0.9\linewidth}}}}{{{said}}} \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _cell(text: Text) -> str:
    if text.text == EMPTY:
        return "--"
    plain = escape(text.text).replace(r"\_", r"\_\allowbreak{}")  # names of rows are long
    if text.number and plain[0] in "+-":
        plain = f"${plain[0]}$" + plain[1:]
    return rf"\textbf{{{plain}}}" if text.bold else plain
