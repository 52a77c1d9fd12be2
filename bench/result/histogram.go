package result

import (
	"errors"
	"fmt"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// MaxLatency is the longest that a histogram tells apart, in nanoseconds; what took longer counts as it.
	MaxLatency = int64(2 * time.Minute)
	// histogramDigits are the significant digits of a value: an error of 0.1 %.
	histogramDigits = 3
)

// NewHistogram makes an empty histogram of latencies in nanoseconds, as all of a run's are.
func NewHistogram() *hdr.Histogram { return hdr.New(1, MaxLatency, histogramDigits) }

// EncodeHistogram is the text that Round.HDR holds: HdrHistogram's V2 compressed form in base64, which its implementations
// in other languages read and write as well. An empty histogram is "".
func EncodeHistogram(h *hdr.Histogram) (string, error) {
	if h == nil || h.TotalCount() == 0 {
		return "", nil
	}
	text, err := h.Encode(hdr.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", fmt.Errorf("result: encode a histogram: %w", err)
	}
	return string(text), nil
}

// DecodeHistogram is the reverse; "" gives an empty one.
func DecodeHistogram(text string) (*hdr.Histogram, error) {
	if text == "" {
		return NewHistogram(), nil
	}
	h, err := hdr.Decode([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("result: decode a histogram: %w", err)
	}
	return h, nil
}

// Histogram is the round's latencies in nanoseconds.
func (r Round) Histogram() (*hdr.Histogram, error) { return DecodeHistogram(r.HDR) }

// Histogram is the latencies of all the cell's rounds, merged; empty when the leg's client gave none.
func (c *Cell) Histogram() (*hdr.Histogram, error) {
	sum := NewHistogram()
	for i, r := range c.Rounds {
		h, err := r.Histogram()
		if err != nil {
			return nil, fmt.Errorf("%s round %d: %w", c.Key(), i+1, err)
		}
		if dropped := sum.Merge(h); dropped > 0 {
			return nil, errors.New(c.Key() + ": a histogram holds values beyond the longest latency")
		}
	}
	return sum, nil
}

// QuantilesOf reads them from a histogram.
func QuantilesOf(h *hdr.Histogram) Quantiles {
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) }
	return Quantiles{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(h.Max())}
}
