"""Scanning: what was uploaded is looked at, and served or refused; and what was left is swept away.

    running    the stage of a process, made of what is configured
    stage      takes entries of the queue, some at a time, and has each worked on until it is done
    work       one file, from quarantine to its verdict
    turns      some at a time, or one alone
    watch      what the scanner is by now
    judging    one pass over a file: ours, the scanner's, and the picture of an image
    verdict    what that comes to; pure
    telling    the message that holds a file is told by an intent, like every change of it (hole C12)
    sweep      what was left: uploads, files without a message, verdicts that got lost, objects of what was withdrawn

    quarantine ─▶ judging ─▶ clean bucket ─▶ verdict (compare and set) ─▶ telling ─▶ quarantine emptied ─▶ the queue's entry deleted

Each step may be done twice, so a crash anywhere is mended by doing it all again. Where the scanner or the object store is away, the work
waits, and no attempt is counted.
"""
