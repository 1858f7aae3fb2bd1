"""What the looking commands ask of Redis and MongoDB: one module a noun, imported when the command runs.

    systems   opens Redis and MongoDB with this process' settings
    entries   a stream entry as a row

The nouns themselves (`cli/streams.py` …) say what is typed and what is printed, and import no driver, so that `--help` answers
at once.
"""
