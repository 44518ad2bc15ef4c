"""Whether a request is one that an access rule of an application credential names.

In a rule's path `*` stands for one segment or a part of it, `{name}` for one segment, `**` for any number of segments.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from pileus.identity.store.records import AccessRule

PIECE = re.compile(r"\*\*|\*|\{[^{}/]*\}")
ALIASES = {"volume": frozenset({"volume", "volumev2", "volumev3", "block-storage", "block-store"})}


@lru_cache(4096)
def _pattern(path: str) -> re.Pattern[str]:
    made, last = "", 0
    for piece in PIECE.finditer(path):
        made += re.escape(path[last : piece.start()]) + (".*" if piece.group() == "**" else "[^/]+")
        last = piece.end()
    return re.compile(made + re.escape(path[last:]) + r"\Z")


def allowed(rules: Iterable[AccessRule], service: str, method: str, paths: Iterable[str]) -> bool:
    """Tell whether one of the rules names a request.

    :param service: the API's name; a rule names it by the service's type.
    :param paths: the forms of the request's path, with and without the service's own prefix.
    """
    types = ALIASES.get(service, frozenset({service}))
    asked = "GET" if method == "HEAD" else method
    return any(
        rule.service in types and rule.method in (asked, method) and any(_pattern(rule.path).match(path) for path in paths)
        for rule in rules
    )
