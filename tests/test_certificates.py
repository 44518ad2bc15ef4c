"""The cloud's certificates."""

import datetime
import socket
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from pileus import certificates
from pileus.certificates import Authority, Identity


@pytest.mark.parametrize("number", [0xABC, 0xABCD, 0x0FFFFFFFFF])
def test_numbers_are_as_the_other_end_of_a_connection_sees_them(tmp_path, number):
    authority, key = Authority(tmp_path / "ca"), certificates.new_key()
    authority.ensure()
    signer = serialization.load_pem_private_key((tmp_path / "ca" / "ca-key.pem").read_bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "host")]))
        .issuer_name(x509.load_pem_x509_certificate(authority.pem).subject)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(signer, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    client, server = Identity(tmp_path / "client"), Identity(tmp_path / "server")
    client.keep(key, pem, authority.pem)
    authority.issue(server, "server")
    here, there = socket.socketpair()
    seen = []

    def serve():
        with server.context(server=True).wrap_socket(there, server_side=True) as secure:
            seen.append(secure.getpeercert()["serialNumber"])

    thread = threading.Thread(target=serve)
    thread.start()
    with client.context(server=False).wrap_socket(here):
        thread.join(10)
    assert seen == [certificates.serial(pem)]
