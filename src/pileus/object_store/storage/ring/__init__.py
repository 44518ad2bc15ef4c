"""Rings: which devices keep which partition.  `table` is the finished ring, `builder` makes and changes it."""
