// The benchmark's side of a rival's process: orders come in on standard input and answers go out, a JSON object a line. The first
// order says which part this is; then come "run", "usage" (or "collect", which is the same here) and "stop", and the end of the input, which also comes when the
// parent dies, means stop. Times are in nanoseconds.
import { createInterface } from 'node:readline'
import { processCPU } from './cpu.js'
import { drive } from './load.js'

// run serves orders until the input ends. start(spec) brings the part up and gives { addr, call, close }, each of which may be
// left out; call(body) takes and gives a Buffer.
export async function run(start) {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const answer = (a) => process.stdout.write(JSON.stringify(a) + '\n')
  const first = await lines.next()
  if (first.done) throw new Error("a rival's process is started by `streamerson bench peers`; it reads its orders from its input")
  let part
  try {
    part = await start(JSON.parse(first.value))
  } catch (err) {
    answer({ Err: String(err?.message ?? err) })
    throw err
  }
  answer({ Addr: part.addr ?? '' })
  for await (const line of { [Symbol.asyncIterator]: () => lines }) {
    const order = JSON.parse(line)
    if (order.Op === 'stop') break
    answer(await obey(part, order))
  }
  await part.close?.()
}

async function obey(part, order) {
  if (order.Op === 'usage' || order.Op === 'collect') return { Usage: { CPU: processCPU() } }
  if (order.Op === 'run' && part.call) {
    try {
      return { Result: await drive(part.call, order.Load) }
    } catch (err) {
      return { Err: String(err?.message ?? err) }
    }
  }
  return { Err: `this role can't "${order.Op}"` }
}
