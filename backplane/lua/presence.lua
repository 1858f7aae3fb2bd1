#!lua name=hr1_presence

-- What connections of one user say of themselves, merged to what others see; tells the user's channel when that changes, and only
-- then. Every call also forgets connections whose time has run out, whoever asks: so a gateway that died is noticed by whoever
-- looks, and they all hear the same.
--
-- The hash has a field for each connection, `c:<id>` = `<status> <expires> <1 if it lingers> <instance>`, and `shown`, `version`,
-- `active`. A connection that has ended lingers while no other lives: who is back within the grace was never away. `version`
-- orders what is told; it begins with the time in microseconds, so that it rises also over a server that forgot everything.
--
-- keys: the hash, whose name is the channel's too
-- args: life of the hash in seconds; life of a connection, and grace, in ms; when the user was last active, in ms since 1970, or '';
-- then for each change: what, connection, text
--   up    <instance or ->           it came: goes on with what the copy that it replaces, or those that linger, had said
--   set   <status>                  it chose
--   keep  <status> <instance or ->  it still lives; as told if the server has forgotten it
--   down  -                         it has ended
-- returns: {version, status, active or '', then for each change the connection's own status or ''}
local RANK = {away = 1, online = 2, busy = 3}

local function read(key, now_ms)
  local held, connections, touched = {}, {}, {}
  local flat = redis.pcall('HGETALL', key)
  if flat.err then  -- no hash: one broken key must not keep the others of its call from being written
    redis.call('DEL', key)
    flat = {}
  end
  for at = 1, #flat, 2 do
    local id = string.match(flat[at], '^c:(.+)$')
    if id then
      local status, expires, lingers, instance = string.match(flat[at + 1], '^(%a+) (%d+) ([01]) (%S+)$')
      if expires and tonumber(expires) > now_ms then
        connections[id] = {status = status, expires = tonumber(expires), lingers = lingers == '1', instance = instance}
      else
        touched[id] = true
      end
    else
      held[flat[at]] = flat[at + 1]
    end
  end
  return held, connections, touched
end

-- Those that count: whoever lives, else whoever lingers.
local function counted(connections)
  local living, lingering = {}, {}
  for _, connection in pairs(connections) do
    local list = connection.lingers and lingering or living
    list[#list + 1] = connection.status
  end
  return #living > 0 and living or lingering, #living > 0
end

-- Busy over online over away; one that is invisible hides all.
local function merged(statuses)
  local best
  for _, status in ipairs(statuses) do
    if status == 'invisible' then
      return status
    end
    if not best or RANK[status] > RANK[best] then
      best = status
    end
  end
  return best
end

local function come(connections, touched, id, instance)
  local statuses, somebody_lives = counted(connections)
  local status = not somebody_lives and merged(statuses) or 'online'
  for other, connection in pairs(connections) do
    if instance ~= '-' and connection.instance == instance then
      status = connection.status
    end
    if connection.lingers then
      connections[other], touched[other] = nil, true
    end
  end
  connections[id] = connections[id] or {status = status, instance = instance}
end

local function go(connections, id, expires)
  connections[id].lingers, connections[id].expires = true, expires
  local _, somebody_lives = counted(connections)
  if somebody_lives or not expires then
    connections[id] = nil
  end
end

local function change(connections, touched, times, what, id, text)
  touched[id] = true
  if what == 'up' then
    come(connections, touched, id, text)
  elseif what == 'set' then
    connections[id] = connections[id] or {instance = '-'}
    connections[id].status = text
  elseif what == 'keep' and not connections[id] then
    local status, instance = string.match(text, '^(%S+) (%S+)$')
    connections[id] = {status = status, instance = instance}
  elseif what == 'down' then
    if connections[id] then
      go(connections, id, times.lingering)
    end
    return connections[id] and connections[id].status or ''
  end
  connections[id].lingers, connections[id].expires = false, times.living
  return connections[id].status
end

local function write(key, connections, touched, fields, life_seconds)
  for id in pairs(touched) do
    local connection = connections[id]
    if connection then
      fields['c:' .. id] = string.format('%s %.0f %d %s', connection.status, connection.expires, connection.lingers and 1 or 0,
        connection.instance)
    else
      redis.call('HDEL', key, 'c:' .. id)
    end
  end
  for field, value in pairs(fields) do
    redis.call('HSET', key, field, value)
  end
  if next(touched) or next(fields) then
    redis.call('EXPIRE', key, life_seconds)
  end
end

local function presence(keys, args)
  local now = redis.call('TIME')
  local now_ms = now[1] * 1000 + math.floor(now[2] / 1000)
  local grace_ms = tonumber(args[3])
  local times = {living = now_ms + args[2], lingering = grace_ms > 0 and now_ms + grace_ms or nil}
  local held, connections, touched = read(keys[1], now_ms)
  local own = {}
  for at = 5, #args, 3 do
    own[#own + 1] = change(connections, touched, times, args[at], args[at + 1], args[at + 2])
  end
  local status = merged((counted(connections))) or 'offline'
  local fields, version, active = {}, held.version or '0', held.active or ''
  if status == 'invisible' then
    status = 'offline'  -- and nothing may show that somebody is there
  elseif args[4] ~= '' then
    active = string.format('%.0f', math.max(tonumber(active) or 0, math.min(tonumber(args[4]), now_ms)))
    fields.active = active
  end
  if status ~= (held.shown or 'offline') then
    version = string.format('%.0f', math.max(tonumber(version) + 1, now[1] * 1000000 + now[2]))
    fields.version, fields.shown = version, status
  end
  write(keys[1], connections, touched, fields, args[1])
  if fields.version then
    redis.call('SPUBLISH', keys[1], version .. ' ' .. status .. ' ' .. active)
  end
  return {version, status, active, unpack(own)}
end

redis.register_function{function_name = 'hr1_presence', callback = presence, flags = {'allow-oom'}}
