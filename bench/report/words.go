package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// number is short, with three digits that matter: 12.3k, 1.25M.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1e6:
		return digits(v/1e6) + "M"
	case a >= 1e4:
		return digits(v/1e3) + "k"
	default:
		return digits(v)
	}
}

// digits keeps three that matter and no zeros at the end.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return trimZeros(strconv.FormatFloat(v, 'f', 1, 64))
	default:
		return trimZeros(strconv.FormatFloat(v, 'f', 2, 64))
	}
}

func trimZeros(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }

// count has spaces between its thousands: 84 400.
func count(v float64) string {
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// latency has a unit and three digits that matter; 0 is "0".
func latency(d time.Duration) string {
	switch {
	case d == 0:
		return "0"
	case d < time.Microsecond:
		return digits(float64(d)) + " ns"
	case d < time.Millisecond:
		return digits(float64(d)/1e3) + " µs"
	case d < time.Second:
		return digits(float64(d)/1e6) + " ms"
	}
	return digits(d.Seconds()) + " s"
}

// size is in units of 1024.
func size(b uint64) string {
	switch {
	case b >= 1<<30:
		return digits(float64(b)/(1<<30)) + " GiB"
	case b >= 1<<20:
		return digits(float64(b)/(1<<20)) + " MiB"
	case b >= 1<<10:
		return digits(float64(b)/(1<<10)) + " KiB"
	}
	return fmt.Sprintf("%d B", b)
}
