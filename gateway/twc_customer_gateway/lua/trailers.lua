-- Puts the metadata that ends the answer to a unary RPC where REST can see it: into the
-- headers, which wait for it.

local NAMES = {"x-http-code", "etag"}

function envoy_on_response(handle)
  -- Holds the headers back until everything is there.
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
