// The load that a client makes, as the benchmark's own clients make it: see LoadResult in the bench package.
import * as hdr from 'hdr-histogram-js'
import { processCPU } from './cpu.js'
import { fillPayload } from './payload.js'

const callTimeout = 10_000 // ms; when a call is given up: far beyond any latency that is still of interest
const maxErrorTexts = 16 // texts may hold ids
const maxLatency = 120e9 // of histograms
const digits = 3

const now = () => Number(process.hrtime.bigint())

// drive makes the load's calls and gives what the client measured when all have ended.
export async function drive(call, load) {
  if (!(load.Calls >= 1) || !(load.InFlight >= 1)) throw new Error(`a load of ${load.Calls} calls, ${load.InFlight} at once: give at least 1`)
  const tally = { call, size: load.Size, latencies: [], wrong: 0, errors: {}, late: 0 }
  const cpu = processCPU()
  const start = now()
  const dropped = load.Rate > 0 ? await open(tally, load, start) : await closed(tally, load)
  const elapsed = now() - start
  const sent = load.Calls - dropped
  return {
    Calls: load.Calls, InFlight: load.InFlight, Size: load.Size, Rate: load.Rate ?? 0, Arrival: load.Arrival ?? '', Seed: load.Seed ?? 0,
    Elapsed: elapsed, CPU: processCPU() - cpu,
    OK: tally.latencies.length, Wrong: tally.wrong, Dropped: dropped, Errors: tally.errors,
    Late: load.Rate > 0 && sent > 0 ? Math.round(tally.late / sent) : 0,
    ...quantiles(tally.latencies),
  }
}

// one makes call n, whose latency counts from due.
async function one(tally, n, due) {
  const body = fillPayload(n, tally.size)
  try {
    const got = await bounded(tally.call(body))
    const took = now() - due
    if (body.equals(got)) tally.latencies.push(Math.max(1, took))
    else tally.wrong++
  } catch (err) {
    let text = String(err?.message ?? err)
    if (!(text in tally.errors) && Object.keys(tally.errors).length >= maxErrorTexts) text = 'other errors'
    tally.errors[text] = (tally.errors[text] ?? 0) + 1
  }
}

function bounded(promise) {
  let timer
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error('no reply in 10 s')), callTimeout) })
  return Promise.race([promise, late]).finally(() => clearTimeout(timer))
}

// closed makes each call as soon as one before it has ended.
async function closed(tally, load) {
  let next = 0
  const caller = async () => {
    while (next < load.Calls) await one(tally, next++, now())
  }
  await Promise.all(Array.from({ length: Math.min(load.InFlight, load.Calls) }, caller))
  return 0
}

// open makes each call when it is due, whatever has become of the ones before, and gives the number that was dropped because
// InFlight were outstanding. Timers here are of milliseconds: what is due goes out together, and Late tells how late.
async function open(tally, load, start) {
  const random = arrivals(load)
  const running = new Set()
  let dropped = 0
  let due = start
  for (let n = 0; n < load.Calls; n++) {
    due += random()
    while (now() < due) await pause(due - now())
    if (running.size >= load.InFlight) {
      dropped++
      continue
    }
    tally.late += now() - due
    const p = one(tally, n, due).finally(() => running.delete(p))
    running.add(p)
  }
  await Promise.all(running)
  return dropped
}

// pause lets other work run: for about a millisecond if there is as much left, and else only for what is ready.
function pause(left) {
  return new Promise((resolve) => (left > 1.5e6 ? setTimeout(resolve, Math.floor(left / 1e6 - 0.5)) : setImmediate(resolve)))
}

// arrivals gives a function of the time to the next arrival.
function arrivals(load) {
  const mean = 1e9 / load.Rate
  if (load.Arrival === 'constant') return () => mean
  let s = (Number(load.Seed ?? 0) | 0) || 1
  return () => {
    s ^= s << 13
    s ^= s >>> 17
    s ^= s << 5
    return -Math.log(((s >>> 0) + 1) / 4294967297) * mean
  }
}

// quantiles takes them, by nearest rank, from all latencies, and the histogram besides: HdrHistogram's V2 compressed form.
function quantiles(latencies) {
  if (latencies.length === 0) return { P50: 0, P90: 0, P99: 0, P999: 0, Max: 0, HDR: '' }
  const sorted = Float64Array.from(latencies).sort()
  const at = (q) => Math.round(sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)])
  const h = hdr.build({ lowestDiscernibleValue: 1, highestTrackableValue: maxLatency, numberOfSignificantValueDigits: digits, bitBucketSize: 64, useWebAssembly: false })
  for (const v of sorted) h.recordValue(Math.min(Math.round(v), maxLatency))
  return { P50: at(0.5), P90: at(0.9), P99: at(0.99), P999: at(0.999), Max: at(1), HDR: hdr.encodeIntoCompressedBase64(h) }
}
