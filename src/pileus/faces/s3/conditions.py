"""Conditions of writes: of uploads and deletions (If-Match and its like), and of the sources of copies."""

from collections.abc import Callable, Mapping

from pileus.faces.s3.describing import etag_of
from pileus.faces.s3.errors import S3Error
from pileus.object_store import conditions
from pileus.object_store.content import Content

Check = Callable[[Content | None], None]
COPY = "x-amz-copy-source-"


def of_upload(headers: Mapping[str, str]) -> Check | None:
    """Return what an upload demands of the object that is there; None: nothing."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is None and none_match is None:
        return None

    def check(found: Content | None) -> None:
        if match is not None:
            if found is None:
                raise S3Error("NoSuchKey")
            _demand(_fits(match, found), "If-Match")
        if none_match is not None:
            _demand(found is None or not _fits(none_match, found), "If-None-Match")

    return check


def of_deletion(etag: str | None, modified: float | None, size_bytes: int | None, strict: bool) -> Check | None:
    """Return what a deletion demands of the object that is there; None: nothing.

    :param strict: refuse when there is none; else that is what was wanted.
    """
    if etag is None and modified is None and size_bytes is None:
        return None

    def check(found: Content | None) -> None:
        if found is None:
            _demand(not strict, "If-Match")
            return
        _demand(etag is None or _fits(etag, found), "If-Match")
        _demand(modified is None or int(found.metadata.data_at.ceiling) == int(modified), "x-amz-if-match-last-modified-time")
        _demand(size_bytes is None or found.size_bytes == size_bytes, "x-amz-if-match-size")

    return check


def _fits(header: str, found: Content) -> bool:
    wanted = conditions.etags(header)
    return "*" in wanted or etag_of(found) in wanted


def _demand(holds: bool, condition: str) -> None:
    if not holds:
        raise S3Error("PreconditionFailed", Condition=condition)


def check_source(headers: Mapping[str, str], found: Content) -> None:
    """Hold the source of a copy to the request's conditions.  :raises S3Error: PreconditionFailed."""
    given = {name.removeprefix(COPY): value for name, value in headers.items() if name.startswith(COPY + "if-")}
    if "if-match" in given:
        given.pop("if-unmodified-since", None)
    if "if-none-match" in given:
        given.pop("if-modified-since", None)
    if conditions.verdict(given, found.tags, found.metadata.modified_at.seconds) is not None:
        raise S3Error("PreconditionFailed")
