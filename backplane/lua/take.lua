#!lua name=hr1_take

-- Takes from rate limits, all or none, by GCRA on the server's clock: a bucket is one number, the time in µs at which it is full again.
--
-- keys: the buckets, of one tag   args: for each: µs for one more, burst, how much is needed, how much is wanted (≥ needed)
-- returns: for each {granted, left, ms until it is full, ms until what is needed is there or 0}; granted is 0 for all if one refuses
local function take(keys, args)
  local time = redis.call('TIME')
  local now = time[1] * 1000000 + time[2]
  local buckets, refused = {}, false
  for at, key in ipairs(keys) do
    local interval, burst = tonumber(args[at * 4 - 3]), tonumber(args[at * 4 - 2])
    local needed, wanted = tonumber(args[at * 4 - 1]), tonumber(args[at * 4])
    local full_at = math.max(tonumber(redis.pcall('GET', key)) or 0, now)
    local there = math.floor((now + interval * burst - full_at) / interval)
    local wait = full_at + interval * (needed - burst) - now
    refused = refused or there < needed
    buckets[at] = {key = key, interval = interval, full_at = full_at, there = there, wait = wait, needed = needed,
      granted = math.min(there, wanted)}
  end
  local answer = {}
  for at, one in ipairs(buckets) do
    local granted = refused and 0 or one.granted
    local full_at = one.full_at + granted * one.interval
    if granted > 0 then
      redis.call('SET', one.key, string.format('%.0f', full_at), 'PX', math.ceil((full_at - now) / 1000))
    end
    answer[at] = {granted, math.max(0, one.there - granted), math.ceil((full_at - now) / 1000),
      one.there < one.needed and math.max(1, math.ceil(one.wait / 1000)) or 0}
  end
  return answer
end

redis.register_function{function_name = 'hr1_take', callback = take, flags = {'allow-oom'}}
