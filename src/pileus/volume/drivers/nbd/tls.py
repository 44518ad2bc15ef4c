"""A certificate authority of a back end's own, and the certificates of its server and of the hosts that connect.

ca/                  ca-key.pem, ca-cert.pem
server-ADDRESS/      server-key.pem, server-cert.pem, ca-cert.pem
host-NAME/           client-key.pem, client-cert.pem, ca-cert.pem: what a host needs to connect
"""

import datetime
import ipaddress
import os
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pileus.volume.drivers.layers.tree import checked

YEARS = 10
HOST_NAME_MAX = 64


def server_directory(tls: Path, address: str) -> Path:
    """Return the directory with the certificate of the server at an address."""
    directory = tls / f"server-{ipaddress.ip_address(address)}".replace(":", "-")
    if not directory.exists():
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address)), x509.DNSName("localhost")])
        _issue(tls, directory, "server", f"storage at {address}", ExtendedKeyUsageOID.SERVER_AUTH, names)
    return directory


def host_directory(tls: Path, host: str) -> Path:
    """Return the directory with what a host needs to connect.  Its name in the certificate is that of the host."""
    directory = tls / f"host-{checked(host.replace('.', '_'))}"
    if not directory.exists():
        _issue(tls, directory, "client", host, ExtendedKeyUsageOID.CLIENT_AUTH)
    return directory


def subject(host: str) -> str:
    """Return a host's name as it stands in its certificate."""
    return f"CN={host}"


def _issue(
    tls: Path,
    directory: Path,
    role: str,
    name: str,
    purpose: x509.ObjectIdentifier,
    names: x509.SubjectAlternativeName | None = None,
) -> None:
    ca_key, ca = _authority(tls)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, ca.subject, key).add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    new = directory.with_name(f".{directory.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(mode=0o700)
    _write(new / f"{role}-key.pem", _private(key))
    _write(new / f"{role}-cert.pem", builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    _write(new / "ca-cert.pem", ca.public_bytes(serialization.Encoding.PEM))
    os.rename(new, directory)


def _authority(tls: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    folder = tls / "ca"
    if not folder.exists():
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "volumes")])
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = _builder("volumes", name, key).add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        certificate = builder.add_extension(usage, critical=True).sign(key, hashes.SHA256())
        new = tls / ".ca.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True, mode=0o700)
        _write(new / "ca-key.pem", _private(key))
        _write(new / "ca-cert.pem", certificate.public_bytes(serialization.Encoding.PEM))
        os.rename(new, folder)
    loaded = serialization.load_pem_private_key((folder / "ca-key.pem").read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return loaded, x509.load_pem_x509_certificate((folder / "ca-cert.pem").read_bytes())


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    subject_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:HOST_NAME_MAX])])
    builder = x509.CertificateBuilder().subject_name(subject_name).issuer_name(issuer).public_key(key.public_key())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
        now + datetime.timedelta(days=365 * YEARS)
    )
    return builder.serial_number(x509.random_serial_number())


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def _write(path: Path, content: bytes) -> None:
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
