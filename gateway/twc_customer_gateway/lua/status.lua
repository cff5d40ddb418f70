-- Sets the HTTP status of a REST response to the one that the server sends in the
-- metadata x-http-code (such as 201, 204 or 304), and removes the headers of gRPC.
-- Errors, and responses of native gRPC, pass unchanged.

function envoy_on_response(handle)
  local headers = handle:headers()
  if headers:get("content-type") ~= "application/json" then
    return
  end
  local status = headers:get("x-http-code")
  headers:remove("x-http-code")
  headers:remove("grpc-status")
  headers:remove("grpc-message")
  headers:remove("grpc-accept-encoding")
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
