package conformance

// What a scenario may need of a harness or transport. Each returns why it is not there.

func needWipe(e *Env) string    { return missing("Wipe", e.h.Broker.Wipe == nil) }
func needRestart(e *Env) string { return missing("Restart", e.h.Broker.Restart == nil) }
func needKill(e *Env) string {
	return missing("Kill and Start", e.h.Broker.Kill == nil || e.h.Broker.Start == nil)
}
func needStop(e *Env) string {
	return missing("Stop and Continue", e.h.Broker.Stop == nil || e.h.Broker.Continue == nil)
}
func needStartEmpty(e *Env) string {
	return missing("Kill and StartEmpty", e.h.Broker.Kill == nil || e.h.Broker.StartEmpty == nil)
}

func missing(what string, yes bool) string {
	if !yes {
		return ""
	}
	return "the harness can't do it to the broker: Harness.Broker has no " + what
}

// needProcesses is for scenarios that kill or stop workers and clients.
func needProcesses(e *Env) string {
	if !e.open().Capabilities().CrossProcess {
		return "the transport doesn't reach beyond one process (CrossProcess isn't claimed)"
	}
	if e.h.URL == "" {
		return "the harness gives no Harness.URL to child processes"
	}
	return ""
}
