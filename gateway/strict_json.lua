-- Refuses JSON bodies that the transcoder would quietly make something of: it
-- drops a null from a list, takes an object for a list of one, merges lists
-- given twice, reads "yes" as true, and accepts what is not quite JSON. None
-- of that may change what a caller meant to store.
--
-- CONTRACT, which stands before this text, says what each member of a message
-- is: {is = "text" | "boolean" | "enum"}, {is = "object", of = members}, or
-- {is = "list" | "map", of = what its items are}.

local byte, find, sub, format = string.byte, string.find, string.sub, string.format

local QUOTE, BACKSLASH, COLON, COMMA = byte('"'), byte("\\"), byte(":"), byte(",")
local OPEN_LIST, CLOSE_LIST, OPEN_OBJECT, CLOSE_OBJECT = byte("["), byte("]"), byte("{"), byte("}")
local NULL, TRUE, FALSE = byte("n"), byte("t"), byte("f")

local MAX_DEPTH = 50

local WANTED = {
  text = "a string",
  boolean = "true or false",
  enum = "the name of a value",
  object = "an object",
  map = "an object",
  list = "an array",
}

-- The body, the place in it, and the names that lead there. Reading never
-- yields, so one of each does for all requests of a thread.
local text, at, trail

local function fail(depth, problem)
  local path = ""
  for level = 1, depth do
    path = path .. trail[level]
  end
  error({field = path:gsub("^%.", ""), problem = problem}, 0)
end

local function not_json(depth)
  fail(depth, format("is not JSON (RFC 8259) at byte %d of the body", at - 1))
end

local function skip_space()
  local _, last = find(text, "^[ \t\r\n]*", at)
  at = last + 1
  return byte(text, at)
end

local function read_string(depth)
  local first = at + 1
  at = first
  while true do
    local _, last = find(text, '^[^"\\%z\1-\31]*', at)
    at = last + 1
    local next = byte(text, at)
    if next == QUOTE then
      at = at + 1
      return sub(text, first, at - 2)
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
    trail[depth + 1] = format("[%d]", index)
    if skip_space() == NULL and expected and not expected.nulls then
      fail(depth + 1, "must not be null")
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
  local seen = {}
  while true do
    if skip_space() ~= QUOTE then
      not_json(depth)
    end
    local name = read_string(depth)
    trail[depth + 1] = entry and format('["%s"]', name) or "." .. name
    if members and find(name, "\\", 1, true) then
      fail(depth + 1, "must have its name written without escapes")
    end
    local member = members and members[name]
    -- Two spellings of a field are one field.
    if seen[member or name] then
      fail(depth + 1, "must be given once")
    end
    seen[member or name] = true
    if skip_space() ~= COLON then
      not_json(depth + 1)
    end
    at = at + 1
    if entry and skip_space() == NULL then
      fail(depth + 1, "must not be null")
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
    return is == "text" or is == "enum"
  elseif next == OPEN_OBJECT then
    return is == "object" or is == "map"
  elseif next == OPEN_LIST then
    return is == "list"
  elseif next == TRUE or next == FALSE then
    return is == "boolean"
  end
  return is == "enum"
end

function read_value(expected, depth)
  local next = skip_space()
  if depth > MAX_DEPTH then
    fail(1, format("must not be nested more than %d deep", MAX_DEPTH))
  elseif next == NULL then
    return read_word(depth, "null")
  elseif next == nil then
    not_json(depth)
  elseif expected and not fits(expected, next) then
    fail(depth, "must be " .. WANTED[expected.is])
  elseif next == QUOTE then
    read_string(depth)
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

-- Returns nil, or a table with what is wrong: its field and the problem.
local function check(body, expected)
  text, at, trail = body, 1, {}
  local fine, problem = pcall(read_body, expected)
  text, trail = nil, nil
  if not fine then
    if type(problem) ~= "table" then
      error(problem)
    end
    problem.field = problem.field ~= "" and problem.field or "body"
    return problem
  end
end

function envoy_on_request(handle)
  local expected = CONTRACT[handle:metadata():get("body")]
  local body = handle:body()
  local problem = check(body and body:getBytes(0, body:length()) or "", expected)
  if problem then
    local metadata = handle:streamInfo():dynamicMetadata()
    metadata:set("strict_json", "field", problem.field)
    metadata:set("strict_json", "problem", problem.problem)
    handle:respond({[":status"] = "400"}, problem.field .. ": " .. problem.problem)
  end
end
