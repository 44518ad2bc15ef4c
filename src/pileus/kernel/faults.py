"""The forms in which the OpenStack services word their errors; a service names the one it uses in its Service."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pileus.kernel.errors import Fault

NOVA_KEYS = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 405: "badMethod", 406: "notAcceptable",
    409: "conflictingRequest", 413: "overLimit", 415: "badMediaType", 429: "overLimit", 500: "computeFault",
    501: "notImplemented", 503: "serviceUnavailable",
}  # fmt: skip

Form = tuple[Any, Mapping[str, str]]


def title(status: int) -> str:
    """Return the phrase of a status, such as "Not Found"."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def nova(fault: Fault, status: int) -> Form:
    """`{"itemNotFound": {"code": 404, "message": ...}}`, also cinder's form."""
    key = NOVA_KEYS.get(status, "computeFault")
    return {key: {"code": status, "message": fault.message or title(status), **fault.extra}}, fault.headers


def keystone(fault: Fault, status: int) -> Form:
    """`{"error": {"code": 404, "message": ..., "title": "Not Found"}}`."""
    body = {"code": status, "message": fault.message or title(status), "title": title(status), **fault.extra}
    return {"error": body}, fault.headers


def neutron(fault: Fault, status: int) -> Form:
    """`{"NeutronError": {"type": "NetworkNotFound", "message": ..., "detail": ""}}`."""
    kind = {"BadRequest": "HTTPBadRequest", "NotFound": "HTTPNotFound"}.get(fault.kind, fault.kind)
    return {"NeutronError": {"type": kind, "message": fault.message or title(status), "detail": ""}}, fault.headers


def glance(fault: Fault, status: int) -> Form:
    """The HTML page that glance's clients know; they show its title and text."""
    text = (fault.message or title(status)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    page = (
        f"<html>\n <head>\n  <title>{status} {title(status)}</title>\n </head>\n"
        f" <body>\n  <h1>{status} {title(status)}</h1>\n  {text}<br /><br />\n\n\n </body>\n</html>"
    )
    return page, {**fault.headers, "Content-Type": "text/html; charset=UTF-8"}


def wants_json(accept: str) -> bool:
    """Tell whether a client that would get a page of HTML (glance's form) asks for JSON and for nothing like HTML."""
    return "application/json" in accept and "text/html" not in accept and "*/*" not in accept


def glance_json(fault: Fault, status: int) -> Form:
    """`{"message": ..., "code": "404 Not Found", "title": "Not Found"}`, glance's form for those who want JSON."""
    body = {"message": fault.message or title(status), "code": f"{status} {title(status)}", "title": title(status)}
    return body, {**fault.headers, "Content-Type": "application/json; charset=UTF-8"}


def placement(fault: Fault, status: int) -> Form:
    """`{"errors": [{"status": 404, "title": ..., "detail": ..., "code": ...}]}`, the API working group's form."""
    code = fault.extra.get("code", "placement.undefined_code")
    facts = {k: v for k, v in fault.extra.items() if k != "code"}
    entry = {"status": status, "title": title(status), "detail": fault.message or title(status), "code": code, **facts}
    return {"errors": [entry]}, fault.headers
