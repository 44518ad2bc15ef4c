"""XML as S3 speaks it: documents of users read with care, answers written.

What comes from users is held to a size and a depth, and a document type declaration is refused, so that no entity is ever
declared, expanded or fetched.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
SCHEMA_INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
DEPTH_MAX, ELEMENTS_MAX = 16, 40_000
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")
MARKED = re.compile("[&<>\x00-\x08\x0b-\x1f\ufffe\uffff]")
OPENING = b'<?xml version="1.0" encoding="UTF-8"?>\n'


class BadXml(Exception):
    """A document is not well-formed, or not one that is taken."""


@dataclass
class Element:
    """An element: its name without namespace, its attributes, its text, its children."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def first(self, name: str) -> "Element | None":
        """Return the first child of a name."""
        return next((child for child in self.children if child.name == name), None)

    def all(self, name: str) -> Iterator["Element"]:
        """Yield every child of a name."""
        return (child for child in self.children if child.name == name)

    def get(self, name: str, default: str = "") -> str:
        """Return the text of the first child of a name."""
        found = self.first(name)
        return found.text.strip() if found is not None else default


class _Builder:
    def __init__(self) -> None:
        self.root: Element | None = None
        self.open: list[Element] = []
        self.count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.count += 1
        if len(self.open) >= DEPTH_MAX or self.count > ELEMENTS_MAX:
            raise BadXml("too deep, or too many elements")
        plain = {key.rpartition("}")[2]: value for key, value in attributes.items()}
        element = Element(name.rpartition("}")[2], plain)
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)

    def end(self, name: str) -> None:
        self.open.pop()

    def data(self, text: str) -> None:
        if self.open:
            self.open[-1].text += text


def _refuse(*_: object) -> int:
    raise BadXml("a document type declaration is not taken")


def parse(raw: bytes) -> Element:
    """Read a document.  :raises BadXml: when it is none, or declares a document type."""
    builder = _Builder()
    parser = expat.ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    try:
        parser.Parse(raw, True)
    except (expat.ExpatError, UnicodeError, ValueError, LookupError) as error:
        raise BadXml(str(error)) from error
    if builder.root is None:
        raise BadXml("there is no element")
    return builder.root


def text(value: object) -> str:
    """Return a value as character data."""
    found = str(value)
    if not MARKED.search(found):
        return found
    found = escape(found, {"\r": "&#13;"})
    return CONTROL.sub(lambda match: "\ufffd" if match[0] in "\ufffe\uffff\x00" else f"&#x{ord(match[0]):x};", found)


def tag(name: str, value: object, more: str = "") -> str:
    """Return an element with text in it."""
    return f"<{name}{more}>{text(value)}</{name}>"


def wrap(name: str, inner: str) -> str:
    """Return an element with elements in it."""
    return f"<{name}>{inner}</{name}>"


def document(inner: str) -> bytes:
    """Return a whole document."""
    return OPENING + inner.encode("utf-8", "surrogateescape")


def answer(name: str, inner: str = "") -> bytes:
    """Return a whole document whose root is in S3's namespace."""
    return document(f'<{name} xmlns="{NAMESPACE}">{inner}</{name}>')
