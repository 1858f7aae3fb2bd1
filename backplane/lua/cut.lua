#!lua name=hr1_trim

-- Cuts a stream to its window, by age and by count, but never what a required group has not acknowledged (hole B14). Bound and cut
-- are one call: nothing is taken or acknowledged between.
--
-- keys: stream, token, dead   args: token, window in ms, entries, entries of dead, then the names of the required groups
-- returns: how many entries went
local COUNTED = 5000

local function by_name(pairs_list)
  local named = {}
  for at = 1, #pairs_list, 2 do
    named[pairs_list[at]] = pairs_list[at + 1]
  end
  return named
end

local function older(one, other)
  local ms, seq = string.match(one, '^(%d+)-(%d+)$')
  local other_ms, other_seq = string.match(other, '^(%d+)-(%d+)$')
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms < other_ms or (ms == other_ms and tonumber(seq) < tonumber(other_seq))
end

-- The first id that a group still needs, and how many entries there are from there on: math.huge when Redis can not tell.
local function needs(stream, group)
  local delivered = group['last-delivered-id']
  local lag = group.lag or math.huge
  if group.pending == 0 then
    local ms, seq = string.match(delivered, '^(%d+)-(%d+)$')
    return ms .. '-' .. string.format('%.0f', tonumber(seq) + 1), lag
  end
  local first = redis.call('XPENDING', stream, group.name)[2]
  local taken = redis.call('XRANGE', stream, first, delivered, 'COUNT', COUNTED)
  return first, #taken < COUNTED and lag + #taken or math.huge
end

local function trim(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then
    return redis.error_reply('FENCED the partition has another owner')
  end
  redis.call('XTRIM', keys[3], 'MAXLEN', args[4])
  if redis.call('EXISTS', keys[1]) == 0 then
    return 0
  end
  local now = redis.call('TIME')
  local horizon = math.max(0, now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(args[2]))
  local bound, keep = string.format('%.0f', horizon) .. '-0', tonumber(args[3])
  local groups = {}
  for _, listed in ipairs(redis.call('XINFO', 'GROUPS', keys[1])) do
    local group = by_name(listed)
    groups[group.name] = group
  end
  for at = 5, #args do
    if not groups[args[at]] then
      return 0  -- lost, and re-created at its cursor: until then nobody knows what it needs
    end
    local first, entries = needs(keys[1], groups[args[at]])
    if older(first, bound) then
      bound = first
    end
    keep = math.max(keep, entries)
  end
  local cut = redis.call('XTRIM', keys[1], 'MINID', bound)
  if keep < math.huge then
    cut = cut + redis.call('XTRIM', keys[1], 'MAXLEN', string.format('%.0f', keep))
  end
  return cut
end

redis.register_function{function_name = 'hr1_trim', callback = trim, flags = {'allow-oom'}}
