"""Load, measured honestly: an open loop over real WebSockets, with latency from the moment when a message was *meant* to be sent.

A server that stalls makes a closed loop wait politely and look fast (“coordinated omission”, Gil Tene); here the schedule goes on. The
same run counts correctness: every conversation gapless, every member everything exactly once; in the mixed scenario also every reaction and
edit at every member, and receipts that only rise.

    __main__    the command: scenarios, rates, where
    stack       `headrace up` in a folder of its own, and what its processes cost
    people      accounts and conversations, through REST
    socket      a WebSocket client that does next to nothing, so that the generator stays cheaper than what it measures
    member      a person on such a socket
    pace        the open loop: when things leave, how long stragglers are waited for

    load        messages alone, in conversations of one size
    findings    records → counts and percentiles; pure

    mixture     the mixed scenario by its seed: who talks with whom (Zipf), who does what when; pure
    view        what a member knows of a conversation, and the frame that an operation becomes; pure
    mixed       sends, read receipts, typing, reactions and edits at once
    history     what members saw, and the judgement on it; pure
    mixed_findings    records → counts and percentiles; pure

    report      a table for people, JSON for programs
"""
