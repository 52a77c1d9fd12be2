package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time written with its unit: 250ms, 2s, 1m30s.
type Duration time.Duration

// D is the duration as the standard library's type.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string {
	s := time.Duration(d).String()
	// "2m0s" and "1h0m0s" are "2m" and "1h" to a person.
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func parseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		if _, numeric := strconv.ParseFloat(s, 64); numeric == nil {
			return 0, fmt.Errorf("%s has no unit; write %ss or %sms", s, s, s)
		}
		return 0, fmt.Errorf("%q is not a duration; write one like 250ms, 2s or 1m30s", s)
	}
	if d < 0 {
		return 0, fmt.Errorf("%s is negative; write a duration like 250ms or 2s", s)
	}
	return Duration(d), nil
}

// Size is a number of bytes, written as 8MiB, 512KiB, 1GiB, 10MB or plain bytes.
type Size int64

// sizeUnits has the longest suffixes first, so that MiB is not read as B.
var sizeUnits = []struct {
	suffix string
	bytes  int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
}

func (s Size) String() string {
	for i := 2; i >= 0; i-- {
		if u := sizeUnits[i]; s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

func parseSize(text string) (Size, error) {
	num, unit := text, int64(1)
	for _, u := range sizeUnits {
		if s, ok := strings.CutSuffix(text, u.suffix); ok {
			num, unit = strings.TrimSpace(s), u.bytes
			break
		}
	}
	f, err := strconv.ParseFloat(num, 64)
	if err != nil || math.IsNaN(f) || f < 0 {
		return 0, fmt.Errorf("%q is not a size; write one like 8MiB, 512KiB or 65536 (bytes)", text)
	}
	f *= float64(unit)
	if f > math.MaxInt64/2 || f != math.Trunc(f) {
		return 0, fmt.Errorf("%q is not a whole number of bytes in range; write one like 8MiB", text)
	}
	return Size(f), nil
}
