"""The use cases of identity.  Others enter here."""
