"""The guest image: a small Linux made of Debian's own files, for tests, demonstrations and teaching.

`python -m pileus.guest build OUT.qcow2` takes a kernel, busybox, dropbear and a few programs from Debian packages, adds the
scripts in `root/` and `initramfs/` beside this module, and writes a bootable qcow2. It needs no root, no loop device and no
network when the packages are there. It is not a distribution: nothing can be installed in it.

The guest finds out who it is from a config drive or the metadata service, has the user `cirros` (password `gocubsgo`, sudo
without a password), takes the server's key for `cirros` and `root`, and says on its serial console how far it has come, in lines
that begin with `GUEST:` and end with `up=SECONDS`.
"""

from pileus.guest.build import Facts, build
from pileus.guest.packages import MissingPackages

__all__ = ["Facts", "MissingPackages", "build"]
