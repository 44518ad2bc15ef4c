"""Programs that behave as those of LVM and of Ceph do, as far as back ends use them, but keep everything in files."""
