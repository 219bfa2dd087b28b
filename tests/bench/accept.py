#!/usr/bin/env python3
"""Puts measured tables and pictures into pages.

usage: accept.py MEASURED PAGE [PAGE...]

A block of a page from `<!-- NAME -->` to `<!-- end -->` becomes MEASURED/NAME.md. MEASURED/NAME.svg goes
beside the first page, as PAGE-NAME.svg.
"""

import pathlib
import re
import shutil
import sys

measured, *pages = map(pathlib.Path, sys.argv[1:])
texts = {page: page.read_text() for page in pages}
for table in sorted(measured.glob("*.md")):
    block = re.compile(f"(<!-- {table.stem} -->\n).*?(<!-- end -->)", re.DOTALL)
    new = table.read_text().strip() + "\n"
    found = 0
    for page, text in texts.items():
        texts[page], here = block.subn(lambda marks: marks[1] + new + marks[2], text)
        found += here
    if found != 1:
        sys.exit(f"the pages have {found} blocks for {table.name}")
for page, text in texts.items():
    page.write_text(text)
for picture in measured.glob("*.svg"):
    shutil.copy(picture, pages[0].with_name(f"{pages[0].stem}-{picture.name}"))
