"""How servers of devices talk over HTTP.

A call is `POST /KIND/METHOD` with the header X-Backend-Call: base64 of msgpack of [device, policy, partition, arguments...].
Most answers are msgpack in the body.  The body of an object comes and goes in frames, each with its length before it (4
bytes, big-endian): an upload ends with an empty frame and one frame with the footer, so that a body cut short is never taken
for a whole one; a download starts with one frame, the ObjectAnswer, then goes on with bare bytes.
"""

import base64
import struct
from typing import Any

import msgspec

from pileus.object_store.backend import (
    FragmentsAnswer,
    ObjectAnswer,
    ObjectDelete,
    ObjectName,
    ObjectPost,
    ObjectPut,
    Written,
)
from pileus.object_store.indexes import AccountAnswer, ContainerAnswer, ContainerPut, ContainerRow, Listing, ObjectRow, ShardRange
from pileus.object_store.places import Target
from pileus.object_store.timestamps import Timestamp

CALL_HEADER = "x-backend-call"
FRAME = struct.Struct(">I")
FRAME_BYTES_MAX = 16_777_216


class Address(msgspec.Struct, frozen=True, array_like=True):
    """The part of every call that says what it is about."""

    device: str
    policy: int
    partition: int


ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "objects/head": (ObjectName,),
    "objects/get": (ObjectName, int, int | None),
    "objects/put": (ObjectName, ObjectPut),
    "objects/post": (ObjectName, ObjectPost),
    "objects/delete": (ObjectName, ObjectDelete),
    "fragments/find": (ObjectName,),
    "fragments/open": (ObjectName, Timestamp, int, int, int | None),
    "fragments/settle": (ObjectName, Timestamp, int, tuple[Target, ...]),
    "containers/head": (str, str),
    "containers/listing": (str, str, Listing),
    "containers/put": (str, str, ContainerPut),
    "containers/post": (str, str, Timestamp, dict[str, str]),
    "containers/delete": (str, str, Timestamp, tuple[Target, ...]),
    "containers/update": (str, str, list[ObjectRow]),
    "containers/take_shards": (str, str, list[ShardRange]),
    "accounts/head": (str,),
    "accounts/listing": (str, Listing),
    "accounts/put": (str, Timestamp, dict[str, str]),
    "accounts/post": (str, Timestamp, dict[str, str]),
    "accounts/delete": (str, Timestamp),
    "accounts/update": (str, list[ContainerRow]),
}
"""The arguments of each method after the partition."""

ANSWERS: dict[str, Any] = {
    "objects/head": ObjectAnswer,
    "objects/get": ObjectAnswer,
    "fragments/find": FragmentsAnswer,
    "fragments/open": ObjectAnswer,
    "containers/head": ContainerAnswer,
    "containers/listing": ContainerAnswer,
    "accounts/head": AccountAnswer,
    "accounts/listing": AccountAnswer,
}
"""What each method answers, if not Written."""

_CALLS: dict[str, msgspec.msgpack.Decoder[Any]] = {
    method: msgspec.msgpack.Decoder(tuple.__class_getitem__((Address, *types))) for method, types in ARGUMENTS.items()
}
READ_METHODS = {"objects/get", "fragments/open"}
"""Methods that answer with a body; their last two arguments are where to start and how much to read."""

BODY_METHODS = {"containers/update", "containers/take_shards", "accounts/update"}
"""Methods whose arguments travel in the body, as they may be long."""


def encode_call(address: Address, arguments: tuple[Any, ...]) -> bytes:
    """Return a call as msgpack."""
    return msgspec.msgpack.encode([address, *arguments])


def to_header(call: bytes) -> str:
    """Return a call as a header's value."""
    return base64.b64encode(call).decode()


def decode_call(method: str, call: bytes) -> tuple[Address, tuple[Any, ...]]:
    """Read a call.

    :raises ValueError: when it is none (msgspec's errors are ValueErrors too).
    """
    address, *arguments = _CALLS[method].decode(call)
    return address, tuple(arguments)


def from_header(value: str) -> bytes:
    """Return the call in a header's value.

    :raises ValueError: when it is not base64.
    """
    return base64.b64decode(value, validate=True)


def decode_answer(method: str, body: bytes) -> Any:
    """Read an answer."""
    answer_type = ANSWERS.get(method, Written)
    return msgspec.msgpack.decode(body, type=answer_type)
