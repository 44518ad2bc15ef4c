"""S3's errors: their codes, statuses and wording, and which of them a refusal of the object store is."""

from collections.abc import Mapping

from pileus.faces.s3.xml import document, tag
from pileus.kernel.errors import Fault
from pileus.kernel.faults import Form
from pileus.object_store.request import Refused
from pileus.object_store.service.direct import Superseded

SIGNATURE_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)
INVALID_PART = (
    "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified entity tag"
    " may not match the part's entity tag."
)
MALFORMED_XML = "The XML you provided was not well-formed or did not validate against our published schema"
MALFORMED_TRAILER = "The request contained trailing data that was not well-formed or did not conform to our published schema."
CODES: Mapping[str, tuple[int, str]] = {
    "AccessControlListNotSupported": (400, "The bucket does not allow ACLs"),
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationHeaderMalformed": (400, "The authorization header that you provided is not valid."),
    "AuthorizationQueryParametersError": (400, "The parameters of the presigned URL are not valid."),
    "BadDigest": (400, "The Content-MD5 you specified did not match what we received."),
    "BucketAlreadyExists": (409, "The requested bucket name is not available. Select a different name and try again."),
    "BucketAlreadyOwnedByYou": (409, "Your previous request to create the named bucket succeeded and you already own it."),
    "BucketNotEmpty": (409, "The bucket that you tried to delete is not empty."),
    "ConditionalRequestConflict": (409, "The conditional request cannot succeed due to a conflicting operation."),
    "EntityTooLarge": (400, "Your proposed upload exceeds the maximum allowed object size."),
    "EntityTooSmall": (400, "Your proposed upload is smaller than the minimum allowed object size."),
    "IllegalLocationConstraintException": (400, "The specified location-constraint is not valid."),
    "IncompleteBody": (400, "You did not provide the number of bytes specified by the Content-Length HTTP header"),
    "InternalError": (500, "An internal error occurred. Try again."),
    "InvalidAccessKeyId": (403, "The AWS access key ID that you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketAclWithObjectOwnership": (
        400,
        "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
    ),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidBucketState": (409, "The request is not valid for the current state of the bucket."),
    "InvalidChunkSizeError": (403, "Only the last chunk is allowed to have a size less than 8192 bytes"),
    "InvalidDigest": (400, "The Content-MD5 you specified was invalid."),
    "InvalidLocationConstraint": (400, "The specified location constraint is not valid."),
    "InvalidPart": (400, INVALID_PART),
    "InvalidPartNumber": (416, "The requested partnumber is not satisfiable"),
    "InvalidPartOrder": (400, "The list of parts was not in ascending order."),
    "InvalidPolicyDocument": (400, "The content of the form does not meet the conditions specified in the policy document."),
    "InvalidRange": (416, "The requested range cannot be satisfied."),
    "InvalidRequest": (400, "Invalid Request"),
    "InvalidRetentionPeriod": (400, "The retention period is not valid."),
    "InvalidStorageClass": (400, "The storage class that you specified is not valid."),
    "InvalidTag": (400, "Your request contains tag input that is not valid."),
    "InvalidURI": (400, "The specified URI could not be parsed."),
    "KeyTooLongError": (400, "Your key is too long."),
    "MalformedACLError": (400, MALFORMED_XML),
    "MalformedPOSTRequest": (400, "The body of your POST request is not well-formed multipart/form-data."),
    "MalformedPolicy": (400, "Your policy contains a principal, an action or a condition that is not valid."),
    "MalformedTrailerError": (400, MALFORMED_TRAILER),
    "MalformedXML": (400, MALFORMED_XML),
    "MetadataTooLarge": (400, "Your metadata headers exceed the maximum allowed metadata size."),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "MissingRequestBodyError": (400, "Request body is empty."),
    "MissingSecurityHeader": (400, "Your request is missing a required header."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchBucketPolicy": (404, "The bucket policy does not exist."),
    "NoSuchCORSConfiguration": (404, "The CORS configuration does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchLifecycleConfiguration": (404, "The lifecycle configuration does not exist."),
    "NoSuchObjectLockConfiguration": (404, "The specified object does not have an object lock configuration."),
    "NoSuchPublicAccessBlockConfiguration": (404, "The public access block configuration was not found."),
    "NoSuchTagSet": (404, "There is no tag set associated with the bucket."),
    "NoSuchUpload": (404, "The specified multipart upload does not exist."),
    "NoSuchVersion": (404, "The specified version does not exist."),
    "NoSuchWebsiteConfiguration": (404, "The specified bucket does not have a website configuration."),
    "NotImplemented": (501, "A header or query you provided implies functionality that is not implemented."),
    "ObjectLockConfigurationNotFoundError": (404, "Object Lock configuration does not exist for this bucket"),
    "OperationAborted": (409, "A conflicting conditional operation is in progress against this resource. Try again."),
    "OwnershipControlsNotFoundError": (404, "The bucket ownership controls were not found."),
    "PreconditionFailed": (412, "At least one of the preconditions that you specified did not hold."),
    "QuotaExceeded": (403, "The quota of the bucket or of the project is exceeded."),
    "ReplicationConfigurationNotFoundError": (404, "The replication configuration was not found."),
    "RequestTimeTooSkewed": (403, "The difference between the request time and the server's time is too large."),
    "RequestTimeout": (400, "Your socket connection to the server was not read from or written to within the timeout period."),
    "ServerSideEncryptionConfigurationNotFoundError": (404, "The server side encryption configuration was not found."),
    "ServiceUnavailable": (503, "Service is unable to handle the request. Try again."),
    "SignatureDoesNotMatch": (403, SIGNATURE_MISMATCH),
    "UnexpectedContent": (400, "This request contains unsupported content."),
    "UnresolvableGrantByEmailAddress": (400, "The email address that you provided does not match any account on record."),
    "XAmzContentSHA256Mismatch": (400, "The provided 'x-amz-content-sha256' header does not match what was computed."),
}


class S3Error(Fault):
    """A refusal in S3's words.

    :param fields: further elements of the error's body.
    """

    def __init__(self, code: str, message: str = "", *, headers: Mapping[str, str] | None = None, **fields: str) -> None:
        self.status, usual = CODES[code]
        super().__init__(message or usual, kind=code, headers=headers)
        self.fields = fields


BY_STATUS = {
    400: "InvalidArgument", 401: "AccessDenied", 403: "AccessDenied", 405: "MethodNotAllowed", 408: "RequestTimeout",
    409: "OperationAborted", 411: "MissingContentLength", 412: "PreconditionFailed", 413: "EntityTooLarge",
    416: "InvalidRange", 422: "BadDigest", 499: "IncompleteBody", 503: "ServiceUnavailable", 507: "ServiceUnavailable",
}  # fmt: skip


def of_refused(refused: Refused, key: str, version_id: str = "") -> S3Error:
    """Return the error that a refusal of the object store is."""
    if refused.status == 404:
        code = "NoSuchVersion" if version_id else "NoSuchKey" if key else "NoSuchBucket"
    elif isinstance(refused, Superseded):
        code = "ConditionalRequestConflict"
    elif refused.status == 413 and "quota" in refused.message:
        code = "QuotaExceeded"
    else:
        code = BY_STATUS.get(refused.status, "InternalError")
    kept = {name: value for name, value in refused.headers.items() if name in ("Content-Range",)}
    return S3Error(code, refused.message if refused.status == 400 else "", headers=kept)


def body_of(code: str, message: str, resource: str, request_id: str, fields: Mapping[str, str]) -> bytes:
    """Return the body of an error."""
    more = "".join(tag(name, value) for name, value in fields.items())
    parts = tag("Code", code) + tag("Message", message) + more + tag("Resource", resource) + tag("RequestId", request_id)
    return document(f"<Error>{parts}</Error>")


def kernel_form(fault: Fault, status: int) -> Form:
    """Word a fault that is raised before a request reaches this face, or a bug."""
    code = {404: "NoSuchKey", 405: "MethodNotAllowed", 413: "EntityTooLarge"}.get(status, "InternalError")
    code = fault.kind if isinstance(fault, S3Error) else "InvalidRequest" if status == 400 else code
    body = body_of(code, fault.message, "", "", {}).decode()
    return body, {"Content-Type": "application/xml", **fault.headers}
