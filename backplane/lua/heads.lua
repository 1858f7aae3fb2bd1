#!lua name=hr1_heads

-- The heads of many logs of one shard, and new times to live for those that are valid, once a tenth of it has passed: every
-- renewal is a write to disk and replicas. The function counts as a writer all the same, so a server that could not renew, is
-- none to trust and refuses (hole C17).
--
-- keys: era, then log and epoch of each user   args: seconds to live
-- returns: for each user {id of the head, id of the first entry or false}, or false if the log is not valid
local function head_of(log)
  local info = redis.pcall('XINFO', 'STREAM', log)
  local head, first
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then
      head = info[at + 1]
    elseif info[at] == 'first-entry' then
      first = info[at + 1]
    end
  end
  return head, first and first[1]
end

local function heads(keys, args)
  local era = redis.call('GET', keys[1])
  local log_seconds = string.format('%.0f', tonumber(args[1]) + 3600)
  local renew_below = tonumber(args[1]) * 0.9
  local answer = {}
  for at = 2, #keys, 2 do
    local found = false
    local held = redis.pcall('GET', keys[at + 1])
    if era and type(held) == 'string' then
      local head, first = head_of(keys[at])
      if head and held == string.match(head, '^(%d+)-') .. ' ' .. era then
        if redis.call('TTL', keys[at + 1]) < renew_below then
          redis.call('EXPIRE', keys[at + 1], args[1])
          redis.call('EXPIRE', keys[at], log_seconds)
        end
        found = {head, first}
      end
    end
    answer[#answer + 1] = found
  end
  return answer
end

redis.register_function{function_name = 'hr1_heads', callback = heads, flags = {'allow-oom'}}
