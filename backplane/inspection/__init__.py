"""What is wrong with a deployment: facts are asked for, then judged without I/O. For `headrace doctor`.

    checks      one finding: what was looked at, how it is, what was seen, and what mends it
    settings    secrets and URLs
    redis       the server: version, memory, persistence, functions, clock
    mongodb     the server: version, topology, majority writes, layout and indexes, clock (asked by `store/facts`)
    objects     the object store: both buckets
    scanner     clamd: what it says of files whose answer is known (`samples`), its signatures, its limits
    machine     limits of this machine, versions of what runs here

Nothing here changes what it looks at, but that function libraries that Redis lacks are loaded, as by every process of ours.
"""
