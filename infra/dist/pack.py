#!/usr/bin/env python3
"""Packs what ships, so that the same programs always give the same bytes.

usage: pack.py NAME FILE=PATH...

NAME ends in .zip or .tar.gz. Each FILE is what is at PATH, under that name, or a folder with every
file below PATH; programs may be run, and nothing says when, by whom or where it was packed.
"""

import gzip
import io
import os
import pathlib
import sys
import tarfile
import zipfile

# The first moment that a zip file can name.
PACKED_AT = (1980, 1, 1, 0, 0, 0)


def mode(path):
    return 0o755 if os.access(path, os.X_OK) else 0o644


def pack_zip(name, files):
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for file, path in files:
            entry = zipfile.ZipInfo(file, PACKED_AT)
            entry.create_system = 3  # Unix: Lambda takes the mode from here.
            entry.external_attr = (0o100000 | mode(path)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes(), compresslevel=9)


def pack_tar(name, files):
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as packed:
        for file, path in files:
            entry = tarfile.TarInfo(file)
            entry.size = path.stat().st_size
            entry.mode = mode(path)
            with open(path, "rb") as content:
                packed.addfile(entry, content)
    pathlib.Path(name).write_bytes(gzip.compress(tar.getvalue(), mtime=0))


def below(name, path):
    path = pathlib.Path(path)
    if not path.is_dir():
        return [(name, path)]
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return [(f"{name}/{file.relative_to(path)}", file) for file in files]


def main():
    name, *files = sys.argv[1:]
    files = [named for file in files for named in below(*file.split("=", 1))]
    (pack_zip if name.endswith(".zip") else pack_tar)(name, files)


main()
