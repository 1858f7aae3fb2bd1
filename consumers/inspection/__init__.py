"""What our own look at an upload finds, before and beside the scanner's: pure, but for a temporary file that is handed in.

    problems   what can be wrong, and in which words
    promise    size and SHA-256, counted while it streams, against what was promised
    kinds      what the first bytes say that it is
    declared   that against what was declared; and the type that it is served with
    office     documents that are zips: by their entries
    archives   the front: which of the three, how deep
    zips       entries inflated and counted, never extracted
    tars       the same of tar, as a stream
    inflating  deflate and gzip within bounds
    names      entries that would be unpacked elsewhere
    budget     the limits, and what of them is used up; counts only what was seen, never what was declared
    intake     all of it in one pass over the bytes

    chunks ─▶ intake.through ─▶ scanner          promise, kinds, declared: while it streams; the first problem ends it
                   └▶ temporary file ─┬▶ intake.finish        archives, office: in a thread, when all of it is there
                                      └▶ imaging.picture_of   images that may be shown: decoded elsewhere, never here

Archives that the standard library can not inflate within bounds (7z, rar, xz, bzip2) are the scanner's alone.
"""
