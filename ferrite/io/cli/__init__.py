"""Command lines. Each imports what it runs only when it runs it, so that --help is quick."""
