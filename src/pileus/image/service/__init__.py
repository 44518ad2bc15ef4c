"""The use cases of images, a module a noun."""
