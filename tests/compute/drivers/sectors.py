"""Guests of one disk sector: BIOS programs, assembled by hand, that write to the serial port and obey the power button or not.

They run in a fraction of a second where a Linux guest takes five.  The BIOS loads the sector at 0x7c00; ACPI registers are those
that SeaBIOS sets up on the machine `pc`: status at 0x600, enable at 0x602, control at 0x604.
"""

IMAGE_BYTES = 1024**2  # the BIOS does not boot from a disk of one sector
GREETING = b"guest is up\r\n"

WRITE_GREETING = (
    b"\x31\xc0\x8e\xd8\x8e\xd0\xbc\x00\x7c"  # xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7c00
    b"\xbe\xee\x7d"  # mov si, greeting (at 0x7dee)
    b"\xac\x84\xc0\x74\x06\xba\xf8\x03\xee\xeb\xf5"  # next: lodsb; test al,al; jz done; mov dx,0x3f8; out dx,al; jmp next
)
ENABLE_BUTTON = b"\xba\x02\x06\xb8\x00\x01\xef"  # mov dx,0x602; mov ax,0x100; out dx,ax
WAIT_FOR_TICK = b"\xfb\xf4"  # sti; hlt: 18 times a second
WRITE_DOT = b"\xba\xf8\x03\xb0\x2e\xee"  # mov dx,0x3f8; mov al,'.'; out dx,al
POWER_OFF = b"\xba\x04\x06\xb8\x00\x20\xef"  # mov dx,0x604; mov ax,0x2000; out dx,ax
FLOOD = b"\xba\xf8\x03\xb0\x78\xb9\x00\x40\xee\xe2\xfd"  # mov dx,0x3f8; mov al,'x'; mov cx,0x4000; again: out dx,al; loop again


def _sector(code: bytes) -> bytes:
    assert len(code) <= 0x1EE
    return (code.ljust(0x1EE, b"\0") + GREETING.ljust(16, b"\0") + b"\x55\xaa").ljust(IMAGE_BYTES, b"\0")


def _forever(body: bytes) -> bytes:
    return body + b"\xeb" + (-(len(body) + 2) & 0xFF).to_bytes(1, "big")


def stubborn() -> bytes:
    """Greets, then writes a dot a tick and ignores the power button."""
    return _sector(WRITE_GREETING + _forever(WAIT_FOR_TICK + WRITE_DOT))


def obedient() -> bytes:
    """Greets, then writes a dot a tick until the power button is pressed, and switches itself off."""
    pressed = b"\xba\x00\x06\xed\xf6\xc4\x01"  # mov dx,0x600; in ax,dx; test ah,1
    loop = WAIT_FOR_TICK + WRITE_DOT + pressed
    return _sector(WRITE_GREETING + ENABLE_BUTTON + loop + b"\x74" + (-(len(loop) + 2) & 0xFF).to_bytes(1, "big") + POWER_OFF)


def shutting_down(ticks: int) -> bytes:
    """Greets, and switches itself off after some ticks."""
    return _sector(WRITE_GREETING + b"\xb9" + ticks.to_bytes(2, "little") + b"\xfb\xf4\xe2\xfd" + POWER_OFF)


def flooding() -> bytes:
    """Greets, then writes to the serial port for ever."""
    return _sector(WRITE_GREETING + _forever(FLOOD))
