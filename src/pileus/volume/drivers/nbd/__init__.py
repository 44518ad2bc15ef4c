"""Serving files as NBD exports: a QEMU storage daemon for each, found again, watched and started again when it dies."""
