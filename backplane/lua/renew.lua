#!lua name=hr1_renew

-- A partition's server came back and may have forgotten events that this shard's users were never sent, or were: the shard gets
-- a new era, once for each such run (hole A6). A shard on the same server has had its own from `adopt`.
--
-- keys: run, era, cause   args: the partition server's run_id, the new era, life of the cause in seconds
local function renew(keys, args)
  if redis.call('GET', keys[1]) == args[1] or redis.call('EXISTS', keys[3]) == 1 then
    return 0
  end
  redis.call('SET', keys[2], args[2])
  redis.call('SET', keys[1], string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'))
  redis.call('SET', keys[3], '1', 'EX', args[3])
  return 1
end

redis.register_function{function_name = 'hr1_renew', callback = renew, flags = {'allow-oom'}}
