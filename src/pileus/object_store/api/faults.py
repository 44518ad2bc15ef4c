"""How Swift words refusals: a line of text where there is something to say, else a small page."""

from collections.abc import Mapping

from pileus.kernel.errors import Fault
from pileus.kernel.faults import Form, title
from pileus.object_store.request import HTML

TEXTS: Mapping[int, tuple[str, str]] = {
    400: (
        "Bad Request",
        "The server could not comply with the request since it is either malformed or otherwise incorrect.",
    ),
    401: (
        "Unauthorized",
        "This server could not verify that you are authorized to access the document you requested.",
    ),
    403: ("Forbidden", "Access was denied to this resource."),
    404: ("Not Found", "The resource could not be found."),
    405: ("Method Not Allowed", "The method is not allowed for this resource."),
    406: ("Not Acceptable", "The resource is not available in a format acceptable to your browser."),
    408: ("Request Timeout", "The server has waited too long for the request to be sent by the client."),
    409: ("Conflict", "There was a conflict when trying to complete your request."),
    410: ("Gone", "This resource is no longer available."),
    411: ("Length Required", "Content-Length header required."),
    412: ("Precondition Failed", "A precondition for this request was not met."),
    413: ("Request Entity Too Large", "The body of your request was too large for this server."),
    416: ("Requested Range Not Satisfiable", "The Range requested is not available."),
    422: ("Unprocessable Entity", "Unable to process the contained instructions"),
    497: ("Blacklisted", "Your account has been blacklisted."),
    498: ("Rate Limited", "Slow down."),
    499: ("Client Disconnect", "The client was disconnected during request."),
    500: ("Internal Error", "The server has either erred or is incapable of performing the requested operation."),
    501: ("Not Implemented", "The requested method is not implemented by this server."),
    503: ("Service Unavailable", "The server is currently unavailable. Please try again at a later time."),
    507: ("Insufficient Storage", "There was not enough space to save the resource."),
}


def swift(fault: Fault, status: int) -> Form:
    """`<html><h1>Not Found</h1><p>The resource could not be found.</p></html>`, or the fault's own text."""
    head, text = TEXTS.get(status, (title(status), ""))
    page = fault.message or f"<html><h1>{head}</h1><p>{text}</p></html>"
    return page, {"Content-Type": HTML if not fault.message else "text/plain", **fault.headers}
