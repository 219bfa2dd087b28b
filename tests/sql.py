"""Runs every block of SQL of docs/sql.md with DuckDB, and compares with what `list --output json` printed.

usage: tests/sql.py ARCHIVE LIST_JSON
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import duckdb

archive, listing = sys.argv[1], json.loads(Path(sys.argv[2]).read_text())
blocks = re.findall(r"```sql\n(.*?)```", Path("docs/sql.md").read_text(), re.S)
database = duckdb.connect()
database.execute(Path("infra/sql/duckdb.sql").read_text())


def rows(sql):
    found = database.execute(sql)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row)) for row in found.fetchall()]


def same(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found}, and the list has {expected}")
    print(f"{what}: {found}")


variable, by_region, by_kernel, no_login, no_console, panics = blocks
database.execute(variable)
database.execute(f"SET VARIABLE archive = '{archive}'")
stored = [row for row in listing if row["outcome"] == "stored"]
same("rows", rows("SELECT count(*) AS n FROM records(getvariable('archive'))")[0]["n"], len(listing))
same("captures by region", sum(row["captures"] for row in rows(by_region)), len(stored))
same(
    "endings by kernel",
    Counter({(row["kernel"], row["ending"]): row["boots"] for row in rows(by_kernel)}),
    Counter((row["kernel"], row["ending"]) for row in stored if "kernel" in row),
)
reached = {row["instance_id"] for row in stored if row["reached_login"]}
same(
    "never at a login",
    sorted(row["instance_id"] for row in rows(no_login)),
    sorted({row["instance_id"] for row in stored} - reached),
)
same(
    "without a console",
    sorted((row["instance_id"], row["reason"]) for row in rows(no_console)),
    sorted((row["instance_id"], row["reason"]) for row in listing if row["outcome"] == "no_console"),
)
same(
    "panics",
    sorted(row["key"] for row in rows(panics)),
    sorted(row["key"] for row in stored if row["ending"] == "panic"),
)
days = rows("SELECT min(dt)::VARCHAR AS dt FROM records(getvariable('archive'))")[0]["dt"]
path = rows(f"SELECT count(*) AS n FROM records(getvariable('archive'), days := '{days}')")[0]["n"]
every = rows(f"SELECT count(*) AS n FROM records(getvariable('archive')) WHERE dt = '{days}'")[0]["n"]
same("a day by its path, as by a condition", path, every)
