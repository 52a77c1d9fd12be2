package conformance

// networkScenarios are the checks of clients and workers behind a network that misbehaves.
var networkScenarios = []Scenario{
	{Name: "publish-answer-lost", Area: AreaNetwork, Doc: "a publish whose answer is lost has one effect", needs: needProxy, run: onSystem(publishAnswerLost)},
	{Name: "publish-cut", Area: AreaNetwork, Doc: "a connection that is reset within a publish has no effect, or one", needs: needProxy, run: onSystem(publishCut)},
	{Name: "half-open", Area: AreaNetwork, Doc: "10 s of silence hold up nobody for longer than a deadline", needs: needProxy, run: onSystem(halfOpen)},
	{Name: "latency", Area: AreaNetwork, Doc: "200 ± 100 ms each way: calls succeed, leases are kept", needs: needProxy, run: onSystem(latency)},
	{Name: "single-bytes", Area: AreaNetwork, Doc: "messages that come byte by byte are whole", needs: needProxy, run: onSystem(singleBytes)},
	{Name: "cuts-20", Area: AreaNetwork, Doc: "20 cuts in 30 s under load lose nothing", needs: needProxy, run: onSystem(cuts20)},
	{Name: "gateway-cut", Area: AreaNetwork, Doc: "a client that is cut off fails fast and comes back; its worker goes on", needs: needProxy, run: onSystem(gatewayCut)},
}
