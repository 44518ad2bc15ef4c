"""Tags of objects and buckets: names with values; in a header like a query, in XML, stored as JSON.  Pure."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec

from pileus.faces.s3.errors import S3Error
from pileus.faces.s3.xml import Element, answer, tag, wrap

STORED = "X-Object-Transient-Sysmeta-S3Api-Tagging"
SETTING = "Tagging"
OBJECT_MOST, BUCKET_MOST = 10, 50
NAME_LENGTH, VALUE_LENGTH = 128, 256
ALLOWED = re.compile(r"[\w\s+\-=.:/@]*\Z")


def _check(found: Mapping[str, str], most: int) -> None:
    if len(found) > most:
        raise S3Error("InvalidTag", f"Object tags cannot be greater than {most}")
    for name, value in found.items():
        if not name or len(name) > NAME_LENGTH or not ALLOWED.match(name) or name.startswith("aws:"):
            raise S3Error("InvalidTag", "The TagKey you have provided is invalid", TagKey=name)
        if len(value) > VALUE_LENGTH or not ALLOWED.match(value):
            raise S3Error("InvalidTag", "The TagValue you have provided is invalid", TagKey=name)


def from_header(text: str) -> dict[str, str]:
    """Read the header x-amz-tagging.  :raises S3Error: when tags are not as they may be."""
    pairs = parse_qsl(text, keep_blank_values=True)
    found = dict(pairs)
    if len(found) != len(pairs):
        raise S3Error("InvalidArgument", "Cannot provide multiple Tags with the same key")
    _check(found, OBJECT_MOST)
    return found


def from_xml(root: Element, most: int) -> dict[str, str]:
    """Read a document.  :raises S3Error: when tags are not as they may be."""
    listed = root.first("TagSet")
    if listed is None:
        raise S3Error("MalformedXML")
    found: dict[str, str] = {}
    for one in listed.all("Tag"):
        key, value = one.first("Key"), one.first("Value")
        if key is None or value is None:
            raise S3Error("MalformedXML")
        if key.text in found:
            raise S3Error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key.text)
        found[key.text] = value.text
    _check(found, most)
    return found


def encode(found: Mapping[str, str]) -> str:
    """Return tags in the form in which they are stored; "" for none."""
    return msgspec.json.encode(dict(sorted(found.items()))).decode() if found else ""


def decode(text: str) -> dict[str, str]:
    """Return tags out of their stored form."""
    return msgspec.json.decode(text, type=dict[str, str]) if text else {}


def to_xml(found: Mapping[str, str]) -> bytes:
    """Return tags as a document."""
    listed = "".join(wrap("Tag", tag("Key", name) + tag("Value", value)) for name, value in found.items())
    return answer("Tagging", wrap("TagSet", listed))
