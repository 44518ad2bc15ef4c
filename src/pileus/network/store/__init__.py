"""Questions asked of the network tables, and plain records as answers.  Decides nothing."""
