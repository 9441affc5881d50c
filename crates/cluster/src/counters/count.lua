-- How each measure is kept, by the rules of count.rs. Both scripts begin with this.
--
-- Numbers are doubles: exact up to 2^50, and what is written is written without a fraction.

local SLICES = 60
local DAY_MS = 86400000
local LONGEST_MS = 400 * DAY_MS

local function text(n) return string.format('%.0f', n) end

-- (n * a + rest) / d as a whole number and what is left over, without a product that a double
-- cannot hold: digit by digit of n.
local function divide(n, a, rest, d)
  local all = n * a + rest
  if all < 2^53 then
    local left = math.fmod(all, d)
    return (all - left) / d, left
  end
  local part = math.fmod(a, d)
  local whole, q, r = n * ((a - part) / d), 0, 0
  local digit = 1
  while digit * 2 <= n do digit = digit * 2 end
  while digit >= 1 do
    q, r = q * 2, r * 2
    if n >= digit then n, r = n - digit, r + part end
    if r >= d then q, r = q + 1, r - d end
    if r >= d then q, r = q + 1, r - d end
    digit = digit / 2
  end
  r = r + rest
  local left = math.fmod(r, d)
  return whole + q + (r - left) / d, left
end

local function keep(key, ms)
  redis.call('PEXPIRE', key, text(math.max(1, math.min(ms, LONGEST_MS))))
end

local period, sliding, bucket, once = {}, {}, {}, {}

-- A period: u is what is used, s what was told of the use before, l the life of these data, which
-- begins when that was told. What an instance heard in another life raises s to it: those data are
-- lost, and it may be the last that heard of them.
function period.load(key, known, heard_life, new_life, ttl)
  local h = redis.call('HMGET', key, 'u', 's', 'l')
  local p = { key = key, used = tonumber(h[1]) or 0, life = h[3] or '-', ttl = ttl }
  if known == '' then return p end
  local told, more = tonumber(known), nil
  if not h[3] then
    more, p.life = told, new_life
  elseif heard_life ~= '' and heard_life ~= h[3] and told > tonumber(h[2]) then
    more = told - tonumber(h[2])
  end
  if more then
    p.used = p.used + more
    redis.call('HSET', key, 'u', text(p.used), 's', text(told), 'l', p.life)
    keep(key, ttl)
  end
  return p
end

function period.add(p, delta)
  p.used = math.max(0, p.used + delta)
  redis.call('HSET', p.key, 'u', text(p.used))
  keep(p.key, p.ttl)
end

-- A sliding window: t is the total, o and n the oldest and the newest part, and each part a field.
function sliding.load(key, slice_us)
  local h = redis.call('HMGET', key, 't', 'o', 'n')
  return {
    key = key, slice_us = slice_us, used = tonumber(h[1]) or 0,
    oldest = tonumber(h[2]), newest = tonumber(h[3]), gone = {},
  }
end

-- Lets time pass, which is written with what is noted or by itself.
function sliding.pass(s, now)
  s.now = math.floor(now / s.slice_us)
  local first = s.now - SLICES
  if not s.newest then return end
  if s.newest < first then
    s.used, s.oldest, s.newest, s.empty = 0, nil, nil, true
    return
  end
  for slice = s.oldest, first - 1 do
    local amount = redis.call('HGET', s.key, text(slice))
    if amount then
      s.used = math.max(0, s.used - tonumber(amount))
      s.gone[#s.gone + 1] = text(slice)
    end
  end
  s.oldest = math.max(s.oldest, first)
end

function sliding.room_at(s, most, amount)
  local left = s.used
  for slice = s.oldest or 0, s.newest or -1 do
    left = left - (tonumber(redis.call('HGET', s.key, text(slice))) or 0)
    if left + amount <= most then return (slice + SLICES + 1) * s.slice_us end
  end
end

function sliding.forget(s)
  if s.empty then redis.call('DEL', s.key) end
  for i = 1, #s.gone do redis.call('HDEL', s.key, s.gone[i]) end
end

function sliding.write_passed(s)
  sliding.forget(s)
  if #s.gone > 0 then redis.call('HSET', s.key, 't', text(s.used), 'o', text(s.oldest)) end
end

function sliding.write(s, slice, delta)
  sliding.forget(s)
  local before = tonumber(redis.call('HGET', s.key, text(slice))) or 0
  local after = math.max(0, before + delta)
  s.used = math.max(0, s.used + after - before)
  s.oldest = math.min(s.oldest or slice, slice)
  s.newest = math.max(s.newest or slice, slice)
  redis.call('HSET', s.key, text(slice), text(after), 't', text(s.used),
    'o', text(s.oldest), 'n', text(s.newest))
  keep(s.key, (SLICES + 2) * s.slice_us / 1000 + 60000)
end

-- A clock that goes back does not make anything older than it is.
function sliding.note(s, amount)
  local slice = math.max(s.newest or s.now, s.now)
  sliding.write(s, slice, amount)
  return slice
end

-- What has passed since is left as it was.
function sliding.correct(s, slice, delta)
  if s.newest and slice < s.newest - SLICES then return end
  if delta < 0 and not redis.call('HGET', s.key, text(slice)) then return end
  sliding.write(s, slice, delta)
end

-- A bucket: w is what is out, r the parts of a microsecond's flow beyond it (of w times the window,
-- so that nothing is rounded), v the limit by which it flows back, a when that was so.
function bucket.load(key, window_us)
  local h = redis.call('HMGET', key, 'w', 'r', 'v', 'a')
  return {
    key = key, window_us = window_us, whole = tonumber(h[1]) or 0, rest = tonumber(h[2]) or 0,
    rate = tonumber(h[3]) or 0, at = tonumber(h[4]),
  }
end

function bucket.pass(b, now)
  local passed = math.max(0, now - (b.at or now))
  b.at = math.max(b.at or now, now)
  local whole, rest = divide(passed, b.rate, 0, b.window_us)
  b.whole, b.rest = b.whole - whole, b.rest - rest
  if b.rest < 0 then b.whole, b.rest = b.whole - 1, b.rest + b.window_us end
  if b.whole < 0 then b.whole, b.rest = 0, 0 end
end

function bucket.used(b) return b.whole + (b.rest > 0 and 1 or 0) end

function bucket.room_at(b, most, rate, amount)
  if rate == 0 then return end
  local wait, left = divide(b.whole - (most - amount), b.window_us, b.rest, rate)
  return b.at + wait + (left > 0 and 1 or 0)
end

function bucket.add(b, delta)
  b.whole = b.whole + delta
  if b.whole < 0 then b.whole, b.rest = 0, 0 end
  bucket.write(b)
end

function bucket.write(b)
  redis.call('HSET', b.key, 'w', text(b.whole), 'r', text(b.rest), 'v', text(b.rate),
    'a', text(b.at))
  local empty_ms = b.rate > 0 and (b.whole + 1) * b.window_us / b.rate / 1000 or DAY_MS
  keep(b.key, empty_ms + 60000)
end

-- Calls at once: each instance says how many it has, and in what order it said so; what it said
-- last counts for as long as its heart beats.
function once.load(key, instances, own, mine, word)
  local o = { key = key, own = own, mine = mine, word = word, others = 0, new = true }
  local all = redis.call('HGETALL', key)
  for i = 1, #all, 2 do
    local calls, said = string.match(all[i + 1], '^(%d+) (%d+)$')
    if all[i] == own then
      if tonumber(said) >= word then o.mine, o.new = tonumber(calls), false end
    elseif redis.call('ZSCORE', instances, all[i]) then
      o.others = o.others + tonumber(calls)
    else
      redis.call('HDEL', key, all[i])
    end
  end
  return o
end

function once.write(o)
  if o.new then redis.call('HSET', o.key, o.own, text(o.mine) .. ' ' .. text(o.word)) end
  keep(o.key, DAY_MS)
end
