"""The architecture report as a PDF: `python -m docs.build` makes docs/report.pdf from the text beside it."""

from pathlib import Path

import typst

FOLDER = Path(__file__).resolve().parent
SOURCE = FOLDER / "report.typ"
REPORT = FOLDER / "report.pdf"


def build(target: Path = REPORT) -> Path:
    """Compiles the report with the fonts that typst carries, and no others; typst.TypstError in bad text."""
    typst.compile(SOURCE, output=target, root=FOLDER, ignore_system_fonts=True)
    return target


if __name__ == "__main__":
    print(build())
