"""The three ways to count as scripts for Redis and Valkey: one call, one moment, all or nothing.

The keys and the values are those of `limits`, so that existing ``@limiter.limit`` code of slowapi on the
same server counts in the same place. The time is the server's, so workers whose clocks differ agree.

``TAKE[strategy]`` gets the cost, 1 to count or 0 to look only, and (amount, ms) of each counter. It returns
1 or 0 for allowed, then used, wait, reset and token of each counter, as ``windows.Reading``.
"""

from typing import Final

from piccolo_fastapi_auth.rate_limits.windows import Strategy

_FRAME: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local cost = tonumber(ARGV[1])
local seen, answer = {}, {1}
%(functions)s
local count = (#ARGV - 2) / 2
local function read_all()
  for i = 1, count do
    seen[i] = read(i, tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2]))
  end
end
read_all()
for i = 1, count do
  if seen[i][2] > 0 then answer[1] = 0 end
end
if answer[1] == 1 and ARGV[2] == '1' and cost > 0 then
  for i = 1, count do
    add(i, tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2]))
  end
  read_all()
end
for i = 1, count do
  for j = 1, 4 do answer[#answer + 1] = seen[i][j] end
end
return answer
"""

_FIXED: Final = """
local function read(i, amount, length)
  local left = math.max(redis.call('PTTL', KEYS[i]), 0)
  local used = left > 0 and tonumber(redis.call('GET', KEYS[i])) or 0
  local wait = 0
  if used + cost > amount then wait = left > 0 and left or length end
  return {used, wait, left, string.format('%.0f', now + left)}
end
local function add(i, amount, length)
  if redis.call('PTTL', KEYS[i]) > 0 then redis.call('INCRBY', KEYS[i], cost)
  else redis.call('SET', KEYS[i], cost, 'PX', length) end
end
"""

_ROLL: Final = """
local function roll(this, last, length)
  local left = redis.call('PTTL', this)
  if left <= 0 then return 0 end
  if left <= length then
    redis.call('RENAME', this, last)
    left = left + length
    redis.call('SET', this, 0, 'PX', left)
  end
  return left - length
end
"""

_SLIDING: Final = (
    _ROLL
    + """
local function read(i, amount, length)
  local left = roll(KEYS[2 * i - 1], KEYS[2 * i], length)
  local this, last = 0, 0
  if left > 0 then
    this = tonumber(redis.call('GET', KEYS[2 * i - 1])) or 0
    last = tonumber(redis.call('GET', KEYS[2 * i])) or 0
  end
  local used = math.floor(last * math.max(left - 1, 0) / length) + this
  local wait = 0
  if cost > amount then wait = length
  elseif used + cost > amount then
    if this + cost <= amount then
      wait = left - math.ceil((amount - this - cost + 1) * length / last)
    else
      wait = left + math.max(length - math.ceil((amount - cost + 1) * length / this), 0)
    end
  end
  return {used, wait, left, string.format('%.0f', now + left)}
end
local function add(i, amount, length)
  if roll(KEYS[2 * i - 1], KEYS[2 * i], length) > 0 then
    redis.call('INCRBY', KEYS[2 * i - 1], cost)
  else
    redis.call('DEL', KEYS[2 * i])
    redis.call('SET', KEYS[2 * i - 1], cost, 'PX', 2 * length)
  end
end
"""
)

_MOVING: Final = """
local micros = time[1] * 1000000 + time[2]
local stamp = string.format('%d.%06d', tonumber(time[1]), tonumber(time[2]))
local function at(i, index)
  local hit = redis.call('LINDEX', KEYS[i], index)
  return hit and math.floor(tonumber(hit) * 1000000 + 0.5)
end
local function oldest(i, amount, since)
  local low, high, found = 0, amount - 1, nil
  while low <= high do
    local middle = math.floor((low + high) / 2)
    local hit = at(i, middle)
    if hit and hit > since then found, low = middle, middle + 1 else high = middle - 1 end
  end
  return found
end
local function read(i, amount, length)
  local since = micros - length * 1000
  local last = oldest(i, amount, since)
  local used, reset, wait = 0, 0, 0
  if last then
    used = last + 1
    reset = math.ceil((at(i, last) - since) / 1000)
  end
  if cost > amount then wait = length
  elseif used + cost > amount then wait = math.ceil((at(i, amount - cost) - since) / 1000) end
  return {used, wait, reset, string.format('%.0f', micros)}
end
local function add(i, amount, length)
  for _ = 1, cost do redis.call('LPUSH', KEYS[i], stamp) end
  redis.call('LTRIM', KEYS[i], 0, amount - 1)
  redis.call('PEXPIRE', KEYS[i], length)
end
"""

TAKE: Final[dict[Strategy, str]] = {
    "fixed-window": _FRAME % {"functions": _FIXED},
    "sliding-window-counter": _FRAME % {"functions": _SLIDING},
    "moving-window": _FRAME % {"functions": _MOVING},
}

_LESS: Final = """
local function less(key)
  local held = tonumber(redis.call('GET', key)) or 0
  if held > 0 then redis.call('DECRBY', key, math.min(held, tonumber(ARGV[1]))) end
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""
# An old Redis lets TIME run on inside a script, so two readings of one window's end may differ a little.

GIVE_BACK: Final[dict[Strategy, str]] = {
    "fixed-window": _LESS
    + """
local left = redis.call('PTTL', KEYS[1])
if left > 0 and math.abs(now + left - tonumber(ARGV[2])) < 500 then less(KEYS[1]) end
""",
    "sliding-window-counter": _LESS
    + _ROLL
    + """
local length = tonumber(ARGV[3])
local left = roll(KEYS[1], KEYS[2], length)
if left > 0 then
  local ago = now + left - tonumber(ARGV[2])
  if math.abs(ago) < 500 then less(KEYS[1])
  elseif math.abs(ago - length) < 500 then less(KEYS[2]) end
end
""",
    "moving-window": """
local micros = tonumber(ARGV[2])
local stamp = string.format('%d.%06d', math.floor(micros / 1000000), micros % 1000000)
redis.call('LREM', KEYS[1], tonumber(ARGV[1]), stamp)
""",
}
"""Gets the cost, the token and the ms of one counter."""

STRIKE: Final = """
local left = redis.call('PTTL', KEYS[1])
if left > 0 then return left end
local strikes = redis.call('INCR', KEYS[2])
local length = math.min(tonumber(ARGV[1]) * 2 ^ math.min(strikes - 1, 30), tonumber(ARGV[2]))
redis.call('SET', KEYS[1], 1, 'PX', length)
redis.call('PEXPIRE', KEYS[2], length + tonumber(ARGV[3]))
return length
"""
"""Gets the shortest and the longest lock and when its growth is forgotten, in ms; returns the ms left."""
