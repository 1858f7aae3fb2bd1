#!lua name=hr1_open

-- The head of a user's log; a new log in its place unless key, era, log and head agree. One call: nobody ever sees a key without
-- a log, or a log whose marker is an event (hole B4).
--
-- keys: log, epoch, run, era
-- args: three digits for a new epoch, a new era if there is none, seconds to live, least age in ms at which a valid log is thrown
-- away or '' to keep it
-- returns: {id of the head, id of the first entry or false}, or false if the valid log is too young to be thrown away (hole C15)
local function era_of(keys, args)
  local era = redis.call('GET', keys[4])
  if not era then  -- everything was flushed since this connection adopted the shard
    era = args[2]
    redis.call('SET', keys[4], era)
    redis.call('SET', keys[3], string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'))
  end
  return era
end

-- The epoch and head of the log, if all agree; else only the epochs that the new one must differ from.
local function look(keys, era)
  local held = redis.pcall('GET', keys[2])
  local epoch, of_era
  if type(held) == 'string' then
    epoch, of_era = string.match(held, '^(%d+) (.+)$')
  end
  local info = redis.pcall('XINFO', 'STREAM', keys[1])
  local head, first
  for at = 1, #info, 2 do
    if info[at] == 'last-generated-id' then
      head = info[at + 1]
    elseif info[at] == 'first-entry' then
      first = info[at + 1]
    end
  end
  local log_epoch = head and string.match(head, '^(%d+)-')
  local valid = epoch and of_era == era and log_epoch == epoch
  return valid, epoch, log_epoch, head, first
end

local function open(keys, args)
  local era = era_of(keys, args)
  local valid, epoch, log_epoch, head, first = look(keys, era)
  local now = redis.call('TIME')
  local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
  if valid and args[4] ~= '' then
    local age_ms = now_ms - math.floor(tonumber(epoch) / 1000)  -- an epoch tells when it began
    if age_ms >= 0 and age_ms < tonumber(args[4]) then
      return false
    end
    valid = false
  end
  local log_seconds = string.format('%.0f', tonumber(args[3]) + 3600)  -- longer than the key's: no key without a log
  if valid then
    redis.call('EXPIRE', keys[2], args[3])
    redis.call('EXPIRE', keys[1], log_seconds)
    return {head, first and first[1]}
  end
  local fresh
  local digits = tonumber(args[1])
  repeat  -- not greater than the old one, only another: clocks order nothing (hole C10)
    fresh = string.format('%.0f', now_ms * 1000 + digits)
    digits = (digits + 1) % 1000
  until fresh ~= epoch and fresh ~= log_epoch
  redis.call('DEL', keys[1])
  redis.call('XADD', keys[1], fresh .. '-0', 'b', '')
  redis.call('EXPIRE', keys[1], log_seconds)
  redis.call('SET', keys[2], fresh .. ' ' .. era, 'EX', args[3])
  redis.call('SPUBLISH', keys[1], 'epoch_changed')
  return {fresh .. '-0', fresh .. '-0'}
end

redis.register_function{function_name = 'hr1_open', callback = open, flags = {'allow-oom'}}
