"""Layers that are no files: logical volumes, images of Ceph.  Whoever keeps them copies them in a moment by itself."""
