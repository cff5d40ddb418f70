-- Accepts the query parameter customerRef beside the reference in the path, as the API's
-- document lists it, if both are the same. The transcoder would set the field twice.

local function decode(text)
  return (text:gsub("%%(%x%x)", function(code)
    return string.char(tonumber(code, 16))
  end))
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local path, query = headers:get(":path"):match("^([^?]*)%?(.*)$")
  local in_path = decode(path:match("([^/]+)/ref/?$"))
  local others = {}
  for parameter in query:gmatch("[^&]+") do
    local value = parameter:match("^customerRef=(.*)$") or parameter:match("^customer_ref=(.*)$")
    if value == nil then
      others[#others + 1] = parameter
    elseif decode((value:gsub("+", " "))) ~= in_path then
      handle:respond({[":status"] = "400"}, "customerRef must be the reference in the path")
      return
    end
  end
  local rest = table.concat(others, "&")
  headers:replace(":path", rest == "" and path or path .. "?" .. rest)
end
