"""Anticipated failures, one tree by meaning.

* Fault                   an anticipated failure, told to the caller
  x BadRequest            400, and TooLarge 413, UnsupportedMedia 415, NotAcceptable 406
  x Unauthenticated       401
  x Forbidden             403
    - OverQuota           403 (413 or 409 where a service's own table says so)
  x NotFound              404, and Gone 410
  x Conflict              409, and PreconditionFailed 412
  x NotImplementedHere    501
  x Unavailable           503

Anything else that escapes is a bug: it is logged with its traceback and shown as a bare 500.  Turning a Fault into
JSON, XML or HTML is the business of each API (see `kernel.faults`), not of these classes.
"""

from collections.abc import Mapping
from typing import Any


class Fault(Exception):
    """An anticipated failure.  Its message is safe to show to the caller.

    :param message: what went wrong and, where possible, what to do next.
    :param kind: the machine-readable name that some APIs add, such as "NetworkInUse"; by default the class's name.
    :param headers: further headers of the answer.
    :param extra: further facts for the error body, where the service's form has room for them.
    """

    status = 500

    def __init__(
        self,
        message: str = "",
        *,
        kind: str = "",
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind or type(self).__name__
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})


class BadRequest(Fault):
    """The request cannot be understood or breaks a rule of the API."""

    status = 400


class TooLarge(BadRequest):
    """The body is larger than what is taken."""

    status = 413


class UnsupportedMedia(BadRequest):
    """The body has a content type that this call does not take."""

    status = 415


class NotAcceptable(BadRequest):
    """The answer cannot be given in the form or the version asked for."""

    status = 406


class RangeNotSatisfiable(BadRequest):
    """The range asked for lies outside the content."""

    status = 416


class Unauthenticated(Fault):
    """The caller did not prove who they are."""

    status = 401


class Forbidden(Fault):
    """The caller is known and may not do this."""

    status = 403


class OverQuota(Forbidden):
    """The project has used its share."""


class NotFound(Fault):
    """There is no such thing, or the caller may not know that there is."""

    status = 404


class MethodNotAllowed(Fault):
    """The thing is there and does not take this method; `headers` names those it takes."""

    status = 405


class Gone(NotFound):
    """There was such a thing once."""

    status = 410


class Conflict(Fault):
    """The thing is not in a state that allows this, or changed meanwhile."""

    status = 409


class PreconditionFailed(Conflict):
    """The revision the caller named is not the current one."""

    status = 412


class NotImplementedHere(Fault):
    """The API has this call; this cloud does not serve it."""

    status = 501


class Unavailable(Fault):
    """A part of the cloud is away for now; worth trying again."""

    status = 503
