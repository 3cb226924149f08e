"""The sections of a report, each a heading, a sentence that says how to read it, and its figures or tables."""
