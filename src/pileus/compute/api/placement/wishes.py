"""What the queries of placement wish for: resources, traits, aggregates, in groups with suffixes."""

import re

from pileus.compute.placement import Group, Wishes
from pileus.kernel import ids
from pileus.kernel.errors import BadRequest
from pileus.kernel.http import Call

SUFFIX = re.compile(r"(resources|required|member_of|in_tree)([a-zA-Z0-9_-]{1,64}|)$")
OLD_SUFFIX = re.compile(r"(resources|required|member_of|in_tree)([1-9][0-9]*|)$")
BAD = {"code": "placement.query.bad_value"}


def bad(message: str) -> BadRequest:
    """Return the fault for a query that cannot be read."""
    return BadRequest(message, extra=BAD)


def read_group(call: Call, suffix: str = "") -> Group:
    """Read the wishes of one group.

    :raises BadRequest: when one cannot be read, or the microversion does not have it.
    """
    query = call.query
    required, forbidden = _read_traits(call, query.all("required" + suffix))
    inside, outside = _read_aggregates(call, query.all("member_of" + suffix))
    tree = query.get("in_tree" + suffix) or ""
    if tree and not ids.is_uuid(tree):
        raise bad(f"Expected 'in_tree' parameter to be a UUID. Got: {tree}")
    return Group(suffix, read_resources(query.get("resources" + suffix)), required, forbidden, inside, outside, tree)


def read_resources(text: str | None) -> dict[str, int]:
    """Read resources such as VCPU:2,MEMORY_MB:512.

    :raises BadRequest: when they are not of that form.
    """
    found: dict[str, int] = {}
    if text is None:
        return found
    for part in text.split(","):
        name, colon, amount = part.partition(":")
        if not (name and colon and amount.isascii() and amount.isdecimal()) or not 1 <= int(amount) < 2**31:
            raise bad(
                f"Badly formed resources parameter. Expected resources query string parameter in form: VCPU:2. Got: {text}."
            )
        found[name] = int(amount)
    return found


def _read_traits(call: Call, texts: list[str]) -> tuple[tuple[frozenset[str], ...], frozenset[str]]:
    if len(texts) > 1 and not call.since("1.39"):
        texts = texts[-1:]
    required: list[frozenset[str]] = []
    forbidden: set[str] = set()
    for text in texts:
        if text.startswith("in:") and call.since("1.39"):
            words = text[3:].split(",")
            required.append(frozenset(words))
        else:
            words = text.split(",")
            forbidden |= {word[1:] for word in words if word.startswith("!")}
            required += [frozenset({word}) for word in words if not word.startswith("!")]
        if not all(word.strip("!") for word in words) or (forbidden and not call.since("1.22")):
            raise bad(
                f"Invalid query string parameters: Expected 'required' parameter value of the form: HW_CPU_X86_VMX. Got: {text}"
            )
    if clash := sorted(forbidden & frozenset().union(*(each for each in required if len(each) == 1))):
        raise bad(f"The following traits are both required and forbidden: {', '.join(clash)}.")
    return tuple(required), frozenset(forbidden)


def _read_aggregates(call: Call, texts: list[str]) -> tuple[tuple[frozenset[str], ...], frozenset[str]]:
    if len(texts) > 1 and not call.since("1.24"):
        raise bad("Multiple member_of parameters are not supported")
    inside: list[frozenset[str]] = []
    outside: set[str] = set()
    for text in texts:
        negated = text.startswith("!") and call.since("1.32")
        plain = text[1:] if negated else text
        many = plain.startswith("in:")
        uuids = plain[3:].split(",") if many else [plain]
        if not all(ids.is_uuid(uuid) for uuid in uuids):
            raise bad(f"Expected 'member_of' parameter to contain valid UUID(s). Got: {text}")
        if negated:
            outside |= set(uuids)
        else:
            inside.append(frozenset(uuids))
    return tuple(inside), frozenset(outside)


def read_wishes(call: Call) -> Wishes:
    """Read a whole request for allocation candidates.

    :raises BadRequest: when it asks for nothing, or for something that the microversion does not have.
    """
    pattern = SUFFIX if call.since("1.33") else OLD_SUFFIX
    allowed = {"limit", "group_policy", "root_required", "same_subtree"}
    suffixes: list[str] = []
    for name in call.query.names():
        found = pattern.match(name)
        if (found is None and name not in allowed) or (found and found[2] and not call.since("1.25")):
            raise BadRequest(f"Invalid query string parameters: '{name}' is not known.")
        if found and found[2] not in suffixes:
            suffixes.append(found[2])
    groups = [read_group(call, suffix) for suffix in sorted(suffixes)]
    same = tuple(frozenset(text.split(",")) for text in call.query.all("same_subtree"))
    if not any(group.resources for group in groups):
        raise bad("At least one request group (`resources` or `resources{$S}`) is required.")
    if any(not group.resources and not any(group.suffix in each for each in same) for group in groups if group.suffix):
        raise bad("All traits, member_of and in_tree parameters must be associated with resources.")
    policy = call.query.get("group_policy")
    if policy not in (None, "none", "isolate"):
        raise BadRequest("Invalid query string parameters: group_policy is none or isolate.")
    if policy is None and sum(1 for group in groups if group.suffix and group.resources) > 1:
        raise bad('The "group_policy" parameter is required when specifying more than one "resources{N}" parameter.')
    root_required, root_forbidden = _read_traits(call, call.query.all("root_required"))
    root = Group(required=root_required, forbidden=root_forbidden)
    return Wishes(groups, policy == "isolate", root, same, call.since("1.29"), _read_limit(call.query.get("limit")))


def _read_limit(text: str | None) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise BadRequest(f"Invalid query string parameters: '{text}' does not match '^[1-9][0-9]*$'")
    return int(text)
