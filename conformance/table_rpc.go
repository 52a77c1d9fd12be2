package conformance

// rpcScenarios are the checks of clients and servers over the driver, while nothing is broken.
var rpcScenarios = []Scenario{
	{Name: "calls-1000", Area: AreaRPC, Doc: "1,000 calls at once get their own answers", run: onSystem(calls1000)},
}
