"""Calls of a driver as bytes: what crosses the bus between a worker and the agent of a host.

The form follows from the contract, a Protocol: its annotations say how arguments and results are packed and read.  Values are
msgpack; a dataclass is a map by field names, so that a side that is one version older or newer is understood: a field that it
does not know is passed over, one that it does not send has its default (tests/kernel/test_wire.py holds the form).

    call      {"role", "host", "method", "arguments": {name: value}, "handle", "origin"}
    answer    nil while it is worked on, then {"result"}, or {"handle", "size_bytes"} of what was opened, or {"error", "message"}
"""

import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import FunctionType
from typing import Any

import msgspec

LOCAL = frozenset({"listen", "serve_metadata", "purge", "close"})  # what an agent does with its drivers by itself

WORKING = b"\xc0"


class WireError(Exception):
    """The other side sent what the contract does not know."""


@dataclass(frozen=True)
class Method:
    """One method of a contract: the types of its parameters by name, in order, and of what it returns."""

    name: str
    parameters: Mapping[str, Any]
    result: Any


@dataclass(frozen=True)
class Contract:
    """What may be asked of a driver of a role.

    :param role: "hypervisor", "network" or "volume".
    :param protocols: the contract, and then the optional abilities.
    :param errors: what its methods raise; the first one stands for any other of the driver's errors.
    :param opened: the Protocol of what a method returns that stays at the host (an open volume), if there is one.
    """

    role: str
    protocols: tuple[type, ...]
    errors: tuple[type[Exception], ...]
    opened: type | None = None
    methods: Mapping[str, Method] = field(init=False)

    def __post_init__(self) -> None:
        found = {method.name: method for protocol in self.protocols for method in _methods(protocol)}
        object.__setattr__(self, "methods", {name: method for name, method in found.items() if name not in LOCAL})

    @property
    def opened_methods(self) -> Mapping[str, Method]:
        """The methods of what stays at the host."""
        return {method.name: method for method in _methods(self.opened)} if self.opened else {}

    def served_by(self, driver: Any) -> frozenset[str]:
        """Return the names of the methods that a driver has."""
        return frozenset(name for name in self.methods if hasattr(driver, name))

    def method(self, name: str, opened: bool) -> Method:
        """Return a method by name.  :raises WireError: when the contract has none."""
        try:
            return (self.opened_methods if opened else self.methods)[name]
        except KeyError:
            raise WireError(f"A {self.role} has no method {name}.") from None


@dataclass(frozen=True)
class Call:
    """A call of a host's driver.

    `handle` names what was opened there before, if the call is for that.  `origin` is where the files are that it names
    (`https://HOST:PORT`, see pileus.kernel.peers).
    """

    role: str
    host: str
    method: str
    arguments: Mapping[str, Any]
    handle: str = ""
    origin: str = ""


def pack(method: Method, given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name."""
    found = {**dict(zip(method.parameters, given, strict=False)), **named}
    return {name: _plain(value) for name, value in found.items()}


def encode_call(call: Call) -> bytes:
    """Return a call as bytes."""
    return msgspec.msgpack.encode(call)


def decode_call(data: bytes) -> Call:
    """Read a call.  :raises WireError: when it is none."""
    try:
        return msgspec.msgpack.decode(data, type=Call)
    except msgspec.MsgspecError as error:
        raise WireError(f"This is no call: {error}.") from None


def arguments(method: Method, call: Call) -> dict[str, Any]:
    """Return a call's arguments as the contract types them; those that it does not know are left out.

    :raises WireError: when one is not of its type.
    """
    try:
        return {
            name: msgspec.convert(call.arguments[name], _concrete(kind))
            for name, kind in method.parameters.items()
            if name in call.arguments
        }
    except msgspec.MsgspecError as error:
        raise WireError(f"{call.role}.{call.method}: {error}.") from None


def encode_result(value: Any) -> bytes:
    """Return what a method returned as bytes."""
    return msgspec.msgpack.encode({"result": _plain(value)})


def encode_opened(handle: str, size_bytes: int) -> bytes:
    """Return what names something that was opened and stays here."""
    return msgspec.msgpack.encode({"handle": handle, "size_bytes": size_bytes})


def encode_error(contract: Contract | None, error: Exception) -> bytes:
    """Return an error as bytes: by the name of its class when the contract names it, else as the contract's own."""
    known = () if contract is None else contract.errors
    kind = next((each for each in type(error).__mro__ if each in known), None)
    text = str(error) if kind is not None else f"{type(error).__name__}: {error}"
    return msgspec.msgpack.encode({"error": kind.__name__ if kind else "", "message": text})


@dataclass(frozen=True)
class Opened:
    """Something that was opened and stays at the host."""

    handle: str
    size_bytes: int


def decode_answer(contract: Contract, method: Method, data: bytes) -> Any:
    """Return what a method returned, or `Opened`.

    :raises WireError: when it is no answer.
    :raises Exception: the contract's error, when the method raised one.
    """
    try:
        answer = msgspec.msgpack.decode(data, type=dict[str, Any])
        if "error" in answer:
            kinds = {kind.__name__: kind for kind in contract.errors}
            raise kinds.get(answer["error"], contract.errors[0])(answer["message"])
        if "handle" in answer:
            return Opened(answer["handle"], answer["size_bytes"])
        return msgspec.convert(answer["result"], _concrete(method.result))
    except (msgspec.MsgspecError, KeyError) as error:
        raise WireError(f"{contract.role}.{method.name}: {error}.") from None


@cache
def _methods(protocol: type) -> tuple[Method, ...]:
    found = []
    for name, function in vars(protocol).items():
        if name.startswith("_") or not isinstance(function, FunctionType):
            continue
        hints = typing.get_type_hints(function)
        result = hints.pop("return", None)
        found.append(Method(name, hints, result))
    return tuple(found)


@cache
def _concrete(kind: Any) -> Any:
    """Return the type in which a value is read where the contract names only what it can do."""
    if typing.get_origin(kind) in (Iterable, Iterator, Collection):
        return tuple[typing.get_args(kind)[0], ...]  # type: ignore[misc]
    return kind


def _plain(value: Any) -> Any:
    """Return a value that msgspec packs: an iterator is made a list."""
    if isinstance(value, str | bytes | Mapping | tuple | list | set | frozenset) or not isinstance(value, Iterable):
        return value
    return list(value)
