"""The WebSocket side of a gateway: frames in, intents out; doorbells in, frames out. No database, nothing to remember.

In reading order::

    client ══ transport ══ line ══ connection ══▶ intake ──▶ intent streams
                                      │  ▲
                             session (decides, no I/O)
                                      │  ▲
                                   delivery ◀── hub ◀── doorbells
                                      ▲
                                   catchup ◀── user logs

    handshake   what a client must bring before it is anybody: origin, sub-protocol, first frame      [pure]
    resume      whether a position can be continued: the table of the protocol                        [pure]
    delivery    what one connection has had of its user's log, and what it lacks                      [pure]
    session     every other decision of one connection: frames, clocks, goodbyes                      [pure]
    marking     receipts that wait to be appended, merged                                             [pure]
    catchup     looking at a log and reading pages of it
    line        one socket as we use it: send, receive, say goodbye, abort
    transport   the thin subclass of uvicorn's WebSocket protocol that lets a line abort
    connection  one connection's reader and writer: does what the session decides
    roster      who is connected here, and which doorbells are subscribed for them
    hub         all connections of this process: welcome, rings, sweep, clock, drain
"""
