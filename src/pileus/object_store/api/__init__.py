"""Swift v1 over HTTP: reads requests, hands them to the use cases, words the answers."""
