#!/usr/bin/env python3
"""Puts measured tables and pictures into a page.

usage: accept.py MEASURED PAGE

A block of the page from `<!-- NAME -->` to `<!-- end -->` becomes MEASURED/NAME.md. MEASURED/NAME.svg goes
beside the page, as PAGE-NAME.svg.
"""

import pathlib
import re
import shutil
import sys

measured, page = map(pathlib.Path, sys.argv[1:])
text = page.read_text()
for table in sorted(measured.glob("*.md")):
    block = re.compile(f"(<!-- {table.stem} -->\n).*?(<!-- end -->)", re.DOTALL)
    new = table.read_text().strip() + "\n"
    text, found = block.subn(lambda marks: marks[1] + new + marks[2], text)
    if found != 1:
        sys.exit(f"{page} has {found} blocks for {table.name}")
page.write_text(text)
for picture in measured.glob("*.svg"):
    shutil.copy(picture, page.with_name(f"{page.stem}-{picture.name}"))
