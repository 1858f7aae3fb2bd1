"""Every outside system, one module each; the only code that imports a driver. Imports `schemas` and nothing above.

    errors      Transient, Unknown, Permanent, Fenced: what a caller may do next
    settings    the configuration of a process, checked at once
    setting_rules  what single settings can not say of themselves: pure
    telemetry   logs and metrics: names and set-up
    redis       the three clients of a process, `adopt` on every new connection, function libraries   [redis]
    lua/        one file per atomic operation, loaded as function libraries
    streams     partitions: append intents; fetch, settle, ack, bury, trim under a token
    leases      who owns a partition for a stage, and how many workers share
    logs        user logs: open, append, read, sweep
    limits      rate limits on Redis' clock
    revocations sessions that ended before their access tokens
    keys        the ring of keys that sign access tokens: pure
    grants      who may watch and type where, ordered by `rev`
    presence    who is there: what connections say, merged
    history     what the partition streams still hold, for operators
    doorbells   sharded pub/sub: what rings for the users connected here
    publisher   publishing what may be lost: bounded, in pipelines
    store/      MongoDB: migrations, users, sessions, conversations, messages                         [pymongo]
    objects/    S3: what was uploaded, and what may be served                                          [boto3]
    scans       the queue of files to be scanned: claimed, in no order
    scanner     clamd: what it says of bytes                                                          [clamd]
    layout      the layout that MongoDB keeps and Redis copies: refuse another
    inspection/ what is wrong with a deployment, for operators

The gateway uses `streams.Intents`, `logs`, `doorbells`, `grants`, `presence`, `publisher`, `limits`, `revocations`, `keys`; its REST side and the consumers also use `store`.
"""
