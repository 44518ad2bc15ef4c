"""Microversions: how a caller asks for one, and which one an answer is in.

As in the API working group's guideline: `OpenStack-API-Version: compute 2.79` or a service's older own header; without one
the lowest is served; "latest" is the highest.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from pileus.kernel.errors import BadRequest, NotAcceptable

Version = tuple[int, int]


@dataclass(frozen=True)
class Microversions:
    """The range that a service serves.

    :param service_type: the word before the version in the header, such as "compute".
    :param legacy_header: the service's older header in lower case, such as "x-openstack-nova-api-version"; empty: none.
    """

    service_type: str
    lowest: Version
    highest: Version
    legacy_header: str = ""

    def read(self, headers: Mapping[str, str]) -> Version:
        """Return the version that a caller asks for.

        :raises BadRequest: when it is not of the form 2.1.
        :raises NotAcceptable: when it is outside the range.
        """
        text = self._asked(headers)
        if text is None:
            return self.lowest
        if text == "latest":
            return self.highest
        version = parse(text)
        if not self.lowest <= version <= self.highest:
            least, most = show(self.lowest), show(self.highest)
            raise NotAcceptable(
                f"Version {text} is not supported by the API. Minimum is {least} and maximum is {most}.",
                extra={"min_version": least, "max_version": most},
            )
        return version

    def headers(self, version: Version) -> dict[str, str]:
        """Return the headers that tell which version an answer is in."""
        told = {"OpenStack-API-Version": f"{self.service_type} {show(version)}", "Vary": "OpenStack-API-Version"}
        if self.legacy_header:
            name = "-".join({"openstack": "OpenStack", "api": "API"}.get(w, w.title()) for w in self.legacy_header.split("-"))
            told[name] = show(version)
            told["Vary"] = f"OpenStack-API-Version, {name}"
        return told

    def _asked(self, headers: Mapping[str, str]) -> str | None:
        for part in headers.get("openstack-api-version", "").split(","):
            words = part.split()
            if len(words) == 2 and words[0] == self.service_type:
                return words[1]
        return headers.get(self.legacy_header) if self.legacy_header else None


def parse(text: str) -> Version:
    """Read a version such as "2.79".

    :raises BadRequest: when it is none.
    """
    major, dot, minor = text.partition(".")
    if not (dot and major.isdecimal() and minor.isdecimal() and text.isascii()) or (minor[0] == "0" and minor != "0"):
        raise BadRequest(f"API Version String {text} is of invalid format. Must be of format MajorNum.MinorNum.")
    return int(major), int(minor)


def show(version: Version) -> str:
    """Return a version as text."""
    return f"{version[0]}.{version[1]}"
