"""What runs in the background on a storage node.  Each daemon is run_once; `run_forever` repeats it and leaves figures."""
