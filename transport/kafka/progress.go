package kafka

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// progress is what a partition's committed offset says beyond its number, in the commit's metadata: Kafka itself keeps only the
// watermark, below which all is settled. With it, what was acked out of order is not delivered again by the next owner, and
// deliveries count over crashes.
//
//	1 NONCE HIGH ACKED TRIES
//
// HIGH is how many offsets from the watermark on were delivered; ACKED lists ranges of settled ones among them ("3,5-9"), TRIES
// the offsets that were delivered more than once ("4:3"). All numbers count from the watermark, in base 36.
type progress struct {
	nonce string // who wrote it, and which of its commits: tells whether anybody else has since
	high  int64  // absolute
	acked []int64
	tries map[int64]int
}

// maxMetadata is a broker's offset.metadata.max.bytes, less some. What doesn't fit is forgotten: it is delivered again, or with
// a lower attempt.
const maxMetadata = 4000

func (p *progress) encode(watermark int64) string {
	num := func(n int64) string { return strconv.FormatInt(n, 36) }
	var b strings.Builder
	b.WriteString("1 " + p.nonce + " " + num(p.high-watermark) + " ")
	slices.Sort(p.acked)
	sep := ""
	for i := 0; i < len(p.acked) && b.Len() < maxMetadata*3/4; {
		j := i
		for j+1 < len(p.acked) && p.acked[j+1] == p.acked[j]+1 {
			j++
		}
		b.WriteString(sep + num(p.acked[i]-watermark))
		if j > i {
			b.WriteString("-" + num(p.acked[j]-watermark))
		}
		i, sep = j+1, ","
	}
	b.WriteString(" ")
	sep = ""
	offsets := make([]int64, 0, len(p.tries))
	for o := range p.tries {
		offsets = append(offsets, o)
	}
	slices.SortFunc(offsets, cmp.Compare)
	for _, o := range offsets {
		if b.Len() > maxMetadata-40 {
			break
		}
		b.WriteString(sep + num(o-watermark) + ":" + num(int64(p.tries[o])))
		sep = ","
	}
	return b.String()
}

// decodeProgress reads what encode wrote; of anything else, as another client's metadata, nothing is believed.
func decodeProgress(s string, watermark int64) progress {
	none := progress{high: watermark}
	f := strings.Split(s, " ")
	if len(f) != 5 || f[0] != "1" || len(s) > 2*maxMetadata {
		return none
	}
	ok := true
	num := func(s string) int64 {
		n, err := strconv.ParseInt(s, 36, 48)
		ok = ok && err == nil && n >= 0
		return n
	}
	high := num(f[2])
	p := progress{nonce: f[1], high: watermark + high, tries: map[int64]int{}}
	if f[3] != "" {
		for r := range strings.SplitSeq(f[3], ",") {
			from, to, isRange := strings.Cut(r, "-")
			a := num(from)
			z := a
			if isRange {
				z = num(to)
			}
			if !ok || z < a || z >= high || z-a > 1<<20 {
				return none
			}
			for n := a; n <= z; n++ {
				p.acked = append(p.acked, watermark+n)
			}
		}
	}
	if f[4] != "" {
		for t := range strings.SplitSeq(f[4], ",") {
			o, n, _ := strings.Cut(t, ":")
			p.tries[watermark+num(o)] = int(num(n))
		}
	}
	if !ok {
		return none
	}
	return p
}
