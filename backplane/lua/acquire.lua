#!lua name=hr1_acquire

-- Takes a lease that is free or the caller's own, with a new token: from now on every call under an older one is fenced
-- (holes A4, A11). The token has no expiry: a lease that ran out fences nobody until somebody else takes it.
--
-- keys: lease, token   args: worker id, the new token, life in ms   returns: 1, or 0 if it is somebody else's
local function acquire(keys, args)
  local owner = redis.call('GET', keys[1])
  if owner and owner ~= args[1] then
    return 0
  end
  redis.call('SET', keys[1], args[1], 'PX', args[3])
  redis.call('SET', keys[2], args[2])
  return 1
end

redis.register_function{function_name = 'hr1_acquire', callback = acquire, flags = {'allow-oom'}}
