"""Tables of permissions, as the pages have them."""

import json
import pathlib
import re

HEAD = ["Who", "May do", "On", "Only", "Why"]


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def permissions(page):
    """(who, action, place, conditions) of each row of the page's tables of permissions."""
    lines = pathlib.Path(page).read_text().splitlines()
    found, who = [], None
    for index, line in enumerate(lines):
        if not line.startswith("|") or cells(line) != HEAD:
            continue
        for row in lines[index + 2 :]:
            if not row.startswith("|"):
                break
            who, actions, places, only, _ = cells(row)
            actions = re.findall(r"`([\w:*]+)`", actions)
            conditions = [part for part in only.split("; ") if part]
            assert actions and places, f"{page}: {row}"
            found += [(who, action, place, conditions) for action in actions for place in places.split(", ")]
    assert found, f"{page} has no table of permissions: | {' | '.join(HEAD)} |"
    return found


def policy(page, sid, filled_in):
    """The policy that the page shows with a statement of this ID, with the reader's words filled in."""
    text = pathlib.Path(page).read_text()
    [found] = [block for block in re.findall(r"```json\n(.*?)```", text, re.S) if '"Statement"' in block and f'"{sid}"' in block]
    return json.loads(re.sub("|".join(filled_in), lambda word: filled_in[word[0]], found))


def as_list(value):
    return value if isinstance(value, list) else [value]


def statements(document):
    """A policy as a set of its parts, of which each is of one action and one resource."""
    found = set()
    for one in as_list(document["Statement"]):
        conditions = frozenset(
            (operator, key, tuple(sorted(map(str, as_list(values)))))
            for operator, keys in one.get("Condition", {}).items()
            for key, values in keys.items()
        )
        principal = one.get("Principal", {})
        principal = {"*": principal} if not isinstance(principal, dict) else principal
        principals = frozenset((kind, name) for kind, names in principal.items() for name in as_list(names))
        for action in as_list(one["Action"]):
            for resource in as_list(one.get("Resource", "")):
                found.add((one["Effect"], action, resource, principals, conditions))
    return found
