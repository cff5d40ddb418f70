-- Answers HEAD as GET without the body, whose length the header tells (RFC 9110, 9.3.2). The
-- transcoder knows no HEAD.

function envoy_on_request(handle)
  handle:headers():replace(":method", "GET")
end

function envoy_on_response(handle)
  local body = handle:body(true)
  local length = body:length()
  body:setBytes("")
  handle:headers():replace("content-length", tostring(length))
end
