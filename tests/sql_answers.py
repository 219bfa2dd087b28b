"""What the answers of engines of SQL must be, by what `list --output json` printed."""

import re
import sys
from collections import Counter
from pathlib import Path


def questions():
    """The blocks of SQL of docs/sql.md: the variable that has the archive, then the questions."""
    variable, *blocks = re.findall(r"```sql\n(.*?)```", Path("docs/sql.md").read_text(), re.S)
    return variable, blocks


def same(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found}, and the list has {expected}")
    print(f"{what}: {found}")


def check(engine, rows, listing, every, captures, endings, no_login, no_console, panics, signatures):
    """Compares the answers with the list. `rows` runs a question: its rows, as dictionaries."""
    stored = [row for row in listing if row["outcome"] == "stored"]
    same(f"{engine}: rows", rows(every)[0]["n"], len(listing))
    same(
        f"{engine}: captures by day and region",
        Counter({(str(row["dt"]), row["region_id"]): row["captures"] for row in rows(captures)}),
        Counter((row["captured_at"][:10], row["region_id"]) for row in stored),
    )
    same(
        f"{engine}: endings by kernel",
        Counter({(row["kernel"], row["ending"]): row["boots"] for row in rows(endings)}),
        Counter((row["kernel"], row["ending"]) for row in stored if "kernel" in row),
    )
    reached = {row["instance_id"] for row in stored if row["reached_login"]}
    same(
        f"{engine}: never at a login",
        sorted(row["instance_id"] for row in rows(no_login)),
        sorted({row["instance_id"] for row in stored} - reached),
    )
    same(
        f"{engine}: without a console",
        sorted((row["instance_id"], row["reason"]) for row in rows(no_console)),
        sorted((row["instance_id"], row["reason"]) for row in listing if row["outcome"] == "no_console"),
    )
    same(
        f"{engine}: panics",
        sorted(row["key"] for row in rows(panics)),
        sorted(row["key"] for row in stored if row["ending"] == "panic"),
    )
    found = {}
    for row in stored:
        for finding in row.get("findings", []):
            found.setdefault(finding["signature"], set()).add(row["instance_id"])
    if not found:
        sys.exit("the consoles have no findings to ask for")
    same(
        f"{engine}: instances by signature",
        {row["signature"]: row["instances"] for row in rows(signatures)},
        {signature: len(instances) for signature, instances in found.items()},
    )
