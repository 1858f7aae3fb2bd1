"""`headrace up`: everything on one machine. A supervisor that starts in order, restarts what dies, and stops in reverse.

    command      the click command and the order of things: lock, services, migrate, consumers, gateways, demo
    folder       the data folder: its lock, the signing key, what was chosen before
    ports        which ports are free
    services/    Redis, MongoDB, S3 and clamd: given by a URL, found on this machine, or embedded
    processes    our own processes: gateways, consumers, and the one that scans
    supervisor   floors of children: start, keep alive, stop
    child        one process: its group, its output, its readiness, its end
    output       prefixed lines, colours, tables
    demo         three people and a group, made through REST

::

    floor 0  redis   mongodb   seaweedfs   clamd    stopped last; clamd is not waited for
    floor 1  consumers-1 … N   scanner              only with an object store; not waited for
    floor 2  gateway-1 … N            stopped first: they drain

Nothing in here knows a driver, and `child` and `supervisor` know nothing of Headrace.
"""
