"""The cloud's own certificate authority, and the certificates by which its processes and hosts know one another.

ca/    ca-key.pem, ca-cert.pem      where the authority is: with the first process of the control plane
tls/   key.pem, cert.pem, ca.pem    what a process or host is known by, for both ends of a connection
"""

import contextlib
import datetime
import os
import shutil
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

YEARS = 10
NAME_MAX = 64
QEMU_NAMES = {"ca-cert.pem": "ca.pem", "{}-cert.pem": "cert.pem", "{}-key.pem": "key.pem"}
BOTH_ENDS = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True)
class Identity:
    """What a process or host is known by: a directory with its key, its certificate and that of the authority."""

    directory: Path

    def exists(self) -> bool:
        """Tell whether it has been issued."""
        return self.directory.is_dir()

    @property
    def authority_pem(self) -> bytes:
        """The certificate of the authority that issued it."""
        return (self.directory / "ca.pem").read_bytes()

    def context(self, *, server: bool) -> ssl.SSLContext:
        """Return the terms of a connection: TLS 1.3, and both ends hold a certificate of the authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # who holds a certificate of this authority is one of us, wherever it is
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(self.directory / "ca.pem")
        context.load_cert_chain(self.directory / "cert.pem", self.directory / "key.pem")
        return context

    def keep(self, key: ec.EllipticCurvePrivateKey, certificate_pem: bytes, authority_pem: bytes) -> None:
        """Write it down, whole or not at all."""
        keep(self.directory, {"key.pem": private_pem(key), "cert.pem": certificate_pem, "ca.pem": authority_pem})

    def for_qemu(self) -> Path:
        """Return a directory beside this one with the same files under the names that QEMU looks for, at both ends."""
        directory = Path(os.path.abspath(self.directory)).with_name(f"{self.directory.name}-qemu")
        directory.mkdir(mode=0o700, exist_ok=True)
        for pattern, source in QEMU_NAMES.items():
            for name in {pattern.format(end) for end in ("server", "client")}:
                with contextlib.suppress(FileExistsError):
                    os.symlink(f"../{self.directory.name}/{source}", directory / name)
        return directory


class Authority:
    """Signs certificates.

    :param directory: where its key is; made at first use.
    :param name: how it is called in its certificate.
    """

    def __init__(self, directory: Path, name: str = "pileus") -> None:
        self._directory, self._name = directory, name

    def exists(self) -> bool:
        """Tell whether it is here."""
        return self._directory.is_dir()

    def ensure(self) -> None:
        """Make the authority's key and certificate, unless they are there."""
        if self._directory.exists():
            return
        key, name = new_key(), _name(self._name)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = _builder(name, name, key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        certificate = builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        keep(self._directory, {"ca-key.pem": private_pem(key), "ca-cert.pem": pem})

    @property
    def pem(self) -> bytes:
        """The authority's certificate."""
        return (self._directory / "ca-cert.pem").read_bytes()

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the authority's certificate, as hexadecimal digits: how a host that joins knows the cloud."""
        return fingerprint(self.pem)

    def sign(
        self,
        public_key: ec.EllipticCurvePublicKey,
        name: str,
        purposes: Sequence[x509.ObjectIdentifier] = BOTH_ENDS,
        names: x509.SubjectAlternativeName | None = None,
    ) -> bytes:
        """Return a certificate (PEM) for a key, under a name, for some ends of a connection.

        :param names: where it is, for those who ask for that.
        """
        key = serialization.load_pem_private_key((self._directory / "ca-key.pem").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        builder = _builder(_name(name), x509.load_pem_x509_certificate(self.pem).subject, public_key)
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, identity: Identity, name: str) -> None:
        """Make an identity right here."""
        key = new_key()
        identity.keep(key, self.sign(key.public_key(), name), self.pem)


def own_identity(state_dir: Path, name: str) -> Identity:
    """Return the identity of a process that has the authority, or of a host that has joined; the first is made if need be."""
    identity, authority = Identity(state_dir / "tls"), Authority(state_dir / "ca")
    if not identity.exists() or (authority.exists() and identity.authority_pem != authority.pem):
        authority.ensure()
        authority.issue(identity, name)
    return identity


def new_key() -> ec.EllipticCurvePrivateKey:
    """Return a new private key."""
    return ec.generate_private_key(ec.SECP256R1())


def request(key: ec.EllipticCurvePrivateKey, name: str) -> bytes:
    """Return a request (PEM) for a certificate."""
    made = x509.CertificateSigningRequestBuilder().subject_name(_name(name)).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def requested_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """Return the key of a request, whose sender holds the private one.  :raises ValueError: when it is none."""
    found = x509.load_pem_x509_csr(pem)
    key = found.public_key()
    if not found.is_signature_valid or not isinstance(key, ec.EllipticCurvePublicKey):
        raise ValueError("This is no request for a certificate.")
    return key


def fingerprint(pem: bytes) -> str:
    """Return the SHA-256 of a certificate as hexadecimal digits."""
    return x509.load_pem_x509_certificate(pem).fingerprint(hashes.SHA256()).hex()


def serial(pem: bytes) -> str:
    """Return the number of a certificate as hexadecimal digits, two a byte, as Python's ssl gives it."""
    number = f"{x509.load_pem_x509_certificate(pem).serial_number:X}"
    return number.zfill(len(number) + len(number) % 2)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    builder = builder.not_valid_before(now - datetime.timedelta(days=1))
    builder = builder.not_valid_after(now + datetime.timedelta(days=365 * YEARS))
    return builder.serial_number(x509.random_serial_number())


def private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key as PEM, not encrypted."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def keep(directory: Path, files: Mapping[str, bytes]) -> None:
    """Make a directory of files that only its owner may read, in place of one that is there, whole or not at all."""
    new = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700, parents=True)
    for name, content in files.items():
        _write(new / name, content)
    shutil.rmtree(directory, ignore_errors=True)
    os.rename(new, directory)


def _name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:NAME_MAX])])


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
