#!lua name=hr1_grant

-- Notes whether a user may watch a conversation, as of a `rev` of their membership. What is noted of a newer one stays: a reader
-- who read the membership before a removal, and writes after it, opens nothing again (hole C19).
--
-- A grant counts under the shard's era alone: a server that forgot a removal, or was passed over by it, has another one.
--
-- keys: grant, era
-- args: rev, 1 | 0, seconds to live, the era under which the membership was read or '' for whatever it is now
-- returns: 1 or 0 as it is noted now; false if the era is another one, or there is none
local function grant(keys, args)
  local era = redis.call('GET', keys[2])
  if not era or (args[4] ~= '' and args[4] ~= era) then
    return false
  end
  local held = redis.pcall('GET', keys[1])
  if type(held) == 'string' then
    local held_era, rev, allowed = string.match(held, '^(%S+) (%d+) ([01])$')
    if held_era == era and tonumber(rev) > tonumber(args[1]) then
      return allowed
    end
  end
  redis.call('SET', keys[1], era .. ' ' .. args[1] .. ' ' .. args[2], 'EX', args[3])
  return args[2]
end

redis.register_function{function_name = 'hr1_grant', callback = grant, flags = {'allow-oom'}}
