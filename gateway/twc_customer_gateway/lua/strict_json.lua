-- Rejects JSON bodies that the gRPC-JSON transcoder would accept and misread: it drops
-- a null from a list, takes an object for a list of one, merges lists that are given
-- twice, reads "yes" as true, and accepts text that is not quite JSON (RFC 8259). Any
-- of these would store something other than the client sent.
--
-- A recursive-descent parser that stores nothing: it checks syntax, types and duplicate
-- names, and collects field violations, which the local reply reports. Values go through
-- to the transcoder unchanged; business rules are the server's. Members that the contract
-- does not know are named in a response header, and null members of an update, which the
-- transcoder takes for absent ones, in the request's query.
--
-- `strict_json.py` puts the table CONTRACT before this script: the type of each RPC's
-- body. A type is {is = "text" | "boolean" | "number" | "time"}, {is = "enum", names = set,
-- wanted = message}, {is = "path", wanted = message} of a member that only the path may
-- have, {is = "object", of = types by member name}, or {is = "list" | "map", of = type of
-- its items}. A list may allow `nulls`, and limit its items (`most`); an
-- object that is a body may have its null members cleared (`clears`). REFUSES_UNKNOWN tells
-- whether members that are unknown are violations. SMALL_BODY_BYTES is the size up to which bodies are read before the caller is known.
-- It also puts `violations.lua` and `json_tokens.lua` there, whose functions this one uses.

local COLON, COMMA, NULL, TRUE, FALSE = byte(":"), byte(","), byte("n"), byte("t"), byte("f")
local OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = byte("["), byte("]"), byte("{"), byte("}")

local MAX_DEPTH = 50
-- Values that a body may have, and the bytes for each beyond these. Each takes time here, in
-- the transcoder and in the server; customers have one for 20 bytes or so. Small bodies may
-- have fewer, because they are read before the caller is known.
local MAX_VALUES, BYTES_OF_VALUE = 1000, 6
local MAX_SMALL_VALUES, SMALL_BYTES_OF_VALUE = 500, 16
-- Each new name takes memory, and time to find and free that.
local MAX_NAMES = 200000

-- The longest text that can be a name or number of an enum, or a time: patterns run only on
-- texts of limited length.
local MAX_CHECKED_LENGTH = 64

-- Digits that the fraction of a time may have.
local MAX_FRACTION_LENGTH = 9

-- Unknown members that a response names.
local MAX_IGNORED = 10
local IGNORED_HEADER = "x-ignored-members"

-- Some clients put a byte order mark before the JSON.
local BYTE_ORDER_MARK = "\239\187\191"

local WANTED = {
  text = "a string",
  boolean = "true or false",
  number = "a number",
  time = "an RFC 3339 date-time such as 2001-05-28T00:00:00Z",
  object = "an object",
  map = "an object",
  list = "an array",
}

-- State of the parser: the numbers of values that may be and were read, of objects, and of
-- different names, and for each depth these names, each with the number of the last object
-- that has it. Parsing never yields, so that all requests of a thread can share it.
local most_values, values, objects, names, seen

-- The paths of unknown members, as far as they are named, and the null members of the body.
local ignored, ignored_more, cleared

local function max_values(expected)
  if expected.is == "object" and #text <= SMALL_BODY_BYTES then
    return MAX_SMALL_VALUES + math.floor(#text / SMALL_BYTES_OF_VALUE)
  end
  return MAX_VALUES + math.floor(#text / BYTES_OF_VALUE)
end

local function count_value()
  values = values + 1
  if values > most_values then
    fail(0, format("must hold at most %d values for its size", most_values))
  end
end

local read_value

local function read_list(at, expected, depth)
  local next
  at, next = skip_space(at + 1)
  if next == CLOSE_LIST then
    return at + 1
  end
  local item = expected and expected.of
  local most = expected and expected.most or NEVER
  local refuses_null = expected and not expected.nulls
  local index = 0
  forms[depth + 1] = ITEM
  while true do
    trail[depth + 1] = index
    if index >= most then
      fail(depth, format("must hold at most %d items", most))
    elseif next == NULL and refuses_null then
      report(depth + 1, "must not be null")
    end
    at, next = skip_space(read_value(at, next, item, depth + 1))
    if next == CLOSE_LIST then
      return at + 1
    elseif next ~= COMMA then
      not_json(at, depth)
    end
    at, next = skip_space(at + 1)
    index = index + 1
  end
end

-- Notes a member that the contract does not know.
local function note_unknown(depth)
  if REFUSES_UNKNOWN then
    report(depth, "is not a member that the API knows")
  elseif #ignored < MAX_IGNORED then
    ignored[#ignored + 1] = path_to(depth)
  else
    ignored_more = ignored_more + 1
  end
end

local function note_name(name, object, depth)
  local last = seen[depth][name]
  if last == object then
    report(depth + 1, "must be given once")
  elseif last == nil then
    names = names + 1
    if names > MAX_NAMES then
      fail(0, format("must hold at most %d different names", MAX_NAMES))
    end
  end
  seen[depth][name] = object
end

-- Reads the name of an object's member, to where its value begins. Returns its type, too.
local function read_name(at, next, members, object, depth)
  if next ~= QUOTE then
    not_json(at, depth)
  end
  local first = at + 1
  at = read_string(at, depth)
  local name = sub(text, first, at - 2)
  trail[depth + 1] = name
  local member = members and members[name]
  if members and not member then
    if find(name, "\\", 1, true) then
      report(depth + 1, "must have its name written without escapes")
    else
      note_unknown(depth + 1)
    end
  end
  -- The two spellings of a field (snake_case and camelCase) are one field.
  note_name(member or name, object, depth)
  at, next = skip_space(at)
  if next ~= COLON then
    not_json(at, depth + 1)
  end
  return at + 1, member
end

local function read_object(at, expected, depth)
  local next
  at, next = skip_space(at + 1)
  if next == CLOSE_OBJECT then
    return at + 1
  end
  local members = expected and expected.is == "object" and expected.of
  local entry = expected and expected.is == "map" and expected.of
  objects = objects + 1
  local object = objects
  seen[depth] = seen[depth] or {}
  forms[depth + 1] = entry and ENTRY or MEMBER
  while true do
    local member
    at, member = read_name(at, next, members, object, depth)
    at, next = skip_space(at)
    if entry then
      -- To the transcoder an entry is a message of its own, with the name and the value.
      count_value()
      if next == NULL then
        report(depth + 1, "must not be null")
      end
    elseif next == NULL and member and expected.clears then
      cleared[#cleared + 1] = trail[depth + 1]
    end
    at, next = skip_space(read_value(at, next, member or entry, depth + 1))
    if next == CLOSE_OBJECT then
      return at + 1
    elseif next ~= COMMA then
      not_json(at, depth)
    end
    at, next = skip_space(at + 1)
  end
end

local function fits(expected, next)
  local is = expected.is
  if next == QUOTE then
    return is == "text" or is == "enum" or is == "time"
  elseif next == OPEN_OBJECT then
    return is == "object" or is == "map"
  elseif next == OPEN_LIST then
    return is == "list"
  elseif next == TRUE or next == FALSE then
    return is == "boolean"
  end
  return is == "enum" or is == "number"
end

local function is_time(read)
  if not find(read, "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d") then
    return false
  end
  local _, last = find(read, "^%.%d+", 20)
  local zone = (last or 19) + 1
  if zone - 21 > MAX_FRACTION_LENGTH then
    return false
  end
  return find(read, "^Z$", zone) or find(read, "^[+-]%d%d:%d%d$", zone)
end

local function is_infinite(digits)
  local number = tonumber(digits)
  return number == math.huge or number == -math.huge
end

-- Checks the text between two positions, if its type admits some texts only.
local function check_text(first, last, expected, depth)
  local is_short = last - first < MAX_CHECKED_LENGTH
  local read = is_short and sub(text, first, last)
  if expected.is == "enum" then
    if not (is_short and (expected.names[read] or find(read, "^%-?%d+$"))) then
      report(depth, "must be " .. expected.wanted)
    end
  elseif expected.is == "time" and not (is_short and is_time(read)) then
    report(depth, "must be " .. WANTED.time)
  end
end

function read_value(at, next, expected, depth)
  count_value()
  if depth > MAX_DEPTH then
    fail(1, format("must not be nested more than %d deep", MAX_DEPTH))
  elseif next == NULL then
    return read_word(at, depth, "null")
  elseif next == nil then
    not_json(at, depth)
  end
  if expected and not fits(expected, next) then
    report(depth, "must be " .. (expected.wanted or WANTED[expected.is]))
    expected = nil
  end
  if next == QUOTE then
    local first = at + 1
    at = read_string(at, depth)
    if expected and expected.is ~= "text" then
      check_text(first, at - 2, expected, depth)
    end
    return at
  elseif next == OPEN_OBJECT then
    return read_object(at, expected, depth)
  elseif next == OPEN_LIST then
    return read_list(at, expected, depth)
  elseif next == TRUE then
    return read_word(at, depth, "true")
  elseif next == FALSE then
    return read_word(at, depth, "false")
  end
  local first = at
  at = read_number(at, next, depth)
  if expected and expected.is == "number" and is_infinite(sub(text, first, at - 1)) then
    report(depth, "must be a number within the range of a double")
  end
  return at
end

local function read_body(expected)
  local at, next = skip_space(1)
  if next == nil or next == NULL then
    fail(0, "must be " .. WANTED[expected.is])
  end
  at, next = skip_space(read_value(at, next, expected, 0))
  if next ~= nil then
    not_json(at, 0)
  end
end

-- Returns the violations of a body, the paths of unknown members, and members to be cleared.
local function check(body, expected)
  start_violations()
  ignored, ignored_more, cleared = {}, 0, {}
  start_text(body)
  most_values, values, objects, names, seen = max_values(expected), 0, 0, 0, {}
  local fine, problem = pcall(read_body, expected)
  local found = violations
  text, seen, violations, trail, forms = nil, nil, nil, nil, nil
  if not fine and problem ~= found then
    error(problem)
  end
  if ignored_more > 0 then
    ignored[#ignored + 1] = format("and %d more", ignored_more)
  end
  return found, ignored, cleared
end

-- LuaJIT compiles what it has seen run often, and never again tries what it failed to
-- compile. So that no caller's bodies decide about this, all that lists can hold is read
-- first: without it the same body may take five times as long.
local function warm_up()
  local expected = {is = "object", of = {}}
  for _, item in ipairs{
    "0", "1234567", "-12.5e3", " 1 ", "null", "true", "false", '""', '"a"', '"\\n"',
    '"äöü"', '"€\240\159\152\128"',
    '"\\n\\n\\n\\n\\n\\n"', '"\\u00e4b\\u00e4"', '"\\ud83d\\ude00"', "[]", "[[[]]]", "\n        [ ]", "{}", '{"a":1}',
    '{"a":1,"b":"c"}', '{"a":{"b":{}}}',
  } do
    local body = '{"x":[' .. rep(item .. ",", 99) .. item .. "]}"
    for _ = 1, 10 do
      check(body, expected)
    end
  end
end

warm_up()

-- Returns the body's text, without a byte order mark, which the transcoder does not know.
local function read_text(body)
  if not body then
    return ""
  end
  local read = body:getBytes(0, body:length())
  if sub(read, 1, #BYTE_ORDER_MARK) == BYTE_ORDER_MARK then
    read = sub(read, #BYTE_ORDER_MARK + 1)
    body:setBytes(read)
  end
  return read
end

function envoy_on_request(handle)
  local expected = CONTRACT[handle:metadata():get("body")]
  local found, unknown, to_clear = check(read_text(handle:body()), expected)
  if #found > 0 then
    refuse(handle, found)
    return
  end
  if #unknown > 0 then
    -- Names may have any character; a header only some.
    local named = table.concat(unknown, ", "):gsub("[^%w _.,%[%]\"-]", "?")
    handle:streamInfo():dynamicMetadata():set("strict_json", "ignored", named)
  end
  if #to_clear > 0 then
    local headers = handle:headers()
    local path = headers:get(":path")
    local separator = find(path, "?", 1, true) and "&" or "?"
    headers:replace(":path", path .. separator .. "clearedFields=" .. table.concat(to_clear, ","))
  end
end

function envoy_on_response(handle)
  local noted = handle:streamInfo():dynamicMetadata():get("strict_json")
  if noted and noted.ignored then
    handle:headers():add(IGNORED_HEADER, noted.ignored)
  end
end
