-- Applies corrections. A batch that comes again changes nothing and is answered as it stands.
--
-- KEYS: the last batch of this instance, and for each line the name it is about.
-- ARGV: the instance, the number of the batch, a life for what is seeded, how long an undone
-- reservation is remembered, and for each line what it is, how much and up to four more.
-- Answers for each line what is used and the life of the data, where it is a period.

local own, batch, life, undone_ms = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local again = redis.call('GET', KEYS[1]) == batch

local apply = {}

function apply.p(key, delta, known, heard_life, _, ttl)
  local p = period.load(key, known, heard_life, life, tonumber(ttl))
  if delta ~= 0 then period.add(p, delta) end
  return p.used, p.life
end

function apply.s(key, delta, slice_us, slice)
  sliding.correct(sliding.load(key, tonumber(slice_us)), tonumber(slice), delta)
end

function apply.b(key, delta, window_us)
  local b = bucket.load(key, tonumber(window_us))
  -- One that is not there any more has filled up.
  if b.at then bucket.add(b, delta) end
end

function apply.o(key, mine, word)
  local said = redis.call('HGET', key, own)
  said = said and tonumber(string.match(said, ' (%d+)$')) or -1
  once.write({ key = key, own = own, mine = mine, word = tonumber(word), new = said < tonumber(word) })
end

-- A reservation that may have been made is taken back by the lines after this one, if it was made;
-- and if it was not, it will not be.
local marks
function apply.u(record)
  local answer = redis.call('GET', record)
  marks = nil
  if answer ~= 'undone' then
    if answer then
      marks = {}
      for word in string.gmatch(answer, '%S+') do marks[#marks + 1] = word end
    end
    redis.call('SET', record, 'undone', 'PX', undone_ms)
  end
end

-- One ask of it: its measure, and which one it was.
function apply.t(key, delta, measure, index, unit, ttl)
  if not marks then return end
  if measure == 'p' then
    apply.p(key, delta, '', '', '', ttl)
  elseif measure == 's' then
    apply.s(key, delta, unit, marks[3 + 3 * tonumber(index)])
  else
    apply.b(key, delta, unit)
  end
end

local answer = {}
for i = 1, #KEYS - 1 do
  local at = 5 + (i - 1) * 6
  local kind, delta = ARGV[at], tonumber(ARGV[at + 1])
  if again and (kind == 'p' or kind == 's' or kind == 'b') then delta = 0 end
  local used, of = apply[kind](
    KEYS[i + 1], delta, ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5])
  answer[#answer + 1] = used and text(used) or '-'
  answer[#answer + 1] = of or '-'
end
redis.call('SET', KEYS[1], batch, 'PX', text(DAY_MS))
return table.concat(answer, ' ')
