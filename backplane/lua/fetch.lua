#!lua name=hr1_fetch

-- Takes entries for the owner of a partition: the only way to take any. The token is checked and the read does not block, so a
-- paused owner has no read at the server that could swallow an entry (hole A4).
--
-- keys: stream, token, cursor, run, era
-- args: token, group, consumer, count, '>' for new entries or '0' for those taken and not acknowledged
-- returns: {era, entries, id of the last entry handed out or in the stream}, or {false, run_id, era or false}
-- when the server is another than the one noted: the shards need new eras first (hole A6)
local function newer(one, other)
  local ms, seq = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)$')
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms > other_ms or (ms == other_ms and tonumber(seq) > tonumber(other_seq))
end

local function last_id(stream)
  local info = redis.pcall('XINFO', 'STREAM', stream)
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then
      return info[at + 1]
    end
  end
  return '0-0'
end

-- A lost group goes on at the stage's cursor instead of replaying a day (hole D6); but a cursor beyond the end of the stream
-- belongs to another stream, and passes over nothing.
local function create_group(stream, group, cursor)
  local start = redis.call('GET', cursor)
  if not start or newer(start, last_id(stream)) then
    start = '0'
  end
  local made = redis.pcall('XGROUP', 'CREATE', stream, group, start, 'MKSTREAM')
  if made.err and not string.find(made.err, '^BUSYGROUP') then
    return made
  end
end

local function fetch(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then
    return redis.error_reply('FENCED the partition has another owner')
  end
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local era = redis.call('GET', keys[5])
  if not era or redis.call('GET', keys[4]) ~= run then
    return {false, run, era}
  end
  local read = {'XREADGROUP', 'GROUP', args[2], args[3], 'COUNT', args[4], 'STREAMS', keys[1], args[5]}
  local taken = redis.pcall(unpack(read))
  if taken and taken.err and string.find(taken.err, '^NOGROUP') then
    local failed = create_group(keys[1], args[2], keys[3])
    if failed then
      return failed
    end
    taken = redis.pcall(unpack(read))
  end
  if taken and taken.err then
    return taken
  end
  local entries = taken and taken[1][2] or {}
  if args[5] == '>' and #entries > 0 then
    return {era, entries, entries[#entries][1]}
  end
  return {era, entries, last_id(keys[1])}
end

redis.register_function{function_name = 'hr1_fetch', callback = fetch, flags = {'allow-oom'}}
