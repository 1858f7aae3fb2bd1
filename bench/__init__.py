"""Load, measured honestly: an open loop over real WebSockets, with latency from the moment when a message was *meant* to be sent.

A server that stalls makes a closed loop wait politely and look fast (“coordinated omission”, Gil Tene); here the schedule goes on. The
same run counts correctness: every conversation gapless, every member everything exactly once.

    __main__    the command: scenarios, rates, where
    stack       `headrace up` in a folder of its own, and what its processes cost
    people      accounts and conversations, through REST
    socket      a WebSocket client that does next to nothing, so that the generator stays cheaper than what it measures
    load        the open loop
    findings    records → counts and percentiles; pure
    report      a table for people, JSON for programs
"""
