"""Numbers in requests: decimal digits, and not without end."""

DIGITS_MAX = 18


def natural(text: str | None) -> int | None:
    """Return the number that a text is; None when it is none, or has too many digits to be meant."""
    if not text or len(text) > DIGITS_MAX or not (text.isascii() and text.isdecimal()):
        return None
    return int(text)
