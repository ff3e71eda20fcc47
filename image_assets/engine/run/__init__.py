"""One partition from start to end, and what is told of it."""
