-- Sends the requests of a file in turn: a line each, path, tab, user agent. Ends with one line that
-- a program can read.
local requests, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local path, agent = line:match("^([^\t]*)\t(.*)$")
    requests[#requests + 1] = wrk.format("GET", path, {
      ["Host"] = "t.example.org",
      ["User-Agent"] = agent,
      ["Accept"] = "image/webp,image/avif,*/*;q=0.8",
      ["Accept-Encoding"] = "gzip, deflate, br",
    })
  end
end

function request()
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    "measured requests=%d duration=%d errors=%d p50=%d p99=%d\n",
    summary.requests, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
