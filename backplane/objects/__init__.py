"""The object store, any that speaks S3. The only import of `boto3` and `botocore`; everything in here speaks our own types.

    s3           the object store of a deployment: two buckets, forms and links, promotion
    bucket       one bucket: look, read, write, delete, list what is old
    parts        a stream cut into parts of a bounded size: pure
    disposition  under which name a browser saves a file: pure
    preparation  the buckets, who may write to them from the web, and what goes by itself
    driver       the driver's client, its time-outs and the retry
    threads      the threads in which the driver runs; never the event loop
    failures     the driver's exceptions, translated once
    shapes       what is said of an object, and the form of an upload

What somebody uploads lies in the *quarantine* bucket, where it can be overwritten as long as the form is good. Only `promote` brings it
into the *clean* bucket, by the ETag of what was looked at, and links are made for the clean bucket alone::

    client ── form ──▶ quarantine ── read(etag) ──▶ who judges it
                           └──── promote(etag) ───▶ clean ── link ──▶ client
"""
