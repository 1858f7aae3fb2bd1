"""MongoDB, the truth. The only import of `pymongo`; everything in here speaks our own types.

    mongo          the client and its limits; the layout
    indexes        the table of indexes: they carry the guarantees
    users          people and their passwords
    sessions       refresh tokens, one family a session
    conversations  conversations and members: states for persist, lists for REST, recipients for fanout
    marks          how far people have received and read: only ever raised
    lookups        newest messages and unread mentions of many conversations at once
    keys           under which keys a message is found; pure
    messages       messages: repeats, ordered inserts, pages
    bots           tokens of bots, with their scopes
    webhooks       who wants which events where, and how that goes
    deliveries     what waits to be sent to a webhook
    attachments    uploaded files: what became of them, and which message holds them
    facts          what a server says of itself, for `headrace doctor`
    together       writes of several partitions in one command
    documents      structs to documents and back; bounded queries
    failures       the driver's exceptions, translated once

Documents (timestamps are `*_ms` integers; ids are UUID strings; a field that is null or at its default is absent)::

    users          {_id, username, display_name, email?, password_hash, disabled?, created_ms, bot?, owner_id?}
    sessions       {_id, user_id, token_hash, previous_hash?, spent: [hash, …]?, rotated_ms, created_ms, expires_ms, idle_expires_ms,
                    revoked_ms?, device?}
    conversations  {_id, kind, title|null, created_by, created_ms, intent_id, body_hash, rev, last_seq, last_message_id?}
    members        {_id: "<conversation>:<user>", conversation_id, user_id, role, rev, spans: [[joined_rev, left_rev|null], …],
                    delivered_seq?, read_seq?, private_read_seq?, marked_by?, privately_by?,
                    listed: "<conversation's created_ms>:<conversation>"}
    marks          {_id: "<conversation>:<user>:<thread root>", conversation_id, user_id, thread_root_id, delivered_seq?, read_seq?,
                    private_read_seq?, marked_by?, privately_by?}
    messages       {_id, conversation_id, seq, rev, sender_id|null, client_msg_id, intent_id, body_hash, text|null, reply_to?,
                    thread_root_id?, mentions?, attachments?: [{version, attachment}, …], found_by: [key, …], created_ms, edited_ms?, deleted_ms?, void?}
    bot_tokens     {_id, bot_id, token_hash, scopes: [scope, …], created_ms, revoked_ms?}
    webhooks       {_id, owner_id, url, secret, conversation_id?, events?: [name, …], created_ms, active_ms, enabled,
                    failing_since_ms?, failures?, dropped?, last_error?, disabled_reason?}
                   and one more, {_id: "changed", token}: another token whenever what is enabled has changed
    webhook_deliveries {_id: "<webhook>:<event>", webhook_id, partition, at: "<stream id, padded>", event_id, body, parked_ms}
    attachments    {_id, owner_id, name, content_type, size, sha256?, created_ms, version, status, reason?, etag?, queued_ms?,
                    decided_ms?, digest?, signatures?, scanned?, served_type?, width?, height?, thumbnail?, thumbnail_type?,
                    message_id?, conversation_id?, loose_ms?, check_ms?, gone_ms?, cleared?, attempts?}
    layout         {_id: "layout", namespace, partitions, shards, schema_version}

Queries are written to be right and fast on MongoDB and on the embedded stand-in alike: ranges bound at both ends, `$in` in
chunks of at most 50, no `find_one_and_*` on large collections, no top-level `$or`, results of `$in` sorted here.
Every write is majority and journalled; look-ups that decide something read with majority concern (hole C5).
"""
