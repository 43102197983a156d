"""A table as LaTeX, ready for \\input: needs the package booktabs and nothing else."""

# ruff: noqa: RUF001 (the letters that papers use are the subject here)
from __future__ import annotations

from lineage.tables.sheet import EMPTY, Block, Section, Sheet, Text

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"$<$", ">": r"$>$", "±": r"$\pm$", "×": r"$\times$",
    "−": "$-$", "→": r"$\rightarrow$", "≥": r"$\geq$", "≤": r"$\leq$", "–": "--", "—": "---", "’": "'",
    "λ": r"$\lambda$", "α": r"$\alpha$", "γ": r"$\gamma$", "η": r"$\eta$", "Δ": r"$\Delta$", "†": r"\dag{}",
    "“": "``", "”": "''", "²": "$^2$", "σ": r"$\sigma$", "µ": r"$\mu$", "μ": r"$\mu$",
}  # fmt: skip


def latex(sheet: Sheet) -> str:
    """One float per setting; the notes stand below the last."""
    floats = [_float(sheet, block, i) for i, block in enumerate(sheet.blocks)]
    notes = "".join(rf"\par {escape(note)}" + "\n" for note in [*sheet.notes, sheet.source])
    floats[-1] = floats[-1].replace("\\end{table}", f"\\smallskip\\footnotesize\\raggedright\n{notes}\\end{{table}}")
    return f"% {sheet.name}: \\usepackage{{booktabs}}\n" + "\n".join(floats)


def escape(text: str) -> str:
    """Text as LaTeX prints it; a minus sign is as long as a plus sign."""
    return "".join(SPECIAL.get(letter, letter if letter.isascii() else "?") for letter in text)


def _float(sheet: Sheet, block: Block, i: int) -> str:
    caption = escape(f"{sheet.title}: {sheet.message} {block.title}.")
    label = f"tab:{sheet.name.replace('_', '-')}" + (f"-{i}" if i else "")
    lines = [r"\begin{table}", r"\centering\footnotesize\setlength{\tabcolsep}{4pt}"]
    lines += [rf"\caption{{{caption}}}", rf"\label{{{label}}}"]
    for section in block.sections:
        lines += [_tabular(section), r"\par\smallskip"]
    return "\n".join([*lines[:-1], r"\end{table}"]) + "\n"


def _tabular(section: Section) -> str:
    aligned = ["r" if any(line[i].number for line in section.body) else "l" for i in range(len(section.head))]
    if not section.body or not section.body[0][-1].number:
        aligned[-1] = r"p{0.22\linewidth}"  # the last column of claims is a sentence
    width = len(section.head)
    lines = [rf"\begin{{tabular}}{{{''.join(aligned)}}}", r"\toprule"]
    lines += [rf"\multicolumn{{{width}}}{{l}}{{\emph{{{escape(section.title)}}}}} \\", r"\midrule"]
    lines += [" & ".join(map(escape, section.head)) + r" \\", r"\midrule"]
    lines += [" & ".join(map(_cell, line)) + r" \\" for line in section.body]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _cell(text: Text) -> str:
    if text.text == EMPTY:
        return "--"
    plain = escape(text.text)
    if text.number and plain[0] in "+-":
        plain = f"${plain[0]}$" + plain[1:]
    return rf"\textbf{{{plain}}}" if text.bold else plain
