// The Node rivals: `streamerson bench peers` starts this once for each client and each worker.
import { run } from './role.js'

// A rival's part brings its framework in only when it is asked for: each process is one rival alone.
async function start(spec) {
  const roles = spec.Role.startsWith('nest-') ? (await import('./nest.js')).nest : (await import('./moleculer.js')).moleculerRoles
  const begin = roles[spec.Role]
  if (!begin) throw new Error(`no role "${spec.Role}"`)
  return begin(spec)
}

run(start).then(() => process.exit(0), (err) => {
  console.error('rival:', err)
  process.exit(1)
})
