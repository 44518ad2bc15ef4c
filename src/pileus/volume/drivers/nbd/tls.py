"""A certificate authority of a back end's own, and the certificates of its server and of the hosts that connect.

For a back end of a host that is known to no others: those of a cloud of many have certificates of the cloud's authority.

ca/                  ca-key.pem, ca-cert.pem
server-ADDRESS/      server-key.pem, server-cert.pem, ca-cert.pem
host-NAME/           client-key.pem, client-cert.pem, ca-cert.pem: what a host needs to connect
"""

import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from pileus import certificates
from pileus.certificates import NAME_MAX, Authority
from pileus.volume.drivers.layers.tree import checked


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
    return f"CN={host[:NAME_MAX]}"


def _issue(
    tls: Path,
    directory: Path,
    role: str,
    name: str,
    purpose: x509.ObjectIdentifier,
    names: x509.SubjectAlternativeName | None = None,
) -> None:
    authority, key = Authority(tls / "ca", "volumes"), certificates.new_key()
    authority.ensure()
    signed = authority.sign(key.public_key(), name, (purpose,), names)
    made = {f"{role}-key.pem": certificates.private_pem(key), f"{role}-cert.pem": signed, "ca-cert.pem": authority.pem}
    certificates.keep(directory, made)
