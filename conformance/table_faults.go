package conformance

// faultScenarios are the checks of the system while its processes and its broker are killed, stopped and restarted.
var faultScenarios = []Scenario{
	{Name: "worker-killed", Area: AreaFaults, Doc: "another worker answers what a killed one held", needs: needProcesses, run: onSystem(workerKilled)},
}
