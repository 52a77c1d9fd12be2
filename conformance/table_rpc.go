package conformance

// rpcScenarios are the checks of clients and servers over the driver, while nothing is broken.
var rpcScenarios = []Scenario{
	{Name: "calls-1000", Area: AreaRPC, Doc: "1,000 calls at once get their own answers", run: onSystem(calls1000)},
	{Name: "nested-calls", Area: AreaRPC, Doc: "handlers call other streams", run: onSystem(nestedCalls)},
	{Name: "late-reply", Area: AreaRPC, Doc: "a reply after the deadline is dropped and counted", run: onSystem(lateReply)},
	{Name: "duplicate-reply", Area: AreaRPC, Doc: "the caller gets the first of several replies", run: onSystem(duplicateReply)},
	{Name: "forged-reply", Area: AreaRPC, Doc: "what is no reply to a call is dropped and counted", run: onSystem(forgedReply)},
	{Name: "forged-reply-to", Area: AreaRPC, Doc: "a reply address that is no lane makes a dead letter", run: onSystem(forgedReplyTo)},
	{Name: "same-id-twice", Area: AreaRPC, Doc: "two requests with one id have one effect and one reply", run: onSystem(sameIDTwice)},
	{Name: "expired-unrun", Area: AreaRPC, Doc: "what has expired in the queue never runs", run: onSystem(expiredUnrun)},
	{Name: "handler-errors", Area: AreaRPC, Doc: "errors and panics come to the caller as what they are", run: onSystem(handlerErrors)},
	{Name: "failing-one-way", Area: AreaRPC, Doc: "a failing one-way message is retried, then a dead letter", run: onSystem(failingOneWay)},
	{Name: "no-workers", Area: AreaRPC, Doc: "a call that nobody serves fails at once", run: onSystem(noWorkers)},
	{Name: "client-gone", Area: AreaRPC, Doc: "a caller that leaves ends its handler", run: onSystem(clientGone)},
	{Name: "lane-deleted-in-flight", Area: AreaRPC, Doc: "replies to a lane that has gone hold up nothing", run: onSystem(laneDeletedInFlight)},
	{Name: "packed-calls", Area: AreaRPC, Doc: "calls that share messages get their own answers", run: onSystem(packedCalls)},
	{Name: "packed-members", Area: AreaRPC, Doc: "each request of a pack ends as it would have alone", run: onSystem(packedMembers)},
	{Name: "packed-members-again", Area: AreaRPC, Doc: "the same of a pack that is delivered a second time", run: onSystem(packedMembersAgain)},
	{Name: "packed-caller-gone", Area: AreaRPC, Doc: "a caller that leaves ends its request of a pack, and no other", run: onSystem(packedCallerGone)},
}
