"""Directory trees of this host, as its kernel shows them: what sources of files share."""
