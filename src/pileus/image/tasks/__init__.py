"""The long work of images."""
