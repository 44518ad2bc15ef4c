"""SSH key pairs and x509 key pairs: reading, fingerprints, making.  Fingerprints are MD5 of the key, as nova shows them."""

import base64
import binascii
import datetime
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

RSA_BITS = 2048
VALID_DAYS = 3650
USER_PRINCIPAL_NAME = ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")


class KeyInvalid(ValueError):
    """The text is no public key."""


@dataclass(frozen=True, slots=True)
class MadeKey:
    """A new key pair."""

    public_key: str
    private_key: str
    fingerprint: str


def ssh_fingerprint(public_key: str) -> str:
    """Return the fingerprint of a public key in the form of authorized_keys.

    :raises KeyInvalid: when it is none.
    """
    words = public_key.split(None, 2)
    try:
        blob = base64.b64decode(words[1], validate=True)
        length = int.from_bytes(blob[:4], "big")
        kind = blob[4 : 4 + length].decode("ascii")
    except (IndexError, binascii.Error, ValueError):
        raise KeyInvalid("Keypair data is invalid: failed to generate fingerprint") from None
    if kind != words[0] or len(blob) <= 4 + length or "\n" in public_key.strip():
        raise KeyInvalid("Keypair data is invalid: failed to generate fingerprint")
    return _colons(hashlib.md5(blob, usedforsecurity=False).digest())


def x509_fingerprint(certificate: str) -> str:
    """Return the SHA-1 fingerprint of a certificate in PEM.

    :raises KeyInvalid: when it is none.
    """
    try:
        loaded = x509.load_pem_x509_certificate(certificate.encode())
    except ValueError as error:
        raise KeyInvalid("Keypair data is invalid: failed to generate X509 fingerprint") from error
    return _colons(loaded.fingerprint(hashes.SHA1()))


def make_ssh() -> MadeKey:
    """Make an RSA pair, which the oldest guests and clients take too."""
    key = rsa.generate_private_key(65537, RSA_BITS)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    form = serialization.PrivateFormat.TraditionalOpenSSL
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    text = public + " Generated-by-Nova"
    return MadeKey(text, private, ssh_fingerprint(text))


def make_x509(user_id: str, now: float) -> MadeKey:
    """Make a certificate for logins to Windows (WinRM), with its private key."""
    key = rsa.generate_private_key(65537, RSA_BITS)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    start = datetime.datetime.fromtimestamp(int(now), datetime.UTC)
    principal = f"{user_id[:64]}@localhost".encode()
    other = x509.OtherName(USER_PRINCIPAL_NAME, b"\x0c" + bytes([len(principal)]) + principal)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=VALID_DAYS))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([other]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM).decode()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return MadeKey(public, private, x509_fingerprint(public))


def _colons(digest: bytes) -> str:
    return ":".join(f"{byte:02x}" for byte in digest)
