package conformance

// quotaScenarios are the checks of a broker that has no room, of much that one process wants, and of what is deleted or
// wrong beneath a running system.
var quotaScenarios = []Scenario{
	{Name: "memory-full", Area: AreaQuota, Doc: "without room calls are refused at once, acks go on, and all works by itself afterwards", needs: needFill, run: onSystem(memoryFull)},
	{Name: "full-before-reply", Area: AreaQuota, Doc: "a reply for which there is no room is never acked away", needs: needFill, run: onSystem(fullBeforeReply)},
	{Name: "disk-full", Area: AreaQuota, Doc: "a full disk loses nothing that was accepted", needs: needDisk, run: diskFull},
	{Name: "backlog-lagging-group", Area: AreaQuota, Doc: "a stream is full for all when one group doesn't read it, and keeps what that needs", run: backlogLagging},
	{Name: "slow-consumer", Area: AreaQuota, Doc: "a slow consumer holds up itself alone", run: slowConsumer},
	{Name: "subscriptions-32", Area: AreaQuota, Doc: "32 streams and 32 lanes of one process need no more connections than declared", run: subscriptions32},
	{Name: "stream-deleted", Area: AreaFaults, Doc: "a stream that is deleted live is back within 5 s", run: onSystem(streamDeleted)},
	{Name: "group-deleted", Area: AreaFaults, Doc: "a group that is deleted live is back within 5 s", needs: needDeleteGroup, run: onSystem(groupDeleted)},
	{Name: "consumers-deleted", Area: AreaFaults, Doc: "members that are deleted live are back within 5 s", needs: needDeleteConsumers, run: onSystem(consumersDeleted)},
	{Name: "clock-skew", Area: AreaFaults, Doc: "clocks of clients and workers that are 5 minutes off change nothing", run: onSystem(clockSkew)},
}
