-- Collects what `strict_json.lua` finds wrong with a body, for the local reply. Both the
-- time to collect and the size of the answer are limited, whatever the body has: names are
-- shortened, paths and their number are cut, and reading stops when enough is found.

local byte, find, sub, format, rep = string.byte, string.find, string.sub, string.format, string.rep

local MAX_VIOLATIONS = 20
-- Of all fields and descriptions.
local MAX_VIOLATION_BYTES = 4096
local MAX_PATH_BYTES = 512

-- Characters of a name that a path repeats, as in the server's errors, and their bytes.
local SHOWN_LENGTH = 64
local SHOWN_BYTES = 4 * SHOWN_LENGTH
local SHOWN = "^" .. rep("[^\128-\191][\128-\191]*", SHOWN_LENGTH)

-- Formats of the parts of a path: members, entries of maps, and items of lists.
local MEMBER, ENTRY, ITEM = ".%s", '["%s"]', "[%d]"

-- The violations, the sum of their bytes, the number of reports, and the path to what is
-- read: names or indexes, and their formats.
local violations, violation_bytes, reports, trail, forms

local function start_violations()
  violations, violation_bytes, reports, trail, forms = {}, 0, 0, {}, {}
end

local function shorten(name)
  if #name <= SHOWN_LENGTH then
    return name
  end
  local start = sub(name, 1, SHOWN_BYTES)
  local _, last = find(start, SHOWN)
  last = last or #start
  return last < #name and sub(name, 1, last) .. "…" or name
end

local function path_to(depth)
  local path = ""
  for place = 1, depth do
    local part = trail[place]
    if forms[place] ~= ITEM then
      part = shorten(part)
    end
    part = format(forms[place], part)
    if #path + #part > MAX_PATH_BYTES then
      path = path .. "…"
      break
    end
    path = path .. part
  end
  if sub(path, 1, 1) == "." then
    path = sub(path, 2)
  end
  return path ~= "" and path or "body"
end

-- Adds a violation; a second one of the same field replaces the first. Raises the
-- violations when there are enough.
local function report(depth, problem)
  local field = path_to(depth)
  local last = violations[#violations]
  if last and last.field == field then
    last.description = problem
  else
    violations[#violations + 1] = {field = field, description = problem}
  end
  violation_bytes = violation_bytes + #field + #problem
  -- Reports are counted as well: those of one field take as much time as others.
  reports = reports + 1
  if reports == MAX_VIOLATIONS or violation_bytes > MAX_VIOLATION_BYTES then
    error(violations, 0)
  end
end

-- Reports a violation and stops reading.
local function fail(depth, problem)
  report(depth, problem)
  error(violations, 0)
end

local function not_json(at, depth)
  fail(depth, format("is not JSON (RFC 8259) at byte %d of the body", at - 1))
end

-- Responds with the violations that were found.
local function refuse(handle, found)
  local metadata = handle:streamInfo():dynamicMetadata()
  metadata:set("strict_json", "found", true)
  metadata:set("strict_json", "violations", found)
  local message = found[1].field .. ": " .. found[1].description
  if #found > 1 then
    message = format("%s (and %d more)", message, #found - 1)
  end
  handle:respond({[":status"] = "400"}, message)
end
