"""Workers: each owns some partitions for a stage, takes what is there, handles it, settles it.

Read in this order::

    __main__ ─▶ process ─▶ worker ─▶ tenure + runner ─▶ stages ─┬▶ persist ─▶ decide       intents  ─▶ MongoDB, events
                             │             │                    ├▶ receipts ─▶ watermarks  marks    ─▶ MongoDB, events
                             │             │                    ├▶ fanout ─▶ recipients    events   ─▶ user logs
                             └▶ sharing    └▶ lanes, pace        └▶ webhooks/              events   ─▶ other people's servers

    __main__    `python -m consumers --stages persist,fanout,receipts`
    process     the composition root: opens what is outside, runs one worker a stage, stops them
    monitor     `/health` and `/metrics` of the process
    worker      one stage in this process: heartbeats, takes and gives back partitions, runs a tenure on each
    sharing     how many partitions are mine: pure
    tenure      one ownership under one token: kept alive beside the work, and dead by itself when not renewed
    runner      one tenure's loop: pending first, then fetch → handle → settle; retries, isolation, dead-lettering
    lanes       what was taken and is not settled, in order; entries that wait behind one that failed: pure
    pace        batch size and back-off under trouble: pure
    stages      what a stage is to the runner, and the table of how each is built
    persist     intents: look up, decide, write, render; the shell
    decide      intents: repeats first, then checks, then numbers; pure
    verdicts    what its outcomes look like as events: pure
    ledger      the counters and members of the conversations touched in a tenure
    receipts    marks: merge, look up, raise; the shell
    watermarks  marks: merged, clamped, only forward; pure
    tidings     what new levels look like as events; pure
    fanout      events: append to every recipient's log, shard by shard
    recipients  who gets an event: a function of the event
    webhooks/   events: park what webhooks want, and send it
    inspection/ uploads: our own look at their bytes; pure (no stage uses it yet)
    imaging/    uploads that are images: decoded, and made small, in a process of their own (no stage uses it yet)
    cache       a bounded map that forgets what was used least recently

A stage never acknowledges: the runner does, after the stage has answered for every entry.
"""
