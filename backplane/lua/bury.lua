#!lua name=hr1_bury

-- Moves an entry to the dead stream, emits the events that tell of it, and acknowledges it: never silent, never twice (hole A10).
--
-- keys: stream, token, events, attempts, dead
-- args: token, group, id, number of events, header and body of each, then the fields of the dead entry
-- returns: 1, or 0 if the entry was acknowledged before
local function bury(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then
    return redis.error_reply('FENCED the partition has another owner')
  end
  for _, key in ipairs({keys[3], keys[5]}) do
    local kind = redis.call('TYPE', key).ok
    if kind ~= 'stream' and kind ~= 'none' then
      return redis.error_reply('WRONGTYPE ' .. key .. ' is no stream')  -- before anything is acknowledged
    end
  end
  if redis.call('XACK', keys[1], args[2], args[3]) == 0 then
    return 0
  end
  local fields = 5 + 2 * tonumber(args[4])
  for event = 5, fields - 2, 2 do
    redis.call('XADD', keys[3], '*', 'h', args[event], 'b', args[event + 1])
  end
  local now = redis.call('TIME')
  local last_ms = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
  redis.call('XADD', keys[5], '*', 'last_ms', last_ms, unpack(args, fields))
  redis.call('HDEL', keys[4], args[3])
  return 1
end

redis.register_function{function_name = 'hr1_bury', callback = bury, flags = {'allow-oom'}}
