"""Rewrite the key tables of docs/configuration.md: `python -m ferrite.io.config docs/configuration.md`."""

import sys
from pathlib import Path

from ferrite.io.config.render import DOC_BEGIN, DOC_END, render_key_tables


def main(doc: Path) -> None:
    """Replace what stands between the two marks."""
    before, begin, rest = doc.read_text().partition(DOC_BEGIN)
    _, end, after = rest.partition(DOC_END)
    if not begin or not end:
        sys.exit(f"{doc} lacks the line {(DOC_BEGIN if not begin else DOC_END).strip()!r}")
    doc.write_text(before + begin + render_key_tables() + end + after)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
