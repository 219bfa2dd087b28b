"""Patterns of events, which templates have as text and no schema looks into."""

import json


def problem(text):
    """What is wrong with a pattern, or None."""
    try:
        if "source" not in json.loads(text):
            return "has a pattern for events of no source"
    except (TypeError, ValueError) as error:
        return f"has a pattern that is no JSON: {error}"
    return None
