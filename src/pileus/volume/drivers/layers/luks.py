"""The header of a LUKS container, version 1: AES-256 in XTS mode, and one passphrase.

From the LUKS on-disk format specification 1.2.3.  QEMU would write it, too, but measures for seconds how often it can hash: the
passphrase here is a random key of full strength, and stretching such a one gains nothing.
"""

import hashlib
import os
import struct
import uuid

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

MAGIC = b"LUKS\xba\xbe"
HEADER = struct.Struct(">6sH32s32s32sII20s32sI40s")
SLOT = struct.Struct(">II32sII")
ACTIVE, DISABLED = 0x00AC71F3, 0x0000DEAD
SECTOR_BYTES, KEY_BYTES, STRIPES, SLOTS, ITERATIONS = 512, 64, 4000, 8, 1000
FIRST_SLOT_SECTOR, SLOT_SECTORS = 8, 504
PAYLOAD_SECTOR = 4096
HEADER_BYTES = PAYLOAD_SECTOR * SECTOR_BYTES


def header(passphrase: bytes) -> bytes:
    """Return everything before the payload of a new container, with a new master key."""
    master, salt, slot_salt = os.urandom(KEY_BYTES), os.urandom(32), os.urandom(32)
    digest = hashlib.pbkdf2_hmac("sha256", master, salt, ITERATIONS, 20)
    made = HEADER.pack(
        MAGIC, 1, b"aes", b"xts-plain64", b"sha256", PAYLOAD_SECTOR, KEY_BYTES, digest, salt, ITERATIONS,
        str(uuid.UUID(bytes=os.urandom(16), version=4)).encode(),
    )  # fmt: skip
    for slot in range(SLOTS):
        at = FIRST_SLOT_SECTOR + slot * SLOT_SECTORS
        made += SLOT.pack(*((ACTIVE, ITERATIONS, slot_salt) if slot == 0 else (DISABLED, 0, b"")), at, STRIPES)
    key = hashlib.pbkdf2_hmac("sha256", passphrase, slot_salt, ITERATIONS, KEY_BYTES)
    material = _encrypted(key, _split(master))
    return (made.ljust(FIRST_SLOT_SECTOR * SECTOR_BYTES, b"\0") + material).ljust(HEADER_BYTES, b"\0")


def _split(secret: bytes) -> bytes:
    """Spread a secret over stripes of which every single one is needed to have it back."""
    stripes, mixed = [], bytes(len(secret))
    for _ in range(STRIPES - 1):
        stripes.append(os.urandom(len(secret)))
        mixed = _diffused(_xor(mixed, stripes[-1]))
    return b"".join(stripes) + _xor(mixed, secret)


def _diffused(block: bytes) -> bytes:
    parts = range(0, len(block), 32)
    return b"".join(hashlib.sha256(struct.pack(">I", at // 32) + block[at : at + 32]).digest() for at in parts)


def _xor(one: bytes, two: bytes) -> bytes:
    return (int.from_bytes(one) ^ int.from_bytes(two)).to_bytes(len(one))


def _encrypted(key: bytes, content: bytes) -> bytes:
    found = bytearray()
    for number in range(0, len(content) // SECTOR_BYTES):
        tweak = number.to_bytes(16, "little")
        sector = Cipher(algorithms.AES(key), modes.XTS(tweak)).encryptor()
        found += sector.update(content[number * SECTOR_BYTES : (number + 1) * SECTOR_BYTES]) + sector.finalize()
    return bytes(found)
