"""The HTTP API: one file per noun, one row per operation (docs/protocol.md, section 2).

    application    the table of operations, and the layers around it
    operations     what an operation is: its call, decoded and authenticated before a handler sees it
    edge           security headers, the last net for bugs, the bound on bodies
    api            the parts of the gateway that handlers use
    mutations      the road of every change: an intent, and a wait for what came of it
    auth           register, sign in, refresh, sign out
    sessions       one's devices; another password
    users          oneself, others, search
    conversations  list, get, create
    messages       send, get, page, threads, pins
    changes        edit, delete, react, pin
    members        members, roles, settings, what a conversation is to oneself, blocks
    receipts       how far one has read; who has read a message
    sync           the whole state, bounded and paged
    bots           bots of one's own and their tokens; signing in as one
    webhooks       webhooks of one's own
    events         the user's log by long poll
    openapi        the document made from the table

A request: `edge` bounds it → `operations` decodes and authenticates → a handler → either the store (reads) or `mutations`
(changes: intake → Redis → consumers → `answers`) → JSON. Refusals are `problems.Problem`, rendered in one place.
"""
