package parts

import (
	"strconv"

	"github.com/streamerson/streamerson/bench/load"
	"github.com/streamerson/streamerson/bench/role"
	"github.com/streamerson/streamerson/rpc"
)

// targets are what a client's calls go to: streams, or paths of a gateway. A call's place follows from its body.
type targets struct {
	names []string
	// kinds says for each kind of call which of the names is its; nil when calls are spread by their number.
	kinds []int
}

// streamsOf are the streams of a spec, or with paths the gateway's paths to them.
func streamsOf(spec role.Spec) targets { return targetsOf(spec, spec.Stream, ".") }

func pathsOf(spec role.Spec) targets { return targetsOf(spec, echoPath, "/") }

func targetsOf(spec role.Spec, first, sep string) targets {
	if len(spec.Kinds) == 0 {
		t := targets{names: []string{first}}
		for i := 1; i < spec.Streams; i++ {
			t.names = append(t.names, first+sep+strconv.Itoa(i))
		}
		return t
	}
	var t targets
	at := map[string]int{}
	for _, k := range spec.Kinds {
		i, ok := at[k.Stream]
		if !ok {
			i = len(t.names)
			at[k.Stream] = i
			name := first
			if k.Stream != "" {
				name += sep + k.Stream
			}
			t.names = append(t.names, name)
		}
		t.kinds = append(t.kinds, i)
	}
	return t
}

// of is the target of the call with that body.
func (t targets) of(body []byte) string {
	switch {
	case len(t.names) == 1:
		return t.names[0]
	case t.kinds == nil:
		return t.names[load.Number(body)%uint64(len(t.names))]
	}
	_, kind := load.Demand(body)
	return t.names[t.kinds[min(kind, len(t.kinds)-1)]]
}

// served are the streams as a worker's configuration has them.
func served(spec role.Spec) []rpc.StreamConfig {
	t := streamsOf(spec)
	out := make([]rpc.StreamConfig, len(t.names))
	for i, name := range t.names {
		out[i].Name = name
	}
	for i := len(t.kinds) - 1; i >= 0; i-- { // the first kind of a stream is written last
		k := spec.Kinds[i]
		out[t.kinds[i]].Min, out[t.kinds[i]].Max = k.Min, k.Max
	}
	return out
}
