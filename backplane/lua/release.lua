#!lua name=hr1_release

-- Gives a lease back at once. The token goes too, so that a late renewal can not take the lease again.
--
-- keys: lease, token   args: token   returns: 1, or 0 if it was not ours any more
local function release(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then
    return 0
  end
  redis.call('DEL', keys[1], keys[2])
  return 1
end

redis.register_function{function_name = 'hr1_release', callback = release, flags = {'allow-oom'}}
