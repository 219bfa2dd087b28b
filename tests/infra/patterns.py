"""Patterns of events, which templates have as text and no schema looks into."""

import json


def problem(trigger):
    """What is wrong with the pattern of a trigger, or None. A trigger of a queue takes all of it."""
    source = trigger.get("eventSourceConfig", {}).get("eventSourceType", "Default")
    text = trigger["eventRuleFilterPattern"]
    try:
        pattern = json.loads(text)
        if source == "Default" and "source" not in pattern:
            return "has a pattern for events of no source"
    except (TypeError, ValueError) as error:
        return f"has a pattern that is no JSON: {error}"
    return None
