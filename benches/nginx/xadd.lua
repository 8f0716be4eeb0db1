-- One XADD a request, answered when Redis has replied; the leanest way that nginx offers.
local function word(text)
    return "$" .. #text .. "\r\n" .. text .. "\r\n"
end

local PIXEL = ngx.decode_base64("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
local redis = ngx.socket.tcp()
if not redis:connect("unix:@SOCKET@") then
    return ngx.exit(503)
end
redis:send("*10\r\n$4\r\nXADD\r\n$4\r\nhits\r\n$6\r\nMAXLEN\r\n$1\r\n~\r\n$7\r\n1000000\r\n$1\r\n*\r\n"
    .. "$1\r\nu\r\n" .. word(ngx.var.uri) .. "$1\r\na\r\n" .. word(ngx.var.http_user_agent or ""))
if not redis:receive() or not redis:receive() then
    return ngx.exit(503)
end
redis:setkeepalive(60000, 256)
ngx.header["Content-Type"] = "image/gif"
ngx.header["Content-Length"] = #PIXEL
ngx.header["Cache-Control"] = "no-store"
ngx.print(PIXEL)
