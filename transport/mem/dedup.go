package mem

// DedupWindow is how many recent DedupIDs of a stream are remembered.
const DedupWindow = 16_384

// dedup remembers recent ids. A nil one remembers nothing.
type dedup struct {
	ids  map[string]struct{}
	ring []string
	at   int
}

func newDedup() *dedup { return &dedup{ids: map[string]struct{}{}} }

func (d *dedup) seen(id string) bool {
	if d == nil || id == "" {
		return false
	}
	_, ok := d.ids[id]
	return ok
}

func (d *dedup) add(id string) {
	if d == nil || id == "" {
		return
	}
	d.ids[id] = struct{}{}
	if len(d.ring) < DedupWindow {
		d.ring = append(d.ring, id)
		return
	}
	delete(d.ids, d.ring[d.at])
	d.ring[d.at] = id
	d.at = (d.at + 1) % DedupWindow
}
