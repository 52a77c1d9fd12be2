// Moleculer as moleculer.services/docs shows it: one ServiceBroker a process, one action, broker.call() from the other node. Bodies
// are base64 in its JSON packets, its default serializer. The caller's node waits until the service is known to it.
import moleculer from 'moleculer'

function broker(spec, nodeID) {
  return new moleculer.ServiceBroker({ nodeID, namespace: spec.Stream, transporter: spec.URL, logger: false, requestTimeout: 10_000 })
}

async function worker(spec) {
  const b = broker(spec, 'worker')
  b.createService({ name: 'echo', actions: { echo: (ctx) => ctx.params } })
  await b.start()
  return { close: () => b.stop() }
}

async function client(spec) {
  const b = broker(spec, 'client')
  await b.start()
  await b.waitForServices('echo', 20_000)
  return {
    call: async (body) => Buffer.from((await b.call('echo.echo', { body: body.toString('base64') })).body, 'base64'),
    close: () => b.stop(),
  }
}

export const moleculerRoles = { 'moleculer-worker': worker, 'moleculer-client': client }
