#!lua name=hr1_attempt

-- Counts one attempt at an entry. Redis' own delivery count says how often an entry was read, not how often it failed (hole B1).
--
-- keys: token, attempts   args: token, entry id   returns: the count
local function attempt(keys, args)
  if redis.call('GET', keys[1]) ~= args[1] then
    return redis.error_reply('FENCED the partition has another owner')
  end
  return redis.call('HINCRBY', keys[2], args[2], 1)
end

redis.register_function{function_name = 'hr1_attempt', callback = attempt, flags = {'allow-oom'}}
