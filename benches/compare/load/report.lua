-- One line of what wrk measured, for load/wrk.rs, and a body where its length is given. No function that
-- wrk calls for each request or response: those would cost the load's core.
function init(args)
  if args[1] then
    wrk.method = "POST"
    wrk.body = string.rep("u", tonumber(args[1]))
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  print(string.format("outcome requests=%d bytes=%d micros=%d statuses=%d broken=%d p50=%d p99=%d p999=%d",
    summary.requests, summary.bytes, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
