#!lua name=hr1_settle

-- Acknowledges entries and adds the events that they make, all or nothing. An entry's events are added only if this
-- acknowledgement is its first: a settle that was thought lost and lands late emits nothing twice (hole B5).
--
-- keys: stream, token, events, attempts, cursor
-- args: token, group, cursor or '', then for each entry: id, number of events, and for each of those header and body
-- returns: how many acknowledgements were the first
local function settle(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then
    return redis.error_reply('FENCED the partition has another owner')
  end
  local kind = redis.call('TYPE', keys[3]).ok
  if kind ~= 'stream' and kind ~= 'none' then
    return redis.error_reply('WRONGTYPE events is no stream')  -- before anything is acknowledged
  end
  local counted = redis.call('EXISTS', keys[4]) == 1
  local first, at = 0, 4
  while at <= #args do
    local id, events = args[at], tonumber(args[at + 1])
    at = at + 2
    local acknowledged = redis.call('XACK', keys[1], args[2], id) == 1
    if acknowledged then
      first = first + 1
      for event = at, at + 2 * events - 2, 2 do
        redis.call('XADD', keys[3], '*', 'h', args[event], 'b', args[event + 1])
      end
    end
    if counted then
      redis.call('HDEL', keys[4], id)
    end
    at = at + 2 * events
  end
  if args[3] ~= '' then
    redis.call('SET', keys[5], args[3])
  end
  return first
end

redis.register_function{function_name = 'hr1_settle', callback = settle, flags = {'allow-oom'}}
