"""What policies of RAM allow, as Alibaba Cloud's pages say.

- Nothing is allowed that no statement allows, and a statement that denies wins:
  https://www.alibabacloud.com/help/doc-detail/28664.htm
- `*` in an action or a resource stands for any characters; an element takes one value or a list:
  https://www.alibabacloud.com/help/doc-detail/93739.htm
- Several conditions must all be met, and one of the values of each:
  https://www.alibabacloud.com/help/en/oss/user-guide/authorization-syntax-and-elements
- A bucket's policy denies what is not encrypted with `Bool` and `acs:SecureTransport`, as in the examples of
  https://www.alibabacloud.com/help/en/oss/user-guide/tutorials-for-bucket-policies

What nobody here uses is an error, so that nothing is taken for granted.
"""

import re

from pages import as_list


class Unsupported(Exception):
    """An element that this evaluator does not know."""


ELEMENTS = {"Effect", "Action", "Resource", "Condition", "Principal"}


def matches(pattern, text):
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), text, re.S) is not None


# Operator → whether a value of the policy meets the request's.
OPERATORS = {
    "StringEquals": lambda wanted, value: wanted == value,
    "StringLike": matches,
    "Bool": lambda wanted, value: wanted.lower() == value.lower(),
}


def is_met(condition, context):
    for operator, keys in condition.items():
        if operator not in OPERATORS:
            raise Unsupported(f"the operator {operator}")
        for key, wanted in keys.items():
            value = context.get(key)
            if value is None or not any(OPERATORS[operator](str(one).lower() if operator == "Bool" else one, value) for one in as_list(wanted)):
                return False
    return True


def is_of(statement, principal):
    """Whether a statement of a bucket's or a role's policy is about who asks."""
    given = statement.get("Principal")
    if given is None:
        return True
    if isinstance(given, dict):
        return any(principal == (kind, name) for kind, names in given.items() for name in as_list(names))
    return any(name in ("*", principal[1]) for name in as_list(given))


def decision(policies, principal, action, resource, context):
    """True if the policies allow the request, False if one denies it, None if none speaks of it."""
    allowed = None
    for policy in policies:
        if policy["Version"] != "1":
            raise Unsupported(f"the version {policy['Version']}")
        for statement in as_list(policy["Statement"]):
            if unknown := statement.keys() - ELEMENTS:
                raise Unsupported(f"the element {', '.join(unknown)}")
            speaks = (
                any(matches(one.lower(), action.lower()) for one in as_list(statement["Action"]))
                # The policy of a role is about the role itself.
                and any(matches(one, resource) for one in as_list(statement.get("Resource", "*")))
                and is_met(statement.get("Condition", {}), context)
                and is_of(statement, principal)
            )
            if speaks and statement["Effect"] == "Deny":
                return False
            if speaks:
                allowed = True
    return allowed
