-- Copies trailing metadata of a unary RPC's response into its headers, where REST clients
-- and the filter `status` find it.

local NAMES = {"x-http-code", "etag", "location"}

function envoy_on_response(handle)
  -- Buffers the body, and holds the headers back until the trailers have arrived.
  handle:body()
  local trailers = handle:trailers()
  if trailers == nil then
    return
  end
  local headers = handle:headers()
  for _, name in ipairs(NAMES) do
    local value = trailers:get(name)
    if value ~= nil then
      headers:replace(name, value)
    end
  end
end
