-- Reads the tokens of JSON (RFC 8259) for `strict_json.lua`: white space, texts, numbers
-- and words.
--
-- The time that a body takes is proportional to its length, with much the same factor for
-- every kind of body. So each byte is looked at a fixed number of times, one by one or in
-- plain searches, which LuaJIT compiles. What a search has found is kept, so that the next
-- one starts behind it.

local min, NEVER = math.min, math.huge

local QUOTE, BACKSLASH, UNICODE, DELETE = byte('"'), byte("\\"), byte("u"), 127
local ZERO, MINUS, PLUS, DOT = byte("0"), byte("-"), byte("+"), byte(".")

-- Returns a set of bytes; as an array without gaps, LuaJIT reads it fastest.
local function bytes(characters)
  local set = {}
  for code = 0, 255 do
    set[code] = false
  end
  for at = 1, #characters do
    set[byte(characters, at)] = true
  end
  return set
end

local IS_SPACE, IS_DIGIT, IS_EXPONENT = bytes(" \t\r\n"), bytes("0123456789"), bytes("eE")
local IS_HEX, IS_ESCAPED = bytes("0123456789abcdefABCDEF"), bytes('"\\/bfnrt')
local IS_HIGH, IS_LOW = bytes("89abAB"), bytes("cdefCDEF")
local IS_SURROGATE = bytes("dD")
local FOLLOWS_NUMBER = bytes(" \t\r\n,]}")

-- The bytes of a character that follow its first.
local IS_CONTINUED = bytes("")
for code = 0x80, 0xBF do
  IS_CONTINUED[code] = true
end

-- The body, and the positions of the next backslash and control character that are known, and
-- of the first byte that is no UTF-8.
local text, backslash, control, no_utf8

-- Returns the number of bytes of the character at a position, or nil if it is no UTF-8
-- (RFC 3629).
local function length_of_character(at)
  local first, second, third, fourth = byte(text, at, at + 3)
  if first < 0x80 then
    return 1
  elseif not IS_CONTINUED[second] then
    return nil
  elseif first >= 0xC2 and first < 0xE0 then
    return 2
  elseif not IS_CONTINUED[third] then
    return nil
  elseif first < 0xF0 then
    -- Shorter ones have fewer bytes, and halves of surrogate pairs are none.
    local is_own = first > 0xE0 or (first == 0xE0 and second >= 0xA0)
    return is_own and (first ~= 0xED or second < 0xA0) and 3 or nil
  end
  local is_own = first > 0xF0 or second >= 0x90
  local is_character = first < 0xF4 or (first == 0xF4 and second < 0x90)
  return is_own and is_character and IS_CONTINUED[fourth] and 4 or nil
end

-- Returns the position of the first byte that is no UTF-8.
local function find_no_utf8()
  local at, size = 1, #text
  while at <= size do
    if byte(text, at) < 0x80 then
      at = at + 1
    else
      local length = length_of_character(at)
      if not length then
        return at
      end
      at = at + length
    end
  end
  return NEVER
end

local function start_text(body)
  text, backslash, control = body, 0, 0
  no_utf8 = find_no_utf8()
end

-- Functions take the position to read from. They return the position after what they
-- read, and `skip_space` also the byte there.

local function skip_space(at)
  local next = byte(text, at)
  while IS_SPACE[next] do
    at = at + 1
    next = byte(text, at)
  end
  return at, next
end

-- Returns the position of the next control character, which no text may have.
local function find_control(at)
  -- The pattern that is fast also finds the one that texts may have.
  at = find(text, "%c", at)
  if at and byte(text, at) == DELETE then
    at = find(text, "[%z\1-\31]", at)
  end
  return at or NEVER
end

-- Reads the escape of a half of a surrogate pair, and that of the other one behind a high half.
local function read_surrogates(at, is_high, depth)
  if is_high and byte(text, at + 6) == BACKSLASH and byte(text, at + 7) == UNICODE then
    local first, second, third, fourth = byte(text, at + 8, at + 11)
    if IS_SURROGATE[first] and IS_LOW[second] and IS_HEX[third] and IS_HEX[fourth] then
      return at + 12
    end
  end
  report(depth, "must not have half of a surrogate pair")
  return at + 6
end

local function read_escape(at, depth)
  local escaped = byte(text, at + 1)
  if IS_ESCAPED[escaped] then
    return at + 2
  elseif escaped == UNICODE then
    local first, second, third, fourth = byte(text, at + 2, at + 5)
    if IS_HEX[first] and IS_HEX[second] and IS_HEX[third] and IS_HEX[fourth] then
      if IS_SURROGATE[first] and (IS_HIGH[second] or IS_LOW[second]) then
        return read_surrogates(at, IS_HIGH[second], depth)
      end
      return at + 6
    end
  end
  not_json(min(at, control), depth)
end

-- Reads the escapes of a string, and returns the position of its closing quote.
local function read_escapes(quote, depth)
  while backslash < quote do
    local at = read_escape(backslash, depth)
    if byte(text, at) == BACKSLASH then
      backslash = at
    else
      backslash = find(text, "\\", at, true) or NEVER
    end
    if quote < at then
      quote = find(text, '"', at, true) or NEVER
    end
  end
  return quote
end

local function read_string(at, depth)
  at = at + 1
  local quote = find(text, '"', at, true) or NEVER
  if control < at then
    control = find_control(at)
  end
  if backslash < at then
    backslash = find(text, "\\", at, true) or NEVER
  end
  if backslash < quote then
    quote = read_escapes(quote, depth)
  end
  if control < quote or quote == NEVER then
    not_json(min(control, #text + 1), depth)
  end
  if no_utf8 < quote then
    fail(depth, "must be UTF-8")
  end
  return quote + 1
end

local function read_word(at, depth, word)
  if sub(text, at, at + #word - 1) ~= word then
    not_json(at, depth)
  end
  return at + #word
end

local function read_digits(at, depth)
  local next = byte(text, at)
  if not IS_DIGIT[next] then
    not_json(at, depth)
  end
  at = at + 1
  next = byte(text, at)
  while IS_DIGIT[next] do
    at = at + 1
    next = byte(text, at)
  end
  return at, next
end

local function read_number(at, next, depth)
  if next == MINUS then
    at = at + 1
  end
  local first = at
  at, next = read_digits(at, depth)
  if byte(text, first) == ZERO and at > first + 1 then
    not_json(first, depth)
  end
  if next == DOT then
    at, next = read_digits(at + 1, depth)
  end
  if IS_EXPONENT[next] then
    local sign = byte(text, at + 1)
    at, next = read_digits((sign == PLUS or sign == MINUS) and at + 2 or at + 1, depth)
  end
  -- What follows may be meant to belong to it, as in 2001-05-28.
  if next and not FOLLOWS_NUMBER[next] then
    not_json(at, depth)
  end
  return at
end
