"""The form of calls on the bus: an agent of the version before understands a control plane of this one, and the other way round.

wire.json holds the form as it was released: every method, parameter and field in it is still there and of the same type, and
what came later may be left out.  `python -m tests.kernel.test_wire` writes it anew, for a release that older agents do not serve.
"""

import json
import typing
from dataclasses import MISSING, dataclass, fields, is_dataclass, make_dataclass, replace
from pathlib import Path
from typing import Protocol

import pytest

from pileus.agent.contracts import CONDUCTOR, CONTRACTS
from pileus.compute.driver import DiskSpec, DriverError, GuestSpec
from pileus.kernel import wire

FILE = Path(__file__).with_name("wire.json")
ALL = {**CONTRACTS, "conductor": CONDUCTOR}


def form():
    """Return the form of everything that crosses the bus."""
    found = {"methods": {}, "types": {"Call": _fields(wire.Call, {})}}
    for role, contract in ALL.items():
        for method in (*contract.methods.values(), *contract.opened_methods.values()):
            shapes = {name: _name(kind, found["types"]) for name, kind in method.parameters.items()}
            found["methods"][f"{role}.{method.name}"] = {"parameters": shapes, "result": _name(method.result, found["types"])}
    return found


def _name(kind, known):
    for part in (kind, *_parts(kind)):
        if is_dataclass(part) and part.__name__ not in known:
            known[part.__name__] = {}
            known[part.__name__] = _fields(part, known)
    return str(kind).replace("collections.abc.", "").replace("typing.", "")


def _parts(kind):
    for part in typing.get_args(kind):
        yield part
        yield from _parts(part)


def _fields(kind, known):
    hints = typing.get_type_hints(kind)
    made = {}
    for field in fields(kind):
        needed = field.default is MISSING and field.default_factory is MISSING
        made[field.name] = {"type": _name(hints[field.name], known), "needed": needed}
    return made


def test_what_was_released_is_still_understood():
    released, now = json.loads(FILE.read_text()), form()
    for name, method in released["methods"].items():
        assert name in now["methods"], f"{name} is gone"
        for parameter, kind in method["parameters"].items():
            assert now["methods"][name]["parameters"].get(parameter) == kind, f"{name}({parameter}) is another"
        assert now["methods"][name]["result"] == method["result"], f"{name} returns something else"
    for name, known in released["types"].items():
        for field, facts in known.items():
            assert now["types"][name].get(field, {}).get("type") == facts["type"], f"{name}.{field} is another"
        for field, facts in now["types"][name].items():
            assert field in known or not facts["needed"], f"{name}.{field} is new and has no default: an older sender has none"


@dataclass(frozen=True)
class Newer:
    """A spec that has one field more than this version knows."""

    id: str
    colour: str = "blue"


class Painter(Protocol):
    def paint(self, spec: Newer, times: int = 1) -> Newer: ...


def _older():
    spec = make_dataclass("Newer", [("id", str)], frozen=True)

    class Older(Protocol):
        def paint(self, spec: spec) -> spec: ...

    Older.paint.__annotations__ = {"spec": spec, "return": spec}
    return wire.Contract("painter", (Older,), (ValueError,)), spec


def _exchange(sender, receiver, *given):
    method = sender.method("paint", opened=False)
    call = wire.decode_call(wire.encode_call(wire.Call("painter", "host", "paint", wire.pack(method, given, {}))))
    arguments = wire.arguments(receiver.method("paint", opened=False), call)
    answer = wire.decode_answer(sender, method, wire.encode_result(arguments["spec"]))
    return arguments, answer


def test_a_newer_side_and_an_older_one():
    newer = wire.Contract("painter", (Painter,), (ValueError,))
    older, spec = _older()
    assert _exchange(newer, older, Newer("a", "red"), 3) == ({"spec": spec("a")}, Newer("a"))
    assert _exchange(older, newer, spec("a")) == ({"spec": Newer("a")}, spec("a"))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x80", b"\x93\x01\x02\x03", b"\x81\xa4role\x01"])
def test_what_is_no_call(data):
    with pytest.raises(wire.WireError):
        wire.decode_call(data)


def test_arguments_of_another_type():
    contract = CONTRACTS["hypervisor"]
    call = wire.Call("hypervisor", "host1", "ensure", {"spec": {"id": 7}})
    with pytest.raises(wire.WireError, match="ensure"):
        wire.arguments(contract.method("ensure", opened=False), call)
    for name in ("purge", "listen", "close", "__init__", "nothing"):
        with pytest.raises(wire.WireError):
            contract.method(name, opened=False)


def test_errors_keep_their_kind():
    contract, method = CONTRACTS["hypervisor"], CONTRACTS["hypervisor"].method("destroy", opened=False)
    with pytest.raises(DriverError, match="no room"):
        wire.decode_answer(contract, method, wire.encode_error(contract, DriverError("no room")))
    with pytest.raises(DriverError, match="KeyError"):
        wire.decode_answer(contract, method, wire.encode_error(contract, KeyError("x")))
    with pytest.raises(wire.WireError):
        wire.decode_answer(contract, method, b"\x80")


def test_a_whole_guest_crosses_unharmed():
    method = CONTRACTS["hypervisor"].method("ensure", opened=False)
    disk = DiskSpec("v", "volume", connection={"driver_volume_type": "nbd", "data": {"port": 1}}, limits={"total_iops_sec": 5})
    spec = GuestSpec("id", "name", 2, 512, (disk,), config_drive={"openstack/user_data": bytes(range(256))})
    call = wire.decode_call(wire.encode_call(wire.Call("hypervisor", "h", "ensure", wire.pack(method, (spec,), {}))))
    assert wire.arguments(method, call) == {"spec": spec}
    assert wire.arguments(method, replace(call, arguments={**call.arguments, "unknown": 1})) == {"spec": spec}


if __name__ == "__main__":
    FILE.write_text(json.dumps(form(), indent=1, sort_keys=True) + "\n")
