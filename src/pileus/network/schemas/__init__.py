"""What requests may hold (Structs that check them) and how records are shown."""
