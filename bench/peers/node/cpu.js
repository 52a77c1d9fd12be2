// processCPU is this process's user and system time so far.
export function processCPU() {
  const { user, system } = process.cpuUsage()
  return (user + system) * 1000
}
