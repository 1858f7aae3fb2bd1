"""webhooks: events go to other people's servers, in order, at least once, or are given up visibly (docs/webhooks.md).

    stage      events: who wants them, parked in MongoDB; then they are settled
    directory  every enabled webhook, kept in memory
    matching   which webhooks get an event: pure
    sender     beside the runner, for one tenure: a line for each webhook for which something waits
    line       one webhook's deliveries of one partition: attempt, then next; its own waits
    policy     how long to wait, when to give up, when to disable: pure
    delivering the runner and the sender as one

    events ─▶ stage ─▶ MongoDB ─▶ line ─▶ receiver
                │                  ▲
                └──── wakes ───────┘

What is parked survives everything; so an event is settled as soon as it is parked, and a receiver that is slow or dead holds up
its own line alone.
"""
