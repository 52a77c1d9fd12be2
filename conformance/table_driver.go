package conformance

// driverScenarios are the checks of a driver alone.
var driverScenarios = []Scenario{
	{Name: "capabilities", Area: AreaDriver, Doc: "what a driver says of itself is complete and constant", run: capabilities},
	{Name: "unclaimed-refused", Area: AreaDriver, Doc: "what is not claimed is refused with unsupported, and changes nothing", run: unclaimedRefused},

	{Name: "roundtrip", Area: AreaDriver, Doc: "bodies of any bytes come through unchanged", run: roundtrip},
	{Name: "size-limits", Area: AreaDriver, Doc: "a body of exactly MaxBody comes through, one byte more is refused", run: sizeLimits},
	{Name: "order-in-one-publish", Area: AreaDriver, Doc: "messages of one Publish keep their order", run: orderInOnePublish},
	{Name: "mixed-batch", Area: AreaDriver, Doc: "one bad message of a batch fails alone", run: mixedBatch},
	{Name: "dedup", Area: AreaDriver, Doc: "where claimed, one DedupID is stored once; else all are stored", run: dedup},
	{Name: "ordered-by-key", Area: AreaDriver, Doc: "where claimed, each key's messages come in order", run: orderedByKey},
	{Name: "backlog-full", Area: AreaDriver, Doc: "a stream past its MaxBacklog refuses, and takes again when it is empty", run: backlogFull},

	{Name: "competing-workers", Area: AreaDriver, Doc: "each message goes to one of several workers", run: competingWorkers},
	{Name: "two-groups", Area: AreaDriver, Doc: "each group gets every message", run: twoGroups},
	{Name: "publish-before-group", Area: AreaDriver, Doc: "a new group starts at the beginning", run: publishBeforeGroup},
	{Name: "unread-kept", Area: AreaDriver, Doc: "what one group has settled is kept for another that has not read it", run: unreadKept},
	{Name: "concurrent-ensure", Area: AreaDriver, Doc: "20 drivers make one stream and group at once", run: concurrentEnsure},
	{Name: "missing-stream", Area: AreaDriver, Doc: "what does not exist is not-found", run: missingStream},
	{Name: "consume-before-publish", Area: AreaDriver, Doc: "a waiting consumer gets what is published later", run: consumeBeforePublish},

	{Name: "credits-1-stream", Area: AreaDriver, Doc: "no Receive returns more than its credit", run: func(e *Env) { credits(e, 1) }},
	{Name: "credits-5-streams", Area: AreaDriver, Doc: "the same over 5 streams", run: func(e *Env) { credits(e, 5) }},
	{Name: "credits-50-streams", Area: AreaDriver, Doc: "the same over 50 streams", run: func(e *Env) { credits(e, 50) }},
	{Name: "credits-reserved", Area: AreaDriver, Doc: "slots reserved for one stream are kept for it", run: ownCredit},
	{Name: "zero-credit", Area: AreaDriver, Doc: "a stream without credit is not read", run: zeroCredit},
	{Name: "cancelled-receive", Area: AreaDriver, Doc: "a cancelled Receive loses nothing", run: cancelledReceive},

	{Name: "release-attempts", Area: AreaDriver, Doc: "a released message comes back with its attempt counted", run: releaseAttempts},
	{Name: "release-delay", Area: AreaDriver, Doc: "a released message stays away for the delay", run: releaseDelay},
	{Name: "double-ack", Area: AreaDriver, Doc: "acking twice is harmless", run: doubleAck},
	{Name: "stale-settle", Area: AreaDriver, Doc: "what another consumer has taken over can't be settled", run: staleSettle},
	{Name: "lease-expiry", Area: AreaDriver, Doc: "what stays unsettled goes to another consumer", run: leaseExpiry},
	{Name: "extend-keeps", Area: AreaDriver, Doc: "an extended delivery stays with its consumer", run: extendKeeps},

	{Name: "reply-then-ack", Area: AreaDriver, Doc: "a delivery is acked only once its reply is accepted", run: replyThenAck},
	{Name: "shared-reply", Area: AreaDriver, Doc: "a reply that several settlements share is sent once, and acks all or none", run: sharedReply},
	{Name: "dead-letter-reply", Area: AreaDriver, Doc: "the same for a dead letter", run: deadLetterReply},

	{Name: "publish-late", Area: AreaDriver, Doc: "an outcome that is told later means what Publish's means, and is told once", run: publishLate},
	{Name: "settle-late", Area: AreaDriver, Doc: "the same for a settlement: no ack without an accepted reply", run: settleLate},

	{Name: "lane", Area: AreaDriver, Doc: "a lane brings what is sent to it, in order, from Tail on", run: lane},
	{Name: "lane-gone", Area: AreaDriver, Doc: "a lane that was closed is not-found", run: laneGone},
	{Name: "lane-forged", Area: AreaDriver, Doc: "an address that is no lane is invalid", run: laneForged},
	{Name: "lane-shared", Area: AreaDriver, Doc: "every tailer of a shared lane reads everything", run: laneShared},
	{Name: "lane-cap", Area: AreaDriver, Doc: "a lane that nobody reads holds at most its cap", run: laneCap},

	{Name: "lag", Area: AreaDriver, Doc: "waiting and pending are counted", run: lag},
	{Name: "live-consumers", Area: AreaDriver, Doc: "living consumers are counted", run: liveConsumers},
	{Name: "browse", Area: AreaDriver, Doc: "a stream can be read and cut without a group", run: browse},

	{Name: "close-keeps-pending", Area: AreaDriver, Doc: "closing a consumer drops nothing", run: closeKeepsPending},
	{Name: "out-of-order-acks-then-reopen", Area: AreaDriver, Doc: "only what was acked is done, in whatever order", run: outOfOrderAcksThenReopen},
	{Name: "closed-driver", Area: AreaDriver, Doc: "a closed driver says so", run: closedDriver},
	{Name: "close-ends-receive", Area: AreaDriver, Doc: "Close ends a blocked Receive", run: closeEndsReceive},
	{Name: "accepted-outlives-publisher", Area: AreaDriver, Doc: "what was accepted is there when its publisher is gone at once", run: acceptedOutlivesPublisher},
	{Name: "delete-streams", Area: AreaDriver, Doc: "a deleted stream is gone, with all it held, and its neighbours are not", run: deleteStreams},
	{Name: "open-close-50", Area: AreaDriver, Doc: "50 opens and closes leave nothing behind", run: openClose50},

	{Name: "wipe", Area: AreaDriver, Doc: "after all data was deleted live, service is back within 5 s", run: wipe, needs: needWipe},
	{Name: "restart", Area: AreaDriver, Doc: "an orderly restart loses nothing and is survived", run: restart, needs: needRestart},
}
