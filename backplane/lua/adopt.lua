#!lua name=hr1_adopt

-- A server that was restarted, failed over or restored may have forgotten its tail: its run_id is not the one kept beside
-- the data. Then what the tag holds gets a new era, in the same call that notes the run (hole A5).
--
-- keys: run, era   args: the new era, 1 if a restart is lossless   returns: the era
local function adopt(keys, args)
  local run = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  local era = redis.call('GET', keys[2])
  if era and redis.call('GET', keys[1]) == run then
    return era
  end
  if not era or args[2] ~= '1' then
    era = args[1]
    redis.call('SET', keys[2], era)
  end
  redis.call('SET', keys[1], run)
  return era
end

redis.register_function{function_name = 'hr1_adopt', callback = adopt, flags = {'allow-oom'}}
