"""Questions asked of identity's tables; the answers are plain records."""
