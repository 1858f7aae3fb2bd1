"""The WebSocket side of a gateway: frames in, intents out; doorbells in, frames out. No database, nothing to remember.

In reading order::

    client ══ transport ══ line ══ connection ══▶ intake ──▶ intent streams
                                      │  ▲
                             session (decides, no I/O)
                                      │  ▲
                                   delivery ◀── hub ◀── doorbells
                                      ▲
                                   catchup ◀── user logs

    client ◀══ connection ◀── ephemera ◀══▶ channels of conversations and of users

    admission   which sockets are taken: not too many in a second, of one address, of one person
    handshake   what a client must bring before it is anybody: origin, sub-protocol, first frame      [pure]
    resume      whether a position can be continued: the table of the protocol                        [pure]
    delivery    what one connection has had of its user's log, and what it lacks                      [pure]
    throttle    how often a connection may say that somebody types                                   [pure]
    wants       what a connection wants to hear besides its user's log                                [pure]
    replacement which running copy of a client a connection belongs to                                [pure]
    session     every other decision of one connection: frames, clocks, goodbyes                      [pure]
    marking     receipts that wait to be appended, merged                                             [pure]
    catchup     looking at a log and reading pages of it
    line        one socket as we use it: send, receive, say goodbye, abort
    transport   the thin subclass of uvicorn's WebSocket protocol that lets a line abort
    connection  one connection's reader and writer: does what the session decides
    roster      who is connected here, and which doorbells are subscribed for them
    listener    what ephemera need of a connection, and of whoever knows who may do what
    interest    who here wants to hear which channel of ephemera
    watches     watching conversations, and typing in them
    attendance  what the connections here say of their users, until it is written                     [pure]
    acquaintance  what clients here know of one user, and what is news                                [pure]
    presence    writing who is here, telling who wants to know
    ephemera    all of that of this process: requests, rings, sweep
    hub         all connections of this process: welcome, rings, sweep, clock, drain
"""
