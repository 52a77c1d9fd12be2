package conformance

// faultScenarios are the checks of the system while its processes and its broker are killed, stopped and restarted.
var faultScenarios = []Scenario{
	{Name: "worker-killed", Area: AreaFaults, Doc: "another worker answers what a killed one held", needs: needProcesses, run: onSystem(workerKilled)},
	{Name: "one-way-outlives-worker", Area: AreaFaults, Doc: "one-way messages outlive the worker that handles them", needs: needProcesses, run: onSystem(oneWayOutlivesWorker)},
	{Name: "worker-stopped", Area: AreaFaults, Doc: "a worker stopped past its lease: one response", needs: needProcesses, run: onSystem(workerStopped)},
	{Name: "long-handler", Area: AreaFaults, Doc: "a handler that takes three leases runs once", needs: needProcesses, run: onSystem(longHandler)},
	{Name: "worker-drains", Area: AreaFaults, Doc: "SIGTERM: what runs is answered, the process ends well", needs: needProcesses, run: onSystem(workerDrains)},
	{Name: "rebalance-storm", Area: AreaFaults, Doc: "ten joins and leaves in 30 s lose nothing", needs: needProcesses, run: onSystem(rebalanceStorm)},
	{Name: "gateway-killed", Area: AreaFaults, Doc: "a new gateway reads no reply of a killed one", needs: needProcesses, run: onSystem(gatewayKilled)},
	{Name: "rolling-restart", Area: AreaFaults, Doc: "replacing every process one by one fails no call", needs: needProcesses, run: onSystem(rollingRestart)},
	{Name: "crash-poison", Area: AreaFaults, Doc: "a request that kills its workers is quarantined", needs: needProcesses, run: onSystem(crashPoison)},
	{Name: "packed-worker-killed", Area: AreaFaults, Doc: "another worker answers all of a pack that a killed one held", needs: needProcesses, run: onSystem(packedWorkerKilled)},
	{Name: "packed-worker-stopped", Area: AreaFaults, Doc: "a worker stopped in a pack past its lease: one response each", needs: needProcesses, run: onSystem(packedWorkerStopped)},
	{Name: "packed-drain", Area: AreaFaults, Doc: "SIGTERM in a pack: what has not begun goes to another worker", needs: needProcesses, run: onSystem(packedDrain)},
	{Name: "poison-10k", Area: AreaFaults, Doc: "10,000 undecodable frames beside good calls", run: onSystem(poison10k)},
	{Name: "dead-letter-unavailable", Area: AreaFaults, Doc: "what can't be buried stays pending", run: onSystem(deadLetterUnavailable)},
	{Name: "broker-killed", Area: AreaFaults, Doc: "the broker's kill -9 under load loses nothing", needs: needKill, run: onSystem(brokerKilled)},
	{Name: "packed-poison", Area: AreaFaults, Doc: "a request of a pack that kills its workers is quarantined alone", needs: needProcesses, run: onSystem(packedPoison)},
	{Name: "packed-broker-killed", Area: AreaFaults, Doc: "the same of calls that share messages", needs: needKill, run: onSystem(packedBrokerKilled)},
	{Name: "broker-stopped", Area: AreaFaults, Doc: "a broker that is silent for 10 s holds up nobody for longer than its deadline", needs: needStop, run: onSystem(brokerStopped)},
	{Name: "long-outage", Area: AreaFaults, Doc: "while the broker is away calls fail fast, then all works by itself", needs: needKill, run: onSystem(longOutage)},
	{Name: "broker-emptied", Area: AreaFaults, Doc: "a broker that comes back empty is set up again", needs: needStartEmpty, run: onSystem(brokerEmptied)},
}
