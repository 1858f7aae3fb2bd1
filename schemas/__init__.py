"""The contract: every shape and name that crosses a process boundary. Pure: no I/O, no clock, no randomness.

Read in the order a message meets them::

    client ──client_frames──▶ gateway ──intents──▶ consumers ──events──▶ user logs ──server_frames──▶ client

    ids            identifiers, positions, and which partition or shard holds what
    names          every key, channel, group and collection
    text           what is accepted as text from a person
    client_frames  arrow 1: client → gateway
    intents        arrow 2: gateway → intent stream
    entities       what a client sees: message, conversation, member, user
    events         arrow 3: consumers → event stream → user logs
    server_frames  arrow 4: gateway → client
    errors         error codes and close codes, as tables
    stages         the table of consumer stages
    webhooks       arrow 5: consumers → receivers of webhooks
    scopes         what a bot's token may be good for
"""
