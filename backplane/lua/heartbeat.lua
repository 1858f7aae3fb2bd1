#!lua name=hr1_heartbeat

-- keys: the sorted set of workers   args: worker id, life in ms   returns: how many workers live
local function heartbeat(keys, args)
  local now = redis.call('TIME')
  local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
  redis.call('ZREMRANGEBYSCORE', keys[1], '-inf', string.format('%.0f', now_ms))
  redis.call('ZADD', keys[1], string.format('%.0f', now_ms + args[2]), args[1])
  return redis.call('ZCARD', keys[1])
end

redis.register_function{function_name = 'hr1_heartbeat', callback = heartbeat, flags = {'allow-oom'}}
