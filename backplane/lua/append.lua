#!lua name=hr1_append

-- Appends events of one partition to the logs of one shard's users, in order, and rings their doorbells with id and body.
--
-- `done` holds the newest event of the partition that was appended here, under the partition's era: what is not newer does
-- nothing, so a redelivery, a zombie and a repeat after a time-out are all void (hole B2). Each user stands alone: a log that
-- refuses loses its epoch key, and the call goes on (hole B3). `XADD <epoch>-*` makes the offsets dense; without a log nothing is
-- made (hole B4).
--
-- keys: era, done, then log and epoch of each user of the first event, of the second, …
-- args: the partition's era, entries of a log, then for each event: id, body, number of users
-- returns: how many entries were appended
local function newer(id, done)
  local ms, seq = string.match(id, '^(%d+)-(%d+)$')
  local done_ms, done_seq = string.match(done, '^(%d+)-(%d+)$')
  ms, done_ms = tonumber(ms), tonumber(done_ms)
  return ms > done_ms or (ms == done_ms and tonumber(seq) > tonumber(done_seq))
end

local function lose(log, epoch)
  redis.call('DEL', epoch)
  redis.call('SPUBLISH', log, 'epoch_changed')
  return 0
end

local function append_to(log, epoch_key, era, limit, body)
  local held = redis.pcall('GET', epoch_key)
  if not held then
    return 0  -- this user has not connected for long, and will load the state on coming back
  end
  if type(held) ~= 'string' then
    return lose(log, epoch_key)
  end
  local epoch, of_era = string.match(held, '^(%d+) (.+)$')
  if of_era ~= era then
    return 0
  end
  local id = redis.pcall('XADD', log, 'NOMKSTREAM', 'MAXLEN', '~', limit, epoch .. '-*', 'b', body)
  if type(id) ~= 'string' or string.sub(id, -2) == '-0' then  -- offset 0 is the marker's: this log was not made by `open`
    return lose(log, epoch_key)
  end
  redis.call('SPUBLISH', log, id .. ' ' .. body)
  return 1
end

local function append(keys, args)
  local era = redis.call('GET', keys[1])
  local done_era, done = string.match(redis.call('GET', keys[2]) or '', '^(%S+) (%S+)$')
  if done_era ~= args[1] then
    done = nil  -- of another life of the partition's stream, whose ids say nothing about these
  end
  local appended, key = 0, 3
  for at = 3, #args, 3 do
    local id, body, users = args[at], args[at + 1], tonumber(args[at + 2])
    if not done or newer(id, done) then
      for user = key, key + 2 * users - 2, 2 do
        appended = appended + append_to(keys[user], keys[user + 1], era, args[2], body)
      end
      done = id
    end
    key = key + 2 * users
  end
  if done then
    redis.call('SET', keys[2], args[1] .. ' ' .. done)
  end
  return appended
end

redis.register_function{function_name = 'hr1_append', callback = append, flags = {'allow-oom'}}
