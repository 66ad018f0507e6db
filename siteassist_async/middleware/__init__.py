"""The built-in middleware: retry, decoding, pacing and authentication."""
