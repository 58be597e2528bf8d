-- One operation on the buckets of a pool, as the Go code of package admission does it:
-- see Local there. Amounts are millionths, and times are microseconds of the server.
--
-- KEYS: 1 the pool, a hash; 2 its members, sorted by when they are forgotten.
local op, member = ARGV[1], ARGV[2]
local memberTime, expiry, minute = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local newEpoch, source, apart = ARGV[6], ARGV[7], ARGV[8] == '1'
local function amounts(i) return {tonumber(ARGV[i]), tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2])} end
local assumed, learned, used = amounts(9), amounts(12), amounts(15)
local ticketEpoch, ticketCost, ticketMarks = ARGV[18], amounts(19), amounts(22)
local cost = amounts(25)
local first = 28 -- of the arguments that belong to op

local million = 1000000
local time = redis.call('TIME')
local now = tonumber(time[1]) * million + tonumber(time[2])
local wrap = 2 ^ 50 -- what was ever taken is counted up to here, and from 0 again

if op == 'live' then -- members that are not forgotten yet are ones for longer
  local millis = math.floor(now / 1000)
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', millis)
  redis.call('ZADD', KEYS[2], 'XX', millis + memberTime, member)
  redis.call('PEXPIRE', KEYS[2], memberTime)
  return {}
end

local flat, pool = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #flat, 2 do pool[flat[i]] = flat[i + 1] end
local created = flat[1] == nil
if created and (op == 'look' or op == 'reset') then return {} end
if op == 'reset' then
  redis.call('DEL', KEYS[1])
  redis.call('HSET', KEYS[1], 'epoch', newEpoch, 'updated', string.format('%.0f', now))
  redis.call('PEXPIRE', KEYS[1], expiry)
  return {1}
end

local epoch = pool.epoch or newEpoch
local updated = tonumber(pool.updated or now)
local frozen, frozenBy = tonumber(pool.frozen or 0), pool.by or ''
if now < updated and frozen > 0 then frozen = frozen - (updated - now) end -- the clock was set back
local join = op ~= 'look'

local buckets = {}
for i = 1, 3 do
  local b = {
    limit = tonumber(pool['limit' .. i] or 0), level = tonumber(pool['level' .. i] or 0), taken = tonumber(pool['taken' .. i] or 0),
    source = pool['source' .. i] or '', learned = tonumber(pool['learned' .. i] or 0),
  }
  if created and learned[i] > 0 then
    b.limit, b.level, b.source, b.learned = learned[i], learned[i], 'learned', now
  elseif join and b.source ~= 'learned' then
    b.source = source
    if assumed[i] ~= b.limit then
      if b.limit == 0 then b.level = assumed[i] else b.level = assumed[i] - math.max(0, b.limit - b.level) end
      b.limit = assumed[i]
    end
  end
  if b.limit > 0 then b.level = math.min(b.limit, b.level + math.floor(b.limit * math.max(0, now - updated) / minute)) end
  buckets[i] = b
end

local millis = math.floor(now / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', millis)
if join then
  if apart or not redis.call('ZSCORE', KEYS[2], member) then
    for i, b in ipairs(buckets) do b.level = math.min(b.level, b.limit - used[i]) end
  end
  redis.call('ZADD', KEYS[2], millis + memberTime, member)
  redis.call('PEXPIRE', KEYS[2], memberTime)
end
local members = redis.call('ZCARD', KEYS[2])

local function give(b, amount)
  b.level = b.level + amount
  if b.limit > 0 then b.level = math.min(b.limit, b.level) end
end
local same = ticketEpoch == epoch
local function giveBack() -- nothing that was taken in another epoch
  for i, b in ipairs(buckets) do
    if same or cost[i] < 0 then give(b, cost[i]) end
  end
end

local wait = 0
if op == 'take' then
  if not same then
    ticketCost = cost
    for i, b in ipairs(buckets) do
      b.level = b.level - cost[i]
      b.taken = (b.taken + cost[i]) % wrap
      ticketMarks[i] = b.taken
    end
  end
  local inFlight = tonumber(ARGV[first]) * math.max(1, members)
  local longest = 0
  for i, b in ipairs(buckets) do
    if b.limit > 0 then
      local spare, c = 0, ticketCost[i]
      if i > 1 then spare = math.min(b.limit / 4, c * (1 + math.sqrt(inFlight) / 2)) end
      local since = (b.taken - ticketMarks[i]) % wrap
      if since > wrap / 2 then since = since - wrap end -- some of it was not taken after all
      local before = b.level + since + c
      local need = math.min(c + math.max(spare, 0.05 * b.limit), b.limit)
      longest = math.max(longest, (need - before) / b.limit)
    end
  end
  if longest * minute >= 1 then wait = math.min(math.ceil(longest * minute), 2 ^ 62 / 1000) end -- no longer than Go can say
elseif op == 'untake' then
  if same then
    for i, b in ipairs(buckets) do
      give(b, ticketCost[i])
      b.taken = (b.taken - ticketCost[i]) % wrap
    end
  end
elseif op == 'settle' then
  giveBack()
elseif op == 'learn' then
  local ago = tonumber(ARGV[first + 12])
  for i, b in ipairs(buckets) do
    local at = first + (i - 1) * 4
    local limit, remaining, slack, outstanding = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
    if limit > 0 then
      local before = b.source
      if b.limit == 0 then
        b.level = limit
      elseif before ~= 'learned' then
        b.level = limit - math.max(0, b.limit - b.level)
      end
      b.limit, b.source, b.learned = limit, 'learned', now
      b.level = math.min(b.level, limit)
      if remaining >= 0 then b.level = math.min(b.level, remaining + slack + math.floor(ago * limit / minute)) end
      if before ~= 'learned' then b.level = math.min(b.level, limit - outstanding * math.max(1, members)) end
    end
  end
elseif op == 'refuse' then
  giveBack()
  local counted, foreseen = ARGV[first] == '1', false
  for i, b in ipairs(buckets) do
    if b.limit > 0 and b.level < cost[i] then foreseen = true end
  end
  if not foreseen then
    for i, b in ipairs(buckets) do
      if i == 1 or not counted then b.level = math.min(b.level, 0) end
    end
  end
  local last = now + tonumber(ARGV[first + 1])
  if last > frozen then frozen, frozenBy = last, ARGV[first + 2] end
end

local function int(x) return string.format('%.0f', x) end
if join then
  local fields = {'epoch', epoch, 'updated', int(now), 'frozen', int(frozen), 'by', frozenBy}
  for i, b in ipairs(buckets) do
    for name, value in pairs(b) do
      fields[#fields + 1] = name .. i
      fields[#fields + 1] = name == 'source' and value or int(value)
    end
  end
  redis.call('HSET', KEYS[1], unpack(fields))
  redis.call('PEXPIRE', KEYS[1], expiry)
end

local answer = {epoch, int(wait), int(math.max(0, frozen - now)), frozenBy, int(members)}
for i, b in ipairs(buckets) do
  for _, x in ipairs({int(b.limit), int(b.level), b.source, int(b.learned), int(ticketMarks[i]), int(ticketCost[i])}) do answer[#answer + 1] = x end
end
return answer
