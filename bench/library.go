package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/streamerson/streamerson/bench/role"
)

// library is legs by name, with the brokers that they meet at.
type library struct {
	legs    []*processLeg
	brokers []broker
}

// legNames are all legs of this program, by the broker that must be started for them.
func legNames() map[string][]string {
	out := map[string][]string{}
	for kind, legs := range map[string][]*processLeg{
		"redis": redisLegs(nil, nil, true), "nats": natsLegs(nil, nil), "kafka": kafkaLegs(nil, nil, nil),
	} {
		for _, l := range legs {
			out[kind] = append(out[kind], l.about.Name)
		}
	}
	return out
}

// legsNamed starts the brokers that the named legs need, and makes the legs in that order, without starting them.
func legsNamed(ctx context.Context, o Options, self *role.Program, names ...string) (l library, err error) {
	known := legNames()
	needs := func(kind string, but ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(known[kind], n) && !slices.Contains(but, n) })
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, stopAll(l.brokers)())
		}
	}()
	var all []*processLeg
	redis, err := startRedis(ctx)
	if err != nil {
		return l, err
	}
	l.brokers = append(l.brokers, redis)
	all = append(all, redisLegs(self, redis, o.gateways())...)
	if needs("nats", LegHTTP) {
		n, err := startNATS(ctx, self)
		if err != nil {
			return l, err
		}
		l.brokers = append(l.brokers, n)
		all = append(all, natsLegs(self, n)...)
	}
	if needs("kafka", LegRPC) {
		k, err := startKafka(ctx)
		if err != nil {
			return l, err
		}
		l.brokers = append(l.brokers, k)
		all = append(all, kafkaLegs(self, k, redis)...)
	}
	for _, name := range names {
		i := slices.IndexFunc(all, func(leg *processLeg) bool { return leg.about.Name == name })
		switch {
		case i >= 0:
			l.legs = append(l.legs, all[i])
		case (name == LegGateway || name == LegGatewayPacked || name == LegRoutes) && !o.gateways(): // left out, as in other runs
		default:
			return l, fmt.Errorf("bench: no leg %q; there are %s", name, strings.Join(sortedLegs(), ", "))
		}
	}
	return l, nil
}

func sortedLegs() []string {
	var out []string
	for _, names := range legNames() {
		out = append(out, names...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
