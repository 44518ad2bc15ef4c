"""Does KVM truly run guests here?  Run as a program: `python -m pileus.compute.kvm` prints one line of JSON.

That /dev/kvm opens says little: nested in a virtual machine it may interpret the kernel code of its guests, a thousand
times slower than the emulator of QEMU, or hang.  So this runs a guest of a few bytes (64-bit mode, paging on, most
privileged) which counts down in a loop and ends with an OUT instruction, takes the time, and asks for a minimal speed.
It happens in a process of its own, which can be killed when it hangs, whatever threads the caller has.

The numbers are those of linux/kvm.h and asm/kvm.h for x86-64; sizes of the structures are part of each request number.
"""

import ctypes
import fcntl
import functools
import json
import mmap
import os
import platform
import struct
import subprocess
import sys
import time
from dataclasses import dataclass

DEADLINE_SECONDS = 3.0
LOOPS = 20_000
MIPS_MIN = 100.0

API_VERSION = 12
GET_API_VERSION, CREATE_VM, GET_VCPU_MMAP_SIZE = 0xAE00, 0xAE01, 0xAE04
CREATE_VCPU, SET_TSS_ADDR, RUN = 0xAE41, 0xAE47, 0xAE80
SET_USER_MEMORY_REGION, GET_SUPPORTED_CPUID, SET_CPUID2 = 0x4020AE46, 0xC008AE05, 0x4008AE90
GET_SREGS, SET_SREGS, SET_REGS = 0x8138AE83, 0x4138AE84, 0x4090AE82
EXIT_IO = 2

MEMORY_BYTES = 4 * 1024**2
LEVEL_4, LEVEL_3, LEVEL_2, STACK, CODE = 0x1000, 0x2000, 0x3000, 0x8000, 0x10000
PRESENT_WRITABLE, LARGE_PAGE = 0x3, 0x80
CR0_PE_ET_NE_WP_AM_PG, CR4_PAE_OSFXSR_OSXMMEXCPT, EFER_SCE_LME_LMA = 0x80050033, 0x620, 0x501
SEGMENT_CODE, SEGMENT_DATA = 11, 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether guests may be run by KVM here, and why."""

    usable: bool
    reason: str


@functools.cache
def usable() -> Verdict:
    """Say whether KVM runs guest code at the speed of the machine.  Takes 0.1 s the first time, nothing later."""
    if platform.machine() != "x86_64":
        return Verdict(False, f"the probe does not know {platform.machine()}")
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return Verdict(False, "no access to /dev/kvm")
    command = [sys.executable, "-m", "pileus.compute.kvm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Verdict(False, f"a guest of {LOOPS} loops did not end in {DEADLINE_SECONDS:g} s")
    try:
        speed_mips = float(json.loads(done.stdout)["mips"])
    except (ValueError, KeyError):
        return Verdict(False, f"KVM failed: {(done.stderr.strip().splitlines() or [f'exit status {done.returncode}'])[-1]}")
    return Verdict(speed_mips >= MIPS_MIN, f"{speed_mips:.1f} MIPS in guest kernel mode, {MIPS_MIN:g} needed")


def measure_mips() -> float:
    """Return the speed of kernel-mode guest code, in million instructions a second.

    :raises OSError: when KVM refuses a step or the guest ends otherwise than it should.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    kvm = os.open("/dev/kvm", os.O_RDWR | os.O_CLOEXEC)
    if fcntl.ioctl(kvm, GET_API_VERSION) != API_VERSION:
        raise OSError("the API of /dev/kvm has another version")
    machine = fcntl.ioctl(kvm, CREATE_VM, 0)
    libc.ioctl(machine, ctypes.c_ulong(SET_TSS_ADDR), ctypes.c_ulong(0xFFFBD000))
    memory = _guest_memory()
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    fcntl.ioctl(machine, SET_USER_MEMORY_REGION, struct.pack("=IIQQQ", 0, 0, 0, MEMORY_BYTES, address))
    vcpu = fcntl.ioctl(machine, CREATE_VCPU, 0)
    shared = mmap.mmap(vcpu, fcntl.ioctl(kvm, GET_VCPU_MMAP_SIZE))
    cpuid = bytearray(8 + 40 * 256)
    struct.pack_into("=I", cpuid, 0, 256)
    fcntl.ioctl(kvm, GET_SUPPORTED_CPUID, cpuid)
    fcntl.ioctl(vcpu, SET_CPUID2, cpuid)
    _set_registers(vcpu)
    start = time.perf_counter()
    if libc.ioctl(vcpu, ctypes.c_ulong(RUN), 0) < 0:
        raise OSError(ctypes.get_errno(), "KVM does not run the guest")
    elapsed_seconds = time.perf_counter() - start
    reason: int = struct.unpack_from("=I", shared, 8)[0]
    if reason != EXIT_IO:
        raise OSError(f"the guest ended with KVM exit reason {reason}")
    return 2 * LOOPS / elapsed_seconds / 1e6


def _guest_memory() -> mmap.mmap:
    """Page tables that map the first 4 MiB to themselves, and the code: mov ecx, LOOPS; dec ecx; jnz; out 0xf4, al; hlt."""
    memory = mmap.mmap(-1, MEMORY_BYTES)
    struct.pack_into("=Q", memory, LEVEL_4, LEVEL_3 | PRESENT_WRITABLE)
    struct.pack_into("=Q", memory, LEVEL_3, LEVEL_2 | PRESENT_WRITABLE)
    struct.pack_into("=QQ", memory, LEVEL_2, PRESENT_WRITABLE | LARGE_PAGE, (1 << 21) | PRESENT_WRITABLE | LARGE_PAGE)
    code = b"\xb9" + struct.pack("<I", LOOPS) + b"\xff\xc9\x75\xfc\xe6\xf4\xf4"
    memory[CODE : CODE + len(code)] = code
    return memory


def _segment(selector: int, kind: int, long_mode: int) -> bytes:
    """A flat segment as struct kvm_segment has it."""
    default_size = 1 - long_mode
    return struct.pack("=QIH10B", 0, 0xFFFFFFFF, selector, kind, 1, 0, default_size, 1, long_mode, 1, 0, 0, 0)


def _set_registers(vcpu: int) -> None:
    """Put the processor into 64-bit mode at the first instruction."""
    special = bytearray(0x138)
    fcntl.ioctl(vcpu, GET_SREGS, special)
    flat = _segment(8, SEGMENT_CODE, 1) + _segment(16, SEGMENT_DATA, 0) * 5
    special[: len(flat)] = flat
    control = 8 * 24 + 2 * 16
    cr0_cr2_cr3_cr4_cr8_efer_apic = list(struct.unpack_from("=7Q", special, control))
    cr0_cr2_cr3_cr4_cr8_efer_apic[0] = CR0_PE_ET_NE_WP_AM_PG
    cr0_cr2_cr3_cr4_cr8_efer_apic[2] = LEVEL_4
    cr0_cr2_cr3_cr4_cr8_efer_apic[3] = CR4_PAE_OSFXSR_OSXMMEXCPT
    cr0_cr2_cr3_cr4_cr8_efer_apic[5] = EFER_SCE_LME_LMA
    struct.pack_into("=7Q", special, control, *cr0_cr2_cr3_cr4_cr8_efer_apic)
    fcntl.ioctl(vcpu, SET_SREGS, bytes(special))
    general = bytearray(0x90)
    struct.pack_into("=Q", general, 6 * 8, STACK)
    struct.pack_into("=QQ", general, 16 * 8, CODE, 2)
    fcntl.ioctl(vcpu, SET_REGS, bytes(general))


if __name__ == "__main__":
    print(json.dumps({"mips": max(measure_mips(), measure_mips())}))
