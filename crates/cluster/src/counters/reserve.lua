-- Takes all that is asked for, or nothing, and answers the same to the same reservation again.
--
-- KEYS: the hearts, the reservation, and for each ask its counter.
-- ARGV: the instance, the time, a life for what is seeded, how long the answer is remembered, and
-- for each ask its measure, amount, most and up to four more.
-- Answers `taken` and for each ask what is used, where it was noted and the life of the data; or
-- `over`, which ask it is, what is used, when there is room and the life of the data.

local instances, record = KEYS[1], KEYS[2]
local before = redis.call('GET', record)
if before then return before end

local own, now, life = ARGV[1], tonumber(ARGV[2]), ARGV[3]

-- How each measure is looked at: what is used, and functions that take, that tell when there is
-- room and that write how much time has passed; and the life of its data.
local look = {}

function look.p(key, amount, most, known, heard_life, _, ttl)
  local p = period.load(key, known, heard_life, life, tonumber(ttl))
  return p.used, function()
    period.add(p, amount)
    return p.used, '-', p.life
  end, nil, nil, p.life
end

function look.s(key, amount, most, slice_us)
  local s = sliding.load(key, tonumber(slice_us))
  sliding.pass(s, now)
  return s.used, function()
    local slice = sliding.note(s, amount)
    return s.used, text(slice), '-'
  end, function() return sliding.room_at(s, most, amount) end,
    function() sliding.write_passed(s) end
end

function look.b(key, amount, most, window_us, limit)
  local b = bucket.load(key, tonumber(window_us))
  local at = b.at
  local rate = tonumber(limit)
  bucket.pass(b, now)
  return bucket.used(b), function()
    b.rate = rate
    bucket.add(b, amount)
    return bucket.used(b), '-', '-'
  end, function() return bucket.room_at(b, most, rate, amount) end,
    function() if not at or at < b.at then bucket.write(b) end end
end

function look.o(key, amount, most, mine, word)
  local o = once.load(key, instances, own, tonumber(mine), tonumber(word))
  -- What is asked for is among ours already.
  return math.max(0, o.others + o.mine - amount), function()
    once.write(o)
    return o.others + o.mine, '-', '-'
  end
end

local takes, passed = {}, {}
for i = 1, #KEYS - 2 do
  local at = 5 + (i - 1) * 7
  local amount, most = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local used, take, room_at, pass, of = look[ARGV[at]](
    KEYS[i + 2], amount, most, ARGV[at + 3], ARGV[at + 4], ARGV[at + 5], ARGV[at + 6])
  passed[i] = pass or function() end
  if used + amount > most then
    for j = 1, i do passed[j]() end
    local room = amount <= most and room_at and room_at()
    return table.concat({ 'over', text(i - 1), text(used), room and text(room) or '-', of or '-' }, ' ')
  end
  takes[i] = take
end

local answer = { 'taken' }
for i = 1, #takes do
  local used, mark, of = takes[i]()
  answer[#answer + 1] = text(used)
  answer[#answer + 1] = mark
  answer[#answer + 1] = of
end
answer = table.concat(answer, ' ')
redis.call('SET', record, answer, 'PX', ARGV[4])
return answer
