package result

import (
	"slices"
	"time"
)

// Schema is the version of the file's form. Fields may be added without a new version; one that changes its meaning, or
// goes, needs one.
const Schema = 1

// Run is one invocation of the benchmark.
type Run struct {
	Schema int  `json:"schema"`
	Meta   Meta `json:"meta"`
	// Legs are each way of making calls that was visited, in the order of tables; names are unique.
	Legs []Leg `json:"legs"`
	// Cells are in the order of the visits. Only cells of one group were visited in turn, so only they are compared.
	Cells []Cell `json:"cells"`
	Goals []Goal `json:"goals"`
	// Soaks are long runs of one leg, of which what they leave behind is looked at rather than their speed.
	Soaks []Soak `json:"soaks,omitempty"`
}

// Meta says on what, with what and how was measured.
type Meta struct {
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took_ns"`
	// Command is the command line, without the program's folder.
	Command string `json:"command"`
	// GitVersion is the commit that the program was built from, "+dirty" if it had changes; "" if the build doesn't tell.
	GitVersion string  `json:"git_version,omitempty"`
	Machine    Machine `json:"machine"`
	// Versions of brokers, clients and rivals by name: "go", "redis", "nats-server", "go-redis", "nestjs".
	Versions map[string]string `json:"versions"`
	// Seed of arrivals, sizes and service times.
	Seed uint64 `json:"seed"`
	// Config is what else the run was told: "rounds", "visit".
	Config map[string]string `json:"config"`
}

// Machine is what the run had to itself, or shared.
type Machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory uint64 `json:"memory_bytes"`
	OS     string `json:"os"`
	Kernel string `json:"kernel"`
	Arch   string `json:"arch"`
	// LoadBefore is the load average of one minute as the run began: above 0.5, others worked on the machine.
	LoadBefore float64 `json:"load_before"`
}

// The durability classes, from nothing to most: what an accepted request survives. Rates are compared within a class; a
// goal across classes says so.
const (
	ClassNone    = "none"    // stored nowhere: HTTP, gRPC, core NATS, Redis pub/sub
	ClassMemory  = "memory"  // stored, and lost with the broker's process
	ClassProcess = "process" // survives kill -9 of the broker; a power cut may take the last of it
	ClassSync    = "fsync"   // on the disk before it is accepted
	ClassQuorum  = "quorum"  // on several machines before it is accepted
)

// Leg is one way to make calls.
type Leg struct {
	Name string `json:"name"`
	// Title is Name in words for people: "gateway + Redis + worker".
	Title string `json:"title,omitempty"`
	// Class is one of the Class constants, Durability the same in the broker's own settings.
	Class      string `json:"class"`
	Durability string `json:"durability,omitempty"`
	// Broker is "redis", "nats", "kafka" or "" for none.
	Broker string `json:"broker,omitempty"`
	// Rival is true for a system that is not ours, Control for a hand-written or standard-library measure.
	Rival   bool `json:"rival,omitempty"`
	Control bool `json:"control,omitempty"`
	// Tuned says what was set against the defaults, and on whose advice.
	Tuned string `json:"tuned,omitempty"`
	// Failed says why the leg could not be measured; its cells have no rounds then.
	Failed string `json:"failed,omitempty"`
}

// Leg is the leg of that name, or nil.
func (r *Run) Leg(name string) *Leg {
	for i := range r.Legs {
		if r.Legs[i].Name == name {
			return &r.Legs[i]
		}
	}
	return nil
}

// Groups are the groups of the run's cells, in the order of their first ones.
func (r *Run) Groups() []string {
	var out []string
	for i := range r.Cells {
		if g := r.Cells[i].Group; !slices.Contains(out, g) {
			out = append(out, g)
		}
	}
	return out
}

// Cell finds a cell by its key, or nil.
func (r *Run) Cell(key string) *Cell {
	for i := range r.Cells {
		if r.Cells[i].Key() == key {
			return &r.Cells[i]
		}
	}
	return nil
}

// Failed is the number of calls of the whole run that brought no reply or a wrong one. Dropped arrivals are not among them.
func (r *Run) Failed() int {
	n := 0
	for i := range r.Cells {
		for _, rd := range r.Cells[i].Rounds {
			n += rd.Failed()
		}
	}
	for _, s := range r.Soaks {
		n += s.Calls - s.OK
	}
	return n
}
