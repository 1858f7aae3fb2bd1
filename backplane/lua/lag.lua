#!lua name=hr1_lag

-- How far a group is behind. Redis may not know its lag; that is unknown, never 0.
--
-- keys: stream   args: group
-- returns: {entries not taken or -1, entries taken and not acknowledged, age in ms of the oldest of both or -1}
local function by_name(pairs_list)
  local named = {}
  for at = 1, #pairs_list, 2 do
    named[pairs_list[at]] = pairs_list[at + 1]
  end
  return named
end

local function find_group(stream, name)
  for _, listed in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local group = by_name(listed)
    if group.name == name then
      return group
    end
  end
end

local function lag(keys, args)
  if redis.call('EXISTS', keys[1]) == 0 then
    return {0, 0, 0}
  end
  local group = find_group(keys[1], args[1])
  if not group then
    local unknown = redis.call('XLEN', keys[1]) > 0 and -1 or 0
    return {unknown, 0, unknown}
  end
  local oldest = nil
  if group.pending > 0 then
    oldest = redis.call('XPENDING', keys[1], args[1])[2]
  else
    local waiting = redis.call('XRANGE', keys[1], '(' .. group['last-delivered-id'], '+', 'COUNT', 1)
    oldest = waiting[1] and waiting[1][1]
    if not oldest then
      return {0, 0, 0}
    end
  end
  local now = redis.call('TIME')
  local age_ms = now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(string.match(oldest, '^(%d+)-'))
  return {group.lag or -1, group.pending, math.max(0, age_ms)}
end

redis.register_function{function_name = 'hr1_lag', callback = lag, flags = {'no-writes'}}
