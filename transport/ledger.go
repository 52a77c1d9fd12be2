package transport

// Ledger applies the limits of one Receive, delivery by delivery, so that all drivers count alike: at most max in all, at most
// Max of each stream, and beyond the streams' Own slots no more than the common pool holds. It is not safe for concurrent use.
type Ledger struct {
	credits []Credit
	taken   []int
	total   int
	pool    int
}

// NewLedger starts a ledger; it keeps credits and does not change it.
func NewLedger(maxTotal int, credits []Credit) Ledger {
	var l Ledger
	l.Reset(maxTotal, credits)
	return l
}

// Reset starts the ledger anew, with the memory that it has.
func (l *Ledger) Reset(maxTotal int, credits []Credit) {
	if cap(l.taken) < len(credits) {
		l.taken = make([]int, len(credits))
	}
	l.taken = l.taken[:len(credits)]
	clear(l.taken)
	l.credits, l.total, l.pool = credits, maxTotal, maxTotal
	for _, c := range credits {
		l.pool -= min(c.Own, c.Max)
	}
	l.pool = max(l.pool, 0)
}

// Allow returns how many more deliveries of credits[i] fit now.
func (l *Ledger) Allow(i int) int {
	c, t := l.credits[i], l.taken[i]
	own := max(min(c.Own, c.Max)-t, 0)
	return max(min(c.Max-t, l.total, own+l.pool), 0)
}

// Take counts n deliveries of credits[i]; n is at most Allow(i).
func (l *Ledger) Take(i, n int) {
	own := min(max(min(l.credits[i].Own, l.credits[i].Max)-l.taken[i], 0), n)
	l.taken[i] += n
	l.total -= n
	l.pool -= n - own
}

// Uniform returns the largest count that every stream with credit could bring at once without breaking a limit, and how many
// such streams there are: for brokers that take one count for a read of several streams. 0 means that no count is safe.
func (l *Ledger) Uniform() (count, streams int) {
	least := 0
	for i := range l.credits {
		if a := l.Allow(i); a > 0 {
			streams++
			if least == 0 || a < least {
				least = a
			}
		}
	}
	for count = min(least, l.total/max(streams, 1)); count > 0; count-- {
		total, shared := 0, 0
		for i := range l.credits {
			if l.Allow(i) > 0 {
				total += count
				shared += max(count-max(min(l.credits[i].Own, l.credits[i].Max)-l.taken[i], 0), 0)
			}
		}
		if total <= l.total && shared <= l.pool {
			break
		}
	}
	return count, streams
}
