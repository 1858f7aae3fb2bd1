#!lua name=hr1_prolong

-- Prolongs a lease while its token is the newest; one that ran out and that nobody took meanwhile lives on.
--
-- keys: lease, token   args: worker id, token, life in ms   returns: 1, or 0 if it is not ours any more
local function prolong(keys, args)
  if redis.call('GET', keys[2]) ~= args[2] then
    return 0
  end
  redis.call('SET', keys[1], args[1], 'PX', args[3])
  return 1
end

redis.register_function{function_name = 'hr1_prolong', callback = prolong, flags = {'allow-oom'}}
