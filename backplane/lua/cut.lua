#!lua name=hr1_cut

-- Cuts a stream to its window, by age and by count, but never what a required group has not acknowledged (hole B14). Bound and cut
-- are one call: nothing is taken or acknowledged between. An optional group is respected for as long as it is at most its `max_lag`
-- entries behind; a stage that nobody runs must not fill the memory.
--
-- keys: stream, token, dead
-- args: token, window in ms, entries, entries of dead, then for each group its name and its max_lag, -1 for a required one
-- (Its forerunner was `trim`, with other arguments; a library that a server has is never replaced, so it got another name.)
-- returns: {how many entries went, then for each group how many of them it had not acknowledged}
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

-- The first id that a group still needs, and how many entries there are from there on: math.huge when that can not be told.
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

-- How many of the entries that a group needed are gone: what is left from its first one on is the rest.
local function lost(stream, need, went)
  local left = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)
  if left[1] and not older(need.first, left[1][1]) then
    return 0
  end
  return math.min(went, math.max(0, need.entries - redis.call('XLEN', stream)))
end

local function cut(keys, args)
  if redis.call('GET', keys[2]) ~= args[1] then
    return redis.error_reply('FENCED the partition has another owner')
  end
  redis.call('XTRIM', keys[3], 'MAXLEN', args[4])
  if redis.call('EXISTS', keys[1]) == 0 then
    return {0}
  end
  local now = redis.call('TIME')
  local horizon = math.max(0, now[1] * 1000 + math.floor(now[2] / 1000) - tonumber(args[2]))
  local bound, keep = string.format('%.0f', horizon) .. '-0', tonumber(args[3])
  local groups = {}
  for _, listed in ipairs(redis.call('XINFO', 'GROUPS', keys[1])) do
    local group = by_name(listed)
    groups[group.name] = group
  end
  local needed = {}
  for at = 5, #args, 2 do
    local group, max_lag = groups[args[at]], tonumber(args[at + 1])
    if not group and max_lag < 0 then
      return {0}  -- lost, and re-created at its cursor: until then nobody knows what it needs
    end
    local first, entries = '0-0', 0
    if group then
      first, entries = needs(keys[1], group)
    end
    if max_lag >= 0 then
      entries = math.min(entries, redis.call('XLEN', keys[1]))
    end
    if max_lag < 0 or (group and entries <= max_lag) then
      if older(first, bound) then
        bound = first
      end
      keep = math.max(keep, entries)
    end
    needed[#needed + 1] = {first = first, entries = entries}
  end
  local went = redis.call('XTRIM', keys[1], 'MINID', bound)
  if keep < math.huge then
    went = went + redis.call('XTRIM', keys[1], 'MAXLEN', string.format('%.0f', keep))
  end
  local answer = {went}
  for _, need in ipairs(needed) do
    answer[#answer + 1] = went > 0 and need.entries > 0 and lost(keys[1], need, went) or 0
  end
  return answer
end

redis.register_function{function_name = 'hr1_cut', callback = cut, flags = {'allow-oom'}}
