-- Makes a REST response of the metadata beside a message: sets the HTTP status to that of
-- x-http-code (such as 201, 204 or 304), copies other headers, and removes those of gRPC.
-- Errors pass with their status, and responses that are not JSON unchanged.

local COPIED = {"etag", "location", "x-twc-consistency-token"}

-- The metadata of a unary RPC, in its trailers; nil if there are none, or if a server that knows
-- all of its response has them in the headers, too. The transcoder has put the RPC's status into
-- the headers, and passes all of the response at once, which a stream does not.
local function trailers_of_unary(handle)
  local headers = handle:headers()
  if headers:get("grpc-status") == nil or headers:get("etag") ~= nil then
    return nil
  end
  -- Only behind the body are there trailers.
  handle:body()
  return handle:trailers()
end

function envoy_on_response(handle)
  if handle:headers():get("content-type") ~= "application/json" then
    return
  end
  local trailers = trailers_of_unary(handle)
  -- Waiting invalidates earlier handles of the headers.
  local headers = handle:headers()
  local status = (trailers or headers):get("x-http-code")
  headers:remove("x-http-code")
  headers:remove("grpc-status")
  headers:remove("grpc-message")
  headers:remove("grpc-accept-encoding")
  if trailers ~= nil then
    for _, name in ipairs(COPIED) do
      local value = trailers:get(name)
      if value ~= nil then
        headers:replace(name, value)
      end
    end
  end
  if status == nil or headers:get(":status") ~= "200" then
    return
  end
  headers:replace(":status", status)
  if status == "204" or status == "304" then
    headers:remove("content-type")
    handle:body(true):setBytes("")
    -- Reading the body invalidated the earlier handle of the headers.
    handle:headers():remove("content-length")
  end
end
