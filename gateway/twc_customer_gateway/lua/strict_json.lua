-- Rejects JSON bodies that the gRPC-JSON transcoder would accept and misread: it drops
-- a null from a list, takes an object for a list of one, merges lists that are given
-- twice, reads "yes" as true, and accepts text that is not quite JSON (RFC 8259). Any
-- of these would store something other than the client sent.
--
-- A recursive-descent parser that stores nothing: it checks syntax, types and duplicate
-- names, and collects field violations, which the local reply reports. Values go through
-- to the transcoder unchanged; business rules are the server's.
--
-- `strict_json.py` puts the table CONTRACT before this script: the type of each RPC's
-- body. A type is {is = "text" | "boolean" | "time"}, {is = "enum", names = set,
-- wanted = message}, {is = "object", of = types by member name}, or {is = "list" |
-- "map", of = type of its items}. A list may allow `nulls`, and limit its items (`most`).

local byte, find, sub, format = string.byte, string.find, string.sub, string.format

local QUOTE, BACKSLASH, COLON, COMMA = byte('"'), byte("\\"), byte(":"), byte(",")
local OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = byte("["), byte("]"), byte("{"), byte("}")
local NULL, TRUE, FALSE = byte("n"), byte("t"), byte("f")
local SPACE = byte(" ")

-- Formats of the parts of a field's path: members, entries of maps, and items of lists.
local MEMBER, ENTRY, ITEM = ".%s", '["%s"]', "[%d]"

local MAX_DEPTH = 50

-- Limits the time that one body takes: reading a value takes about half a microsecond.
local MAX_VALUES = 2000000
local MAX_VIOLATIONS = 20

local WANTED = {
  text = "a string",
  boolean = "true or false",
  time = "an RFC 3339 date-time such as 2001-05-28T00:00:00Z",
  object = "an object",
  map = "an object",
  list = "an array",
}

-- State of the parser: the body and the position in it, the path to that position (names
-- or indexes, and their formats), the number of values read, and the violations found.
-- Parsing never yields, so that all requests of a thread can share it.
local text, at, trail, forms, values, violations

local function report(depth, problem)
  local path = ""
  for place = 1, depth do
    path = path .. format(forms[place], trail[place])
  end
  path = path:gsub("^%.", "")
  path = path ~= "" and path or "body"
  local last = violations[#violations]
  if last and last.field == path then
    last.description = problem
  elseif #violations < MAX_VIOLATIONS then
    violations[#violations + 1] = {field = path, description = problem}
  end
end

-- Reports a violation and stops parsing.
local function fail(depth, problem)
  report(depth, problem)
  error(violations, 0)
end

local function not_json(depth)
  fail(depth, format("is not JSON (RFC 8259) at byte %d of the body", at - 1))
end

local function skip_space()
  local next = byte(text, at)
  if next ~= nil and next > SPACE then
    return next
  end
  local _, last = find(text, "^[ \t\r\n]*", at)
  at = last + 1
  return byte(text, at)
end

-- Reads a string, and returns its raw text if that is needed.
local function read_string(depth, is_wanted)
  local first = at + 1
  at = first
  while true do
    local _, last = find(text, '^[^"\\%z\1-\31]*', at)
    at = last + 1
    local next = byte(text, at)
    if next == QUOTE then
      at = at + 1
      return is_wanted and sub(text, first, at - 2)
    elseif next ~= BACKSLASH
      or not (find(text, '^["\\/bfnrt]', at + 1) or find(text, "^u%x%x%x%x", at + 1)) then
      not_json(depth)
    end
    at = at + 2
  end
end

local function read_word(depth, word)
  if sub(text, at, at + #word - 1) ~= word then
    not_json(depth)
  end
  at = at + #word
end

local function read_number(depth)
  local _, last = find(text, "^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  local number = last and sub(text, at, last)
  if not number or find(number, "^-?0%d") or find(number, "%.$") or find(number, "%.[eE]")
    or find(number, "[eE+-]$") or find(number, "%d[+-]") then
    not_json(depth)
  end
  at = last + 1
end

local read_value

local function read_list(expected, depth)
  at = at + 1
  if skip_space() == CLOSE_LIST then
    at = at + 1
    return
  end
  local index = 0
  while true do
    trail[depth + 1], forms[depth + 1] = index, ITEM
    if expected and expected.most and index >= expected.most then
      fail(depth, format("must hold at most %d items", expected.most))
    elseif skip_space() == NULL and expected and not expected.nulls then
      report(depth + 1, "must not be null")
    end
    read_value(expected and expected.of, depth + 1)
    local next = skip_space()
    at = at + 1
    if next == CLOSE_LIST then
      return
    elseif next ~= COMMA then
      at = at - 1
      not_json(depth)
    end
    index = index + 1
  end
end

local function read_object(expected, depth)
  at = at + 1
  if skip_space() == CLOSE_OBJECT then
    at = at + 1
    return
  end
  local members = expected and expected.is == "object" and expected.of
  local entry = expected and expected.is == "map" and expected.of
  local form = entry and ENTRY or MEMBER
  local seen = {}
  while true do
    if skip_space() ~= QUOTE then
      not_json(depth)
    end
    local name = read_string(depth, true)
    trail[depth + 1], forms[depth + 1] = name, form
    if members and find(name, "\\", 1, true) then
      report(depth + 1, "must have its name written without escapes")
    end
    local member = members and members[name]
    -- The two spellings of a field (snake_case and camelCase) are one field.
    if seen[member or name] then
      report(depth + 1, "must be given once")
    end
    seen[member or name] = true
    if skip_space() ~= COLON then
      not_json(depth + 1)
    end
    at = at + 1
    if entry and skip_space() == NULL then
      report(depth + 1, "must not be null")
    end
    read_value(member or entry, depth + 1)
    local next = skip_space()
    at = at + 1
    if next == CLOSE_OBJECT then
      return
    elseif next ~= COMMA then
      at = at - 1
      not_json(depth)
    end
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
  return is == "enum"
end

local function check_text(expected, depth, read)
  if expected.is == "enum" and not expected.names[read] and not find(read, "^%-?%d+$") then
    report(depth, "must be " .. expected.wanted)
  elseif expected.is == "time"
    and not find(read, "^%d%d%d%d%-%d%d%-%d%d[Tt]%d%d:%d%d:%d%d%.?%d*[Zz]?[+-]?%d*:?%d*$") then
    report(depth, "must be " .. WANTED.time)
  end
end

function read_value(expected, depth)
  local next = skip_space()
  values = values + 1
  if values > MAX_VALUES then
    fail(0, format("must hold at most %d values", MAX_VALUES))
  elseif depth > MAX_DEPTH then
    fail(1, format("must not be nested more than %d deep", MAX_DEPTH))
  elseif next == NULL then
    return read_word(depth, "null")
  elseif next == nil then
    not_json(depth)
  end
  if expected and not fits(expected, next) then
    report(depth, "must be " .. (expected.wanted or WANTED[expected.is]))
    expected = nil
  end
  if next == QUOTE then
    local is_checked = expected and expected.is ~= "text"
    local read = read_string(depth, is_checked)
    if is_checked then
      check_text(expected, depth, read)
    end
  elseif next == OPEN_OBJECT then
    read_object(expected, depth)
  elseif next == OPEN_LIST then
    read_list(expected, depth)
  elseif next == TRUE then
    read_word(depth, "true")
  elseif next == FALSE then
    read_word(depth, "false")
  else
    read_number(depth)
  end
end

local function read_body(expected)
  local next = skip_space()
  if next == nil or next == NULL then
    fail(0, "must be " .. WANTED[expected.is])
  end
  read_value(expected, 0)
  if skip_space() ~= nil then
    not_json(0)
  end
end

-- Returns the violations of a body, at most MAX_VIOLATIONS.
local function check(body, expected)
  text, at, trail, forms, values, violations = body, 1, {}, {}, 0, {}
  local fine, problem = pcall(read_body, expected)
  text, trail, forms = nil, nil, nil
  if not fine and problem ~= violations then
    error(problem)
  end
  return violations
end

function envoy_on_request(handle)
  local expected = CONTRACT[handle:metadata():get("body")]
  local body = handle:body()
  local found = check(body and body:getBytes(0, body:length()) or "", expected)
  if #found > 0 then
    local metadata = handle:streamInfo():dynamicMetadata()
    metadata:set("strict_json", "found", true)
    metadata:set("strict_json", "violations", found)
    local message = found[1].field .. ": " .. found[1].description
    if #found > 1 then
      message = format("%s (and %d more)", message, #found - 1)
    end
    handle:respond({[":status"] = "400"}, message)
  end
end
